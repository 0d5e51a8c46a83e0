"""Random small clusters whose `sreport` is made here, second by second, by Slurm's rules: nothing may stay unexplained.

The rules, as Slurm's documentation and its totals for real clusters show them: see docs/sources/slurm_cluster_usage.md.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import pytest

HOURS = 3
T0 = 1_767_261_600  # 2026-01-01T10:00:00Z
END = T0 + HOURS * 3600
NODES = {"h1": 4, "h2": 4, "h3": 4, "h4": 8}
"""What the scheduler believes each node to have; the inventory knows only 6 of h4."""
INVENTORY = "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at\n" + "".join(
    f"alpha,{node},training,h100,{min(count, 6)},2026-01-01T00:00:00Z,\n" for node, count in NODES.items()
)
SITE = """
[site]
name = "random"
first_day = 2026-01-01

[clusters.alpha]
time_zone = "UTC"
""" + "".join(
    f'\n[[sources]]\nkind = "{kind}"\nfiles = "{files}"\ntime_zone = "UTC"\n'
    for kind, files in (
        ("slurm_jobs", "jobs.psv"),
        ("slurm_node_events", "events.psv"),
        ("slurm_reservations", "reservations.psv"),
        ("slurm_cluster_usage", "sreport-*.psv"),
        ("inventory", "inventory.csv"),
    )
)


@dataclass(frozen=True)
class Job:
    number: int
    submit: int
    eligible: int
    start: int
    end: int | None
    state: str
    count: int
    is_typed: bool
    node: str
    reservation: str

    def holds(self, second: int) -> bool:
        return self.start <= second < (self.end or END)

    def tres(self) -> str:
        return f"cpu=1,gres/gpu={self.count}" + (f",gres/gpu:h100={self.count}" if self.is_typed else "")


@dataclass(frozen=True)
class Event:
    node: str
    start: int
    end: int | None
    state: str

    def is_on(self, second: int) -> bool:
        return self.start <= second < (self.end or END)


@dataclass(frozen=True)
class Reservation:
    name: str
    node: str
    start: int
    end: int
    flags: str
    has_gpus: bool

    def is_on(self, second: int) -> bool:
        return self.start <= second < self.end


@dataclass(frozen=True)
class Cluster:
    jobs: list[Job]
    events: list[Event]
    reservations: list[Reservation]


def some_cluster(seed: int) -> Cluster:
    chance = random.Random(seed)
    reservations = [
        Reservation(
            f"r{number}",
            node,
            T0 + chance.randrange(0, 6_000),
            T0 + chance.randrange(6_100, HOURS * 3600 + 900),
            chance.choice(["SPEC_NODES", "MAINT,SPEC_NODES", "MAINT,IGNORE_JOBS", "IGNORE_JOBS,SPEC_NODES"]),
            chance.random() < 0.4,
        )
        for number, node in enumerate(["h2", "h3"])
    ]
    jobs: list[Job] = []
    for number in range(1, 40):
        submit = T0 + chance.randrange(-1_000, HOURS * 3600 - 10)
        start = submit + chance.randrange(0, 500)
        length = chance.randrange(1, 5_000)
        node = chance.choice(list(NODES))
        inside = [each for each in reservations if each.node == node and chance.random() < 0.5]
        job = Job(
            number,
            submit,
            submit + (chance.choice([0, 0, 4_000])),
            start,
            start + length if start + length < END else None,
            "COMPLETED",
            chance.randrange(1, 5),
            chance.random() < 0.7,
            node,
            inside[0].name if inside else "",
        )
        if (
            chance.random() < 0.2 and job.end
        ):  # shrinks; the follower keeps the start and becomes eligible at its submission
            after = job.end + chance.randrange(1, 3_000)
            jobs.append(Job(**(vars(job) | {"state": "RESIZING"})))
            end = after if after < END else None
            job = Job(**(vars(job) | {"submit": job.end, "eligible": job.end, "end": end, "count": 1}))
        jobs.append(Job(**(vars(job) | {"state": job.state if job.end else "RUNNING"})))
    events = [
        Event(
            chance.choice(list(NODES)),
            start := T0 + chance.randrange(-500, HOURS * 3600 - 10),
            end if (end := start + chance.randrange(1, 2_500)) < END else None,
            chance.choice(["DOWN*", "DRAIN", "FUTR", "POWERED_DOWN", "DOWN$", "REBOOT"]),
        )
        for _ in range(12)
    ]
    return Cluster(jobs, list({(each.node, each.start, each.state): each for each in events}.values()), reservations)


def registered(second: int) -> int:
    """h4 registered an hour late."""
    return sum(NODES.values()) - (NODES["h4"] if second < T0 + 3_700 else 0)


def slurms_hour(cluster: Cluster, hour: int, is_typed: bool) -> dict[str, int]:
    """What Slurm makes of an hour, for all accelerators or for those of the type."""
    begins, ends = T0 + hour * 3600, T0 + (hour + 1) * 3600
    sums = dict.fromkeys(("Allocated", "Down", "PLND Down", "Reported"), 0)
    by_name = {each.name: each for each in cluster.reservations}
    jobs = [job for job in cluster.jobs if job.eligible < ends and (job.is_typed or not is_typed)]
    events = [event for event in cluster.events if "$" not in event.state]
    charging = {name: each for name, each in by_name.items() if each.has_gpus and "IGNORE_JOBS" not in each.flags}
    charged = dict.fromkeys(charging, 0)
    for second in range(begins, ends):
        sums["Reported"] += registered(second)
        for job in jobs:
            reservation = by_name.get(job.reservation)
            counts = not reservation or ("IGNORE_JOBS" in reservation.flags and reservation.is_on(second))
            if counts and job.holds(second):
                sums["Allocated"] += job.count
        down = [event for event in events if event.is_on(second)]
        for name, reservation in charging.items():
            if reservation.is_on(second):
                gone = sum(NODES[event.node] for event in down if event.node == reservation.node)
                charged[name] += NODES[reservation.node] - gone
        for event in down:
            over = [each for each in cluster.reservations if each.node == event.node and each.is_on(second)]
            planned = "MAINT" in over[0].flags if over else event.state in ("FUTR", "POWERED_DOWN")
            sums["PLND Down" if planned else "Down"] += NODES[event.node]
    for name, reservation in charging.items():
        sums["PLND Down" if "MAINT" in reservation.flags else "Allocated"] += max(0, charged[name])
    sums["Allocated"] = min(sums["Allocated"], sums["Reported"])
    sums["Down"] = min(sums["Down"], sums["Reported"] - sums["Allocated"])
    sums["PLND Down"] = min(sums["PLND Down"], sums["Reported"] - sums["Allocated"] - sums["Down"])
    sums["Idle"] = sums["Reported"] - sums["Allocated"] - sums["Down"] - sums["PLND Down"]
    return sums


def local(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def report(hours: list[dict[str, dict[str, int]]], first: int) -> str:
    """sreport's words for some hours, the first of them by number."""
    names = ("Allocated", "Down", "PLND Down", "Idle", "Reported")
    begins, ends = T0 + first * 3600, T0 + (first + len(hours)) * 3600 - 1
    lines = [f"Cluster Utilization {local(begins)} - {local(ends)}", "Usage reported in TRES Seconds"]
    lines.append("|".join(["Cluster", "TRES Name", *names]))
    for resource in hours[0]:
        lines.append(
            "|".join(["alpha", resource, *(str(sum(hour[resource][name] for hour in hours)) for name in names)])
        )
    return "\n".join(lines) + "\n"


def files_of(cluster: Cluster) -> Iterator[tuple[str, str]]:
    yield "inventory.csv", INVENTORY
    yield "as_of.txt", f"{local(END)}Z\n"
    header = "Cluster|JobIDRaw|Submit|Eligible|Start|End|State|Account|User|AllocTRES|NodeList|Reservation"
    yield (
        "jobs.psv",
        "\n".join(
            [
                header,
                *(
                    f"alpha|{job.number}|{job.submit}|{job.eligible}|{job.start}|{job.end or 'Unknown'}|{job.state}"
                    f"|lab|ann|{job.tres()}|{job.node}|{job.reservation}"
                    for job in cluster.jobs
                ),
            ]
        )
        + "\n",
    )
    lines = ["Cluster|NodeName|TimeStart|TimeEnd|State|TRES"]
    steps = [T0 - 9_000, T0 + 3_700, None]
    for begins, ends in pairwise(steps):
        count = registered(begins or 0)
        lines.append(
            f"alpha||{local(begins or 0)}|{local(ends) if ends else 'Unknown'}||gres/gpu={count},gres/gpu:h100={count}"
        )
    for event in cluster.events:
        tres = f"gres/gpu={NODES[event.node]},gres/gpu:h100={NODES[event.node]}"
        ends_at = local(event.end) if event.end else "Unknown"
        lines.append(f"alpha|{event.node}|{local(event.start)}|{ends_at}|{event.state}|{tres}")
    yield "events.psv", "\n".join(lines) + "\n"
    lines = ["Cluster|ID|Name|NodeName|TimeStart|TimeEnd|Flags|TRES"]
    for number, each in enumerate(cluster.reservations, start=1):
        tres = f"cpu=8,gres/gpu={NODES[each.node]},gres/gpu:h100={NODES[each.node]}" if each.has_gpus else "cpu=8"
        lines.append(
            f"alpha|{number}|{each.name}|{each.node}|{local(each.start)}|{local(each.end)}|{each.flags}|{tres}"
        )
    yield "reservations.psv", "\n".join(lines) + "\n"
    hours = [
        {name: slurms_hour(cluster, hour, name != "gres/gpu") for name in ("gres/gpu", "gres/gpu:h100")}
        for hour in range(HOURS)
    ]
    for number in range(HOURS):
        yield f"sreport-{number}.psv", report(hours[number : number + 1], number)
    yield "sreport-all.psv", report(hours, 0)


@pytest.mark.parametrize("seed", range(3))
def test_no_second_of_a_random_cluster_is_unexplained(make_site, build, query, seed: int) -> None:
    site = make_site(SITE, dict(files_of(some_cluster(seed))))
    build(site, "report.reconciliation_daily")
    assert query(site, "select count(*) from raw.slurm_jobs__rejected") == [(0,)]
    rows = query(
        site,
        "select measure, window_start, window_end, ours, theirs, explained_by, unexplained "
        "from report.reconciliation_daily order by all",
    )
    assert len(rows) == (HOURS + 1) * 2 * 5
    assert [row for row in rows if row[-1] != 0] == []
    assert any(row[3] != row[4] for row in rows)
