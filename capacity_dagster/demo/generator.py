"""Writes a made-up site of any size, as its tools would have written it; same arguments, same bytes.

What belongs here: the files of a generated site. What does not: what happened on it (`generated_fleet`).

The past is exported in months, as one does when one begins, and the last month was collected day by day, so that
attempts that run at the end of a window come again in the next one. One record in a hundred cannot be understood.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from capacity_dagster.demo.generated_bills import write_bills
from capacity_dagster.demo.generated_fleet import (
    CANCELLED_BEFORE_START,
    DAY,
    FIRST_DAY,
    HOUR,
    NODE_FAIL,
    PENDING,
    RUNNING,
    STATES,
    Block,
    Fleet,
    day_of,
    generate_fleet,
    racks,
)
from capacity_dagster.errors import SiteFileError
from capacity_dagster.sources.slurm_commands import JOB_COLUMNS, STAMP
from capacity_dagster.tables.catalogue import assets_folder
from capacity_dagster.tables.quoting import identifier, literal

CLUSTER = "atlas"
TEAMS = ("language", "vision", "speech", "ranking", "robotics", "biology", "climate", "code", "safety", "search")
ENTITLED_TEAMS = 6
ACCOUNTS = 60
USERS = 600
PRICES = {"h100": 30_000, "a100": 14_000, "l40s": 8_000}
MONTHLY_COSTS = {"power": 55, "colo": 70, "support": 25}
"""For each accelerator."""

EVENT_HEADER = "Cluster|Cluster Nodes|NodeName|TimeStart|TimeEnd|StateRaw|State|TRES|User|Reason"
RESERVATION_HEADER = "Cluster|ID|Name|NodeName|TimeStart|TimeEnd|Flags|TRES|Assocs"


@dataclass(frozen=True)
class Window:
    """What one pull of the accounting database is about; the instant of its end is when it was collected."""

    name: str
    starts_at: int
    ends_at: int


def generate_site(
    folder: Path,
    attempts: int,
    days: int,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
    charges: int = 0,
) -> None:
    """Writes a site of one cluster: scheduler records, inventory, teams and costs, and the site file.

    Args:
        attempts: how many; the fleet is as large as they need.
        days: over how many, from 2025-01-01 on.
        tell: hears what is being done.
        charges: about how many there are on bills of rented machines; without any there are no bills.

    Raises:
        SiteFileError: the folder has a site file already, or so few attempts cannot be generated.
    """
    if (folder / "site.toml").exists():
        raise SiteFileError(f"{folder / 'site.toml'}: exists already; expected a folder without a site file")
    tell("making up a fleet and its attempts")
    try:
        fleet = generate_fleet(attempts, days, seed)
    except ValueError as error:
        raise SiteFileError(str(error)) from error
    slurm = folder / "landing" / "slurm" / CLUSTER
    slurm.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as connection:
        _create_relations(connection, fleet)
        for window in windows(fleet):
            tell(f"writing {window.name}")
            for kind, header in (
                ("jobs", JOB_COLUMNS.replace(",", "|")),
                ("node_events", EVENT_HEADER),
                ("reservations", RESERVATION_HEADER),
            ):
                collected_at = datetime.fromtimestamp(window.ends_at, UTC)
                file = slurm / f"{kind}-{window.name}-collected-{collected_at.strftime(STAMP)}.psv"
                _write(connection, kind, header, window, file)
    (slurm / "nodes.txt").write_text("".join(_shown_nodes(fleet)), encoding="utf-8")
    landing = folder / "landing"
    _write_lines(landing / "inventory.csv", _inventory(fleet))
    _write_lines(landing / "teams.csv", _teams(fleet))
    _write_lines(landing / "entitlements.csv", _entitlements(fleet))
    _write_lines(landing / "purchase_lots.csv", _lots(fleet))
    _write_lines(landing / "flat_costs.csv", _flat_costs(fleet))
    (folder / "site.toml").write_text(_site_file(attempts, days, seed), encoding="utf-8")
    if charges:
        tell("writing bills")
        write_bills(folder, fleet.first_at, fleet.as_of, charges)


def windows(fleet: Fleet) -> list[Window]:
    """Whole months, and the days of the last one."""
    found: list[Window] = []
    edges = [fleet.first_at + day * DAY for day in range((fleet.as_of - fleet.first_at) // DAY + 1)]
    last_month = day_of(fleet.as_of - 1).replace(day=1)
    months = sorted({day_of(edge).replace(day=1) for edge in edges[:-1]})
    for month in months:
        inside = [edge for edge in edges[:-1] if day_of(edge).replace(day=1) == month]
        if month < last_month:
            found.append(Window(month.strftime("%Y-%m"), inside[0], inside[-1] + DAY))
        else:
            found += [Window(day_of(edge).isoformat(), edge, edge + DAY) for edge in inside]
    return found


def _create_relations(connection: duckdb.DuckDBPyConnection, fleet: Fleet) -> None:
    """What the queries of `assets_sql/demo` read: attempts, lanes, the words of states."""
    arrays = {name: pa.array(values) for name, values in vars(fleet.attempts).items()}
    lanes = {
        "lane": range(len(fleet.lanes)),
        "pool": [lane.block.pool for lane in fleet.lanes],
        "accelerator_model": [lane.block.accelerator_model for lane in fleet.lanes],
        "node_accelerators": [lane.block.accelerators for lane in fleet.lanes],
        "accelerators": [lane.accelerators for lane in fleet.lanes],
        "nodes": [len(lane.nodes) for lane in fleet.lanes],
        "first_node": [lane.nodes[0] for lane in fleet.lanes],
        "node_list": [host_list(lane.nodes) for lane in fleet.lanes],
        "half_node_list": [host_list(lane.nodes[: max(1, len(lane.nodes) // 2)]) for lane in fleet.lanes],
        "block_node_list": [
            host_list(lane.block.nodes) if lane.maintained_from is not None else "" for lane in fleet.lanes
        ],
        "reservation_name": [lane.reservation for lane in fleet.lanes],
        "maintained_from": pa.array([lane.maintained_from for lane in fleet.lanes], pa.int64()),
        "starts_at": [lane.starts_at for lane in fleet.lanes],
        "ends_at": [lane.ends_at for lane in fleet.lanes],
    }
    words = {**dict(enumerate(STATES)), RUNNING: "RUNNING", PENDING: "PENDING", CANCELLED_BEFORE_START: "CANCELLED"}
    for name, relation in (
        ("attempts", pa.table(arrays)),
        ("lanes", pa.table(lanes)),
        ("states", pa.table({"state": list(words), "word": list(words.values())})),
    ):
        connection.register("given", relation)
        connection.execute(f"create table {name} as select * from given")
        connection.unregister("given")
    connection.execute("create table site (cluster varchar, accounts bigint, users bigint, node_fail bigint)")
    connection.execute("insert into site values (?, ?, ?, ?)", [CLUSTER, ACCOUNTS, USERS, NODE_FAIL])


def _write(connection: duckdb.DuckDBPyConnection, kind: str, header: str, window: Window, file: Path) -> None:
    """Writes the lines of a query, nothing quoted or escaped, under a header."""
    query = (assets_folder() / "demo" / f"{kind}.sql").read_text(encoding="utf-8")
    connection.execute(
        f"copy (select line as {identifier(header)} from ({query})) to {literal(file)} "
        "(format csv, header true, delimiter '\x01', quote '', escape '')",
        {"window_start": window.starts_at, "window_end": window.ends_at},
    )


def host_list(nodes: tuple[str, ...]) -> str:
    """Slurm's form of names that differ in their last digits: `gpu[0001-0004,0007]`.

    Args:
        nodes: in order, of one prefix and one number of digits.
    """
    prefix = nodes[0].rstrip("0123456789")
    digits = len(nodes[0]) - len(prefix)
    if len(nodes) == 1:
        return nodes[0]
    runs: list[list[int]] = []
    for number in (int(node[len(prefix) :]) for node in nodes):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = (f"{a:0{digits}d}" if a == b else f"{a:0{digits}d}-{b:0{digits}d}" for a, b in runs)
    return f"{prefix}[{','.join(shown)}]"


def _node_size(block: Block) -> tuple[int, int]:
    """(CPUs, memory in GiB) of a block's nodes."""
    return (block.accelerators * 16, block.accelerators * 128) if block.accelerators else (64, 256)


def _shown_nodes(fleet: Fleet) -> Iterator[str]:
    """What `scontrol show node` prints, as far as it matters."""
    for block in fleet.blocks:
        cpus, memory = _node_size(block)
        has = f",gres/gpu={block.accelerators},gres/gpu:{block.accelerator_model}={block.accelerators}"
        gres = f"gpu:{block.accelerator_model}:{block.accelerators}"
        for node in block.nodes:
            yield (
                f"NodeName={node} Arch=x86_64 CoresPerSocket={cpus // 2} \n"
                f"   CPUAlloc=0 CPUEfctv={cpus} CPUTot={cpus} CPULoad=0.00\n"
                f"   Gres={gres if block.accelerators else '(null)'}\n"
                f"   RealMemory={memory * 1024} AllocMem=0 Sockets=2 Boards=1\n"
                f"   State=IDLE ThreadsPerCore=1 Partitions={block.pool} \n"
                f"   CfgTRES=cpu={cpus},mem={memory}G,billing={cpus}{has if block.accelerators else ''}\n"
                f"   AllocTRES=\n\n"
            )


def _inventory(fleet: Fleet) -> Iterator[str]:
    yield "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at"
    for position, block in enumerate(fleet.blocks):
        for rack, nodes in enumerate(racks(block) if block.accelerators else []):
            about = f"{block.accelerator_model},{block.accelerators}"
            since = _instant(block.in_service_at + rack * DAY)
            until = _instant(block.retired_at) if block.retired_at else ""
            for node in nodes:
                # The first rack is handed to another pool half-way.
                if position == 0 and rack == 0:
                    moved_at = _instant(_half_way(fleet))
                    yield f"{CLUSTER},{node},{block.pool},{about},{since},{moved_at}"
                    yield f"{CLUSTER},{node},research,{about},{moved_at},"
                else:
                    yield f"{CLUSTER},{node},{block.pool},{about},{since},{until}"


def _teams(fleet: Fleet) -> Iterator[str]:
    yield "cluster,account,user,team,valid_from,valid_to"
    begin, half_way = _instant(fleet.first_at - 900 * DAY), _instant(_half_way(fleet))
    for account in range(ACCOUNTS - 1):  # nobody has claimed the last one
        team = TEAMS[account % len(TEAMS)]
        if account == 7:
            yield f"{CLUSTER},acct{account:02d},,{team},{begin},{half_way}"
            yield f"{CLUSTER},acct{account:02d},,{TEAMS[0]},{half_way},"
        else:
            yield f"{CLUSTER},acct{account:02d},,{team},{begin},"


def _entitlements(fleet: Fleet) -> Iterator[str]:
    """Nearly all of each pool is promised to some teams; half-way one takes over from another."""
    yield "team,cluster,pool,accelerator_model,accelerators,valid_from,valid_to"
    begin, half_way = _instant(fleet.first_at - 900 * DAY), _instant(_half_way(fleet))
    for pool, accelerators in sorted(_pool_sizes(fleet).items()):
        for position, team in enumerate(TEAMS[: ENTITLED_TEAMS + 1]):
            part = accelerators / ENTITLED_TEAMS * 0.9
            since, until = begin, ""
            if position == ENTITLED_TEAMS - 1:
                until = half_way
            elif position == ENTITLED_TEAMS:
                since = half_way
            yield f"{team},{CLUSTER},{pool},,{part:.6f},{since},{until}"


def _pool_sizes(fleet: Fleet) -> dict[str, int]:
    """Accelerators of each pool when it had most."""
    sizes: dict[str, int] = {"research": len(racks(fleet.blocks[0])[0]) * fleet.blocks[0].accelerators}
    for block in fleet.blocks:
        sizes[block.pool] = sizes.get(block.pool, 0) + len(block.nodes) * block.accelerators
    return sizes


def _lots(fleet: Fleet) -> Iterator[str]:
    yield "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,currency,in_service_at,life_months"
    for position, block in enumerate(fleet.blocks):
        for rack, nodes in enumerate(racks(block) if block.accelerators else []):
            count = len(nodes) * block.accelerators
            price = count * PRICES[block.accelerator_model]
            about = f"{block.accelerator_model},{count},{price}.00,{price // 10}.00,USD"
            since = _instant(block.in_service_at + rack * DAY)
            yield f"lot-{position}-{rack},{CLUSTER},{block.pool},{about},{since},48"
            if position == 0 and rack == 0:
                yield f"lot-{position}-{rack}-moved,{CLUSTER},research,{about},{_instant(_half_way(fleet))},24"


def _flat_costs(fleet: Fleet) -> Iterator[str]:
    yield "cost_component,cluster,pool,amount,currency,period_start,period_end"
    months = sorted({day_of(at).replace(day=1) for at in range(fleet.first_at, fleet.as_of, DAY)})
    sizes = _pool_sizes(fleet)
    for month in months:
        until = (month + timedelta(days=32)).replace(day=1)
        for pool, accelerators in sorted(sizes.items()):
            for component, price in MONTHLY_COSTS.items():
                if accelerators:
                    period = f"{month.isoformat()}T00:00:00Z,{until.isoformat()}T00:00:00Z"
                    yield f"{component},{CLUSTER},{pool},{accelerators * price}.37,USD,{period}"


def _site_file(attempts: int, days: int, seed: int) -> str:
    models = "\n".join(f"[accelerators.{model}]\nmemory_gb = 80\n" for model in PRICES)
    pools = "\n".join(f'[pools.{pool}]\ntenure = "owned"\n' for pool in ("hopper", "ampere", "lovelace", "research"))
    dated = "collected_at = 'collected-(?P<at>[0-9]{8}T[0-9]{6}Z)'"
    return f"""# A made-up site: {attempts:,} attempts in {days} days, seed {seed}. Nothing in it is anybody's.

[site]
name = "generated"
first_day = {FIRST_DAY.isoformat()}

[clusters.{CLUSTER}]
time_zone = "UTC"

{models}
{pools}
[[workload_classes]]
name = "interactive"
partitions = ["interactive"]

[[workload_classes]]
name = "preemptible"
qos = ["low"]

[[workload_classes]]
name = "training"
partitions = ["hopper", "ampere", "lovelace"]

[[sources]]
kind = "slurm_jobs"
files = "slurm/*/jobs-*"
{dated}

[[sources]]
kind = "slurm_node_events"
files = "slurm/*/node_events-*"
{dated}

[[sources]]
kind = "slurm_reservations"
files = "slurm/*/reservations-*"
{dated}

[[sources]]
kind = "slurm_nodes"
cluster = "{CLUSTER}"
files = "slurm/{CLUSTER}/nodes.txt"

[[sources]]
kind = "inventory"
files = "inventory.csv"

[[sources]]
kind = "org_mapping"
files = "teams.csv"

[[sources]]
kind = "entitlements"
files = "entitlements.csv"

[[sources]]
kind = "purchase_lots"
files = "purchase_lots.csv"

[[sources]]
kind = "flat_costs"
files = "flat_costs.csv"
"""


def _half_way(fleet: Fleet) -> int:
    return fleet.first_at + (fleet.as_of - fleet.first_at) // 2 // HOUR * HOUR


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_lines(file: Path, lines: Iterator[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
