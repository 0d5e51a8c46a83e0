"""Small random sites: histories that the rules decide without doubt, and the files as the tools would write them.

Left out, because other rules than the ledger's decide them: partial devices, and open records that later evidence
contradicts (a later attempt, or a node that is down).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from ledger_oracle import (
    DRAINING,
    NOTHING,
    PLANNED,
    UNPLANNED,
    Cluster,
    Event,
    Installation,
    Record,
    Reservation,
    TeamLine,
    installed,
    placed,
    share,
    total,
    true_start,
)

HOUR = 3_600
MODELS = ("a100", "h100", "l40s")
NODES = ("n1", "n2", "n3", "n4")
STRANGERS = ("n8", "x1")
NODE_CPUS = 64
CLOSED = ("COMPLETED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "CANCELLED by 1234", "NODE_FAIL", "PREEMPTED", "DEADLINE")
OPEN = ("RUNNING", "SUSPENDED", "COMPLETING")

DAYS = (
    ("UTC", date(2026, 1, 1)),
    ("Asia/Kolkata", date(2026, 1, 31)),
    ("America/St_Johns", date(2026, 3, 7)),
    ("America/Los_Angeles", date(2026, 10, 31)),
    ("Australia/Lord_Howe", date(2026, 4, 4)),
    ("Asia/Kathmandu", date(2026, 2, 28)),
    ("America/Havana", date(2026, 3, 7)),
    ("Atlantic/Azores", date(2026, 10, 24)),
)
"""Reporting zones, with a first day: of half and quarter hours, and whose clocks change during the night after it."""


@dataclass(frozen=True)
class RandomSite:
    """Clusters that are accounted for from the first midnight of a day in a reporting zone."""

    zone: str
    first_day: date
    clusters: tuple[Cluster, ...]

    @property
    def first_at(self) -> int:
        return first_second(self.zone, self.first_day)

    def toml(self, more: str = "") -> str:
        """The site file; each cluster's files lie in a folder of its own."""
        everywhere = (
            ("slurm_jobs", "*/jobs*"),
            ("slurm_node_events", "*/events*"),
            ("slurm_reservations", "*/reservations*"),
            ("inventory", "inventory*"),
            ("org_mapping", "teams*"),
        )
        return "\n".join(
            [
                f'[site]\nname = "random"\nfirst_day = {self.first_day}\nreporting_time_zone = "{self.zone}"',
                *(f"[clusters.{cluster.name}]" for cluster in self.clusters),
                *(f"[accelerators.{model}]" for model in MODELS),
                *(f'[[sources]]\nkind = "{kind}"\nfiles = "{files}"\ntime_zone = "UTC"' for kind, files in everywhere),
                *(
                    f'[[sources]]\nkind = "slurm_nodes"\nfiles = "{cluster.name}/nodes*"\ncluster = "{cluster.name}"'
                    for cluster in self.clusters
                ),
                more,
                "",
            ]
        )

    def files(self) -> dict[str, str]:
        written = {
            "inventory.csv": inventory_text(self.clusters),
            "teams.csv": teams_text({line for cluster in self.clusters for line in cluster.teams}),
        }
        for cluster in self.clusters:
            written |= {
                f"{cluster.name}/as_of.txt": f"{datetime.fromtimestamp(cluster.as_of, UTC):%Y-%m-%dT%H:%M:%SZ}\n",
                f"{cluster.name}/jobs.psv": jobs_text(cluster),
                f"{cluster.name}/events.psv": events_text(cluster),
                f"{cluster.name}/reservations.psv": reservations_text(cluster),
                f"{cluster.name}/nodes.txt": nodes_text(cluster),
            }
        return written


def first_second(zone: str, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())


# What the tools write.


def tres_text(tres: Iterable[tuple[str, int]]) -> str:
    return ",".join(f"gres/gpu{':' * bool(type_name)}{type_name}={count}" for type_name, count in tres)


def hostlist(nodes: tuple[str, ...]) -> str:
    """Slurm's brackets, where every node is one letter and a number."""
    if len(nodes) > 1 and len({node[0] for node in nodes}) == 1:
        return f"{nodes[0][0]}[{','.join(node[1:] for node in nodes)}]".replace("[1,2,3]", "[1-3]")
    return ",".join(nodes)


def zoneless(second: int | None) -> str:
    return "Unknown" if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def job_text(cluster: Cluster, record: Record) -> str:
    elapsed = 0 if record.start is None else max(0, (record.end or cluster.as_of) - record.start)
    allocated = ",".join(["cpu=8", *filter(None, [tres_text(record.tres)]), "mem=64G"]) if record.start else ""
    values: dict[str, Any] = {
        "Cluster": cluster.name,
        "DBIndex": record.job_id * 7 + record.submit % 7,
        "JobIDRaw": record.job_id,
        "JobID": record.job_id,
        "Submit": record.submit,
        "Eligible": record.submit,
        "Start": "Unknown" if record.start is None else record.start,
        "End": "Unknown" if record.end is None else record.end,
        "ElapsedRaw": elapsed,
        "State": record.state,
        "ExitCode": "0:0",
        "Partition": "main",
        "QOS": "normal",
        "Account": record.account,
        "User": record.user,
        "Reservation": record.reservation,
        "NNodes": len(record.nodes),
        "AllocCPUS": 8,
        "ReqTRES": f"cpu=8,mem=64G,gres/gpu={total(record.tres)}",
        "AllocTRES": allocated,
        "TimelimitRaw": 600,
        "NodeList": hostlist(record.nodes) if record.start is not None else "None assigned",
        "Reason": "None",
        "Flags": "SchedMain",
        "JobName": f"a|b of {record.job_id}",
    }
    return "|".join(map(str, values.values()))


JOBS_HEADER = (
    "Cluster|DBIndex|JobIDRaw|JobID|Submit|Eligible|Start|End|ElapsedRaw|State|ExitCode|Partition|QOS|Account|User"
    "|Reservation|NNodes|AllocCPUS|ReqTRES|AllocTRES|TimelimitRaw|NodeList|Reason|Flags|JobName"
)


def lines(header: str, records: Iterable[str]) -> str:
    return "\n".join([header, *records]) + "\n"


def jobs_text(cluster: Cluster) -> str:
    return lines(JOBS_HEADER, (job_text(cluster, record) for record in cluster.records))


def events_text(cluster: Cluster) -> str:
    return lines(
        "Cluster|ClusterNodes|NodeName|TimeStart|TimeEnd|StateRaw|State|TRES|User|Reason",
        (
            f"{cluster.name}||{each.node}|{zoneless(each.start)}|{zoneless(each.end)}|1|{each.state}|cpu=64|root(0)|why"
            for each in cluster.events
        ),
    )


def reservations_text(cluster: Cluster) -> str:
    return lines(
        "Cluster|ID|Name|NodeNames|TimeStart|TimeEnd|Flags|TRES|Assocs",
        (
            "|".join(
                [
                    cluster.name,
                    str(each.number),
                    each.name,
                    hostlist(each.nodes),
                    zoneless(each.start),
                    zoneless(each.end),
                    ",".join((*each.flags, "SPEC_NODES")),
                    ",".join(
                        [
                            f"cpu={len(each.nodes) * NODE_CPUS if each.is_whole else 8}",
                            *filter(None, [tres_text(each.tres)]),
                        ]
                    ),
                    "2,3",
                ]
            )
            for each in cluster.reservations
        ),
    )


def nodes_text(cluster: Cluster) -> str:
    """What the nodes of the inventory have at as_of, and the first stranger, which the inventory does not know."""
    blocks = []
    for node in sorted({each.node for each in cluster.installations} | {STRANGERS[0]}):
        devices = installed(cluster, node, cluster.as_of)
        tres = tres_text([("", sum(devices.values())), *devices.items()]) if devices else "billing=1"
        gres = ",".join(f"gpu:{model}:{count}" for model, count in devices.items())
        blocks.append(
            f"NodeName={node} Arch=x86_64 CoresPerSocket=32\n"
            f"   CPUAlloc=0 CPUEfctv={NODE_CPUS} CPUTot={NODE_CPUS} CPULoad=0.01\n"
            f"   Gres={gres or '(null)'}\n"
            "   RealMemory=1024000 AllocMem=0 FreeMem=1000000 Sockets=2 Boards=1\n"
            "   State=IDLE ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A\n"
            "   Partitions=main,low\n"
            f"   CfgTRES=cpu={NODE_CPUS},mem=1000G,{tres}\n"
        )
    return "\n".join(blocks)


def inventory_text(clusters: Iterable[Cluster]) -> str:
    return lines(
        "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at",
        (
            f"{cluster.name},{each.node},{each.pool},{each.model.upper()},{each.count},{each.since},{each.until or ''}"
            for cluster in clusters
            for each in cluster.installations
        ),
    )


def teams_text(mapped: set[TeamLine]) -> str:
    return lines(
        "cluster,account,user,team,valid_from,valid_to",
        sorted(f"{x.cluster},{x.account},{x.user},{x.team},{x.since},{x.until or ''}" for x in mapped),
    )


# What there is.


def instants(first_at: int) -> st.SearchStrategy[int]:
    """Quarters of hours before, within and after the days that are accounted for, and a little beside them."""
    return st.builds(
        lambda quarter, shift: first_at + quarter * 900 + shift,
        st.integers(-6, 112),
        st.sampled_from((0, 0, 0, 1, -1, 437)),
    )


LENGTHS = st.sampled_from((0, 1, 59, 900, 1800, HOUR, HOUR + 1, 2 * HOUR, 5 * HOUR - 7, 11 * HOUR, 26 * HOUR))


@st.composite
def random_sites(draw: Callable[..., Any], most_clusters: int = 6) -> RandomSite:
    zone, day = draw(st.sampled_from(DAYS))
    first_at = first_second(zone, day)
    shared = draw(team_lines(first_at, ""))
    return RandomSite(
        zone,
        day,
        tuple(
            draw(random_clusters(f"c{number}", first_at, shared))
            for number in range(draw(st.integers(1, most_clusters)))
        ),
    )


@st.composite
def random_clusters(draw: Callable[..., Any], name: str, first_at: int, shared: tuple[TeamLine, ...]) -> Cluster:
    as_of = first_at + draw(st.sampled_from((26 * HOUR, 27 * HOUR + 1_234, 24 * HOUR, 9 * HOUR, 20 * HOUR + 1)))
    installations = tuple(
        each for node in NODES[: draw(st.integers(2, 4))] for each in draw(installations_of(node, first_at))
    )
    cluster = Cluster(name, as_of, installations, (), (), (), shared + draw(team_lines(first_at, name)))
    nodes = sorted({each.node for each in installations})
    cluster = replace(
        cluster,
        events=_distinct(
            draw(st.lists(events([*nodes, STRANGERS[0]], first_at), max_size=7)),
            lambda each: (each.node, each.start, each.state),
        ),
    )
    reservations = draw(st.lists(st.integers(1, 3), max_size=3))
    cluster = replace(
        cluster,
        reservations=tuple(
            draw(reservations_of(cluster, number, nodes, first_at)) for number in range(1, len(reservations) + 1)
        ),
    )
    records: list[Record] = []
    for number in range(draw(st.integers(0, 14))):
        records += draw(attempts(cluster, 100 + number, nodes, first_at))
    return without_contradictions(replace(cluster, records=tuple(records)))


def _distinct(found: list[Any], identity: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple({identity(each): each for each in found}.values())


@st.composite
def installations_of(draw: Callable[..., Any], node: str, first_at: int) -> list[Installation]:
    """One model or two; in service all the time, from or until some time, or changed, moved or away for a while."""
    long_ago = first_at - 90 * 86_400
    found = []
    for model in draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True)):
        count = draw(st.sampled_from((8, 4, 1, 2)))
        change = draw(st.sampled_from(("", "", "", "", "late", "retired", "count", "pool", "away")))
        when = draw(instants(first_at))
        begins, ends = (when, None) if change == "late" else (long_ago, when if change else None)
        found.append(Installation(node, "training", model, count, begins, ends))
        if change in ("count", "pool", "away"):
            later = when + (HOUR + 11 if change == "away" else 0)
            found.append(
                Installation(
                    node,
                    "serving" if change == "pool" else "training",
                    model,
                    draw(st.sampled_from((8, 3, 2))) if change == "count" else count,
                    later,
                    None,
                )
            )
    return found


@st.composite
def events(draw: Callable[..., Any], nodes: list[str], first_at: int) -> Event:
    start = draw(instants(first_at))
    length = draw(st.one_of(LENGTHS, st.none()))
    state = draw(st.sampled_from(sorted(PLANNED | UNPLANNED | DRAINING | NOTHING)))
    return Event(draw(st.sampled_from(nodes)), state, start, None if length is None else start + length)


@st.composite
def reservations_of(
    draw: Callable[..., Any], cluster: Cluster, number: int, nodes: list[str], first_at: int
) -> Reservation:
    start = draw(instants(first_at))
    end = start + draw(LENGTHS)
    kind = draw(st.sampled_from(("whole", "maintenance", "cores", "accelerators", "accelerators")))
    chosen = tuple(sorted(draw(st.sets(st.sampled_from(nodes), min_size=1, max_size=3))))
    tres: tuple[tuple[str, int], ...] = ()
    if kind == "accelerators":
        chosen = chosen[:1]
        models = sorted({each.model for each in cluster.installations if each.node == chosen[0]})
        count = draw(st.sampled_from((1, 2, 5)))
        named = draw(st.sampled_from(models))
        tres = ((named, count),) if len(models) > 1 or draw(st.booleans()) else (("", count),)
    flags = draw(st.sampled_from(((), ("IGNORE_JOBS",), ("DAILY",))))
    if kind == "maintenance":
        flags += ("MAINT",)
    return Reservation(number, f"kept_{number}", chosen, start, end, flags, kind in ("whole", "maintenance"), tres)


@st.composite
def team_lines(draw: Callable[..., Any], first_at: int, cluster: str) -> tuple[TeamLine, ...]:
    found = []
    for account, user in draw(
        st.lists(st.sampled_from((("a1", ""), ("a2", ""), ("", "u1"), ("a1", "u2"))), max_size=3, unique=True)
    ):
        since = draw(st.sampled_from((first_at - 90 * 86_400, first_at + HOUR)))
        moves = draw(st.one_of(st.none(), instants(first_at)))
        label = f"{cluster}{account}{user}"
        if moves is None or moves <= since:
            found.append(TeamLine(cluster, account, user, f"team-{label}", since, None))
        else:
            found.append(TeamLine(cluster, account, user, f"team-{label}", since, moves))
            if draw(st.booleans()):
                found.append(TeamLine(cluster, account, user, f"later-{label}", moves, None))
    return tuple(found)


@st.composite
def attempts(draw: Callable[..., Any], cluster: Cluster, job_id: int, nodes: list[str], first_at: int) -> list[Record]:
    """The records of one job: one; or one for each time that it was requeued or resized."""
    kind = draw(st.sampled_from(("closed", "closed", "closed", "open", "requeued", "resized", "pending", "cancelled")))
    start = draw(instants(first_at))
    submit = start - draw(st.sampled_from((0, 1, 600, 5 * HOUR)))
    account = draw(st.sampled_from(("a1", "a2", "a3", "")))
    user = draw(st.sampled_from(("u1", "u2", "u3")))
    kept_for = draw(st.sampled_from(("", "", *(each.name for each in cluster.reservations))))

    def record(state: str, submitted: int, shown: int | None, begins: int, end: int | None) -> Record:
        """A record that says `shown` as its start and begins to hold at `begins`."""
        chosen, tres = draw(shapes(cluster, nodes, begins))
        return Record(job_id, submitted, shown, end, state, tres, chosen, account, user, kept_for)

    if kind == "closed":
        return [record(draw(st.sampled_from(CLOSED)), submit, start, start, start + draw(LENGTHS))]
    if kind == "open":
        return [record(draw(st.sampled_from(OPEN)), submit, start, start, None)]
    if kind == "pending":
        return [record("PENDING", submit, None, start, None)]
    if kind == "cancelled":
        return [record("CANCELLED by 1234", submit, None, start, start + 60)]
    found = []
    shown = start
    for number in range(draw(st.integers(1, 2))):
        end = start + draw(LENGTHS)
        if kind == "requeued":
            found.append(record("REQUEUED", submit, start, start, end))
            submit, start = max(end, submit + 1), end + draw(st.sampled_from((1, 30, HOUR)))
        else:
            found.append(record("RESIZING", submit, start if number == 0 else shown, start, end))
            submit = start = max(end, submit + 1)
    end = start + draw(LENGTHS)
    found.append(record("COMPLETED", submit, start if kind == "requeued" else min(shown, end), start, end))
    return found


@st.composite
def shapes(
    draw: Callable[..., Any], cluster: Cluster, nodes: list[str], start: int
) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Nodes and accelerators whose placement the rules decide: by nodes, types and what is installed at the start."""
    single = {node: installed(cluster, node, start) for node in (*nodes, *STRANGERS)}
    if draw(st.booleans()) and draw(st.booleans()):
        modest = [node for node, models in single.items() if len(models) <= 1]
        if len(modest) > 1:
            chosen = tuple(sorted(draw(st.sets(st.sampled_from(modest), min_size=2, max_size=3))))
            most = min([sum(single[node].values()) for node in chosen if single[node]], default=4)
            count = draw(st.integers(1, most * len(chosen)))
            typed: dict[str, int] = {}
            is_known = all(single[node] for node in chosen)
            for node in chosen:
                model = next(iter(single[node]), "h100")
                typed[model] = typed.get(model, 0) + share(count, chosen, node)
            if not is_known and len(typed) > 1:
                return chosen, (("", count),)
            by_type = tuple((model, each) for model, each in typed.items() if each)
            return chosen, draw(st.sampled_from(((("", count),), by_type, (*by_type, ("", count)))))
    node = draw(st.sampled_from((*nodes, *nodes, *STRANGERS)))
    models = sorted(single[node])
    count = draw(st.sampled_from((1, 2, 3, 4, 8, 10)))
    if len(models) > 1:
        first = draw(st.integers(0, count))
        return (node,), tuple(
            (model, each) for model, each in zip(models, (first, count - first), strict=False) if each
        )
    named = draw(st.sampled_from((*MODELS, *models)))
    kinds = ((("", count),), ((named, count),), (("", count), (named, count)), (("", count + 1), (named, count)))
    if not models:
        kinds = kinds[:3]
    return (node,), draw(st.sampled_from(kinds))


def without_contradictions(cluster: Cluster) -> Cluster:
    """Ends open records that something contradicts: a later attempt on a node of theirs, or an event or its service."""

    def is_contradicted(record: Record) -> bool:
        start = record.start or 0
        return (
            any(
                other is not record
                and other.start is not None
                and set(other.nodes) & set(record.nodes)
                and (other.end is None or other.end > start)
                for other in cluster.records
            )
            or any(event.node in record.nodes and (event.end is None or event.end > start) for event in cluster.events)
            or any(
                each.node in record.nodes and (each.since > start or (each.until or start) > start)
                for each in cluster.installations
            )
        )

    records = tuple(
        replace(record, state="COMPLETED", end=(record.start or 0) + 3 * HOUR)
        if record.state in OPEN and is_contradicted(record)
        else record
        for record in cluster.records
    )
    cluster = replace(cluster, records=records)
    for record in records:
        if true_start(cluster, record) is not None and total(record.tres):
            placed(cluster, record)
    return cluster


def told(files: Mapping[str, str | bytes]) -> str:
    """Files for a reader."""
    return "\n".join(
        f"----- {path}\n{content if isinstance(content, str) else f'{len(content)} bytes'}"
        for path, content in files.items()
    )
