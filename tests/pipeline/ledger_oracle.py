"""The accounting rules of the ledger in plain Python, written from the rules and not from the SQL.

A cluster's history is cut at every instant at which anything happens; of each stretch between two cuts the first second
is judged by looking through everything that there is, and every other second of the stretch is like it.

Where two people would settle a thing differently and the rules do not, `Cluster` must not hold it: `placed` raises.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

DEVICE = 84_000
"""Units of one whole device."""

EPOCH = datetime(1970, 1, 1)
PLANNED = {"FUTURE", "POWERED_DOWN", "MAINT", "IDLE+POWERED_DOWN", "DOWN+MAINT"}
UNPLANNED = {"DOWN", "DOWN*", "FAIL", "IDLE*", "DOWN*+DRAIN"}
DRAINING = {"DRAIN", "DRAINED", "DRAINING", "IDLE+DRAIN", "MIXED+DRAIN"}
NOTHING = {"IDLE", "MIXED", "ALLOCATED", "RESERVED"}


@dataclass(frozen=True)
class Installation:
    """So many accelerators of a model on a node, in a pool, from an instant until another one."""

    node: str
    pool: str
    model: str
    count: int
    since: int
    until: int | None


@dataclass(frozen=True)
class Record:
    """One record of sacct. `tres` counts accelerators by type; the type '' is the untyped count, which is the total."""

    job_id: int
    submit: int
    start: int | None
    end: int | None
    state: str
    tres: tuple[tuple[str, int], ...]
    nodes: tuple[str, ...]
    account: str = ""
    user: str = ""
    reservation: str = ""


@dataclass(frozen=True)
class Event:
    """What happened to a node."""

    node: str
    state: str
    start: int
    end: int | None


@dataclass(frozen=True)
class Reservation:
    """Nodes kept for someone: whole, or some cores of them and the accelerators that it names."""

    number: int
    name: str
    nodes: tuple[str, ...]
    start: int
    end: int
    flags: tuple[str, ...]
    is_whole: bool
    tres: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class TeamLine:
    """An account, a user or both belong to a team for some time, on one cluster or ('') on all."""

    cluster: str
    account: str
    user: str
    team: str
    since: int
    until: int | None


@dataclass(frozen=True)
class Cluster:
    """Everything that was delivered about a cluster, and until when it speaks."""

    name: str
    as_of: int
    installations: tuple[Installation, ...]
    records: tuple[Record, ...]
    events: tuple[Event, ...]
    reservations: tuple[Reservation, ...]
    teams: tuple[TeamLine, ...]


Hour = tuple[date, datetime]
"""The reporting day, and the UTC hour."""


@dataclass
class Ledger:
    """What must come out; all amounts in unit-seconds, with keys that begin with the hour.

    Attributes:
        states: by pool, node, model and state.
        excess: by pool, node, model and kind (overcommit, unplaced).
        held: by attempt, pool, node and model.
        shares: likewise, what of it was allocated, exactly; fractions, because rounding is by largest remainder.
        stretches: likewise, in how many stretches of time something was shared, so how many roundings there were.
    """

    states: Counter[tuple[Hour, str, str, str, str]] = field(default_factory=Counter)
    excess: Counter[tuple[Hour, str, str, str, str]] = field(default_factory=Counter)
    held: Counter[tuple[Hour, str, str, str, str]] = field(default_factory=Counter)
    shares: dict[tuple[Hour, str, str, str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    stretches: Counter[tuple[Hour, str, str, str, str]] = field(default_factory=Counter)


def attempt_id(cluster: Cluster, record: Record) -> str:
    return f"{cluster.name}/{record.job_id}/{record.submit}"


def true_start(cluster: Cluster, record: Record) -> int | None:
    """A record that follows a RESIZING one keeps the original Start; it begins at its own submission."""
    before = [each for each in cluster.records if each.job_id == record.job_id and each.submit < record.submit]
    if record.start is not None and before and max(before, key=lambda each: each.submit).state == "RESIZING":
        return max(record.start, record.submit)
    return record.start


def known_end(cluster: Cluster, record: Record) -> int:
    return cluster.as_of if record.end is None else min(record.end, cluster.as_of)


def held_seconds(cluster: Cluster, record: Record) -> int:
    start = true_start(cluster, record)
    return 0 if start is None else max(0, known_end(cluster, record) - start)


def is_in_service(installation: Installation, second: int) -> bool:
    return installation.since <= second and (installation.until is None or second < installation.until)


def installed(cluster: Cluster, node: str, second: int) -> dict[str, int]:
    """Devices by model."""
    found: Counter[str] = Counter()
    for installation in cluster.installations:
        if installation.node == node and is_in_service(installation, second):
            found[installation.model] += installation.count
    return {model: count for model, count in found.items() if count}


def total(tres: tuple[tuple[str, int], ...]) -> int:
    """Typed and untyped counts overlap; the untyped one is the total."""
    counts = dict(tres)
    return max(counts.get("", 0), sum(count for type_name, count in tres if type_name))


def share(count: int, nodes: tuple[str, ...], node: str) -> int:
    """An even split; the remainder goes to the first nodes by name."""
    return count // len(nodes) + (sorted(nodes).index(node) < count % len(nodes))


def placed(cluster: Cluster, record: Record) -> dict[tuple[str, str], int]:
    """Units by node and model: the type where the inventory has it on the node at the start, else the inventory's."""
    start = true_start(cluster, record)
    assert start is not None
    typed = {type_name: count for type_name, count in record.tres if type_name}
    found: Counter[tuple[str, str]] = Counter()
    if len(record.nodes) == 1:
        (node,) = record.nodes
        models = installed(cluster, node, start)
        unmatched = total(record.tres)
        for type_name, count in typed.items():
            if type_name in models or not models:
                found[node, type_name] += count * DEVICE
                unmatched -= count
        if unmatched:
            if len(models) > 1:
                raise ValueError(f"which model of {node} is it?")
            found[node, next(iter(models), "unknown")] += unmatched * DEVICE
        return {key: units for key, units in found.items() if units}
    for node in record.nodes:
        models = installed(cluster, node, start)
        count = share(total(record.tres), record.nodes, node)
        if len(models) > 1 or (models and count > max(models.values())) or (not models and len(typed) > 1):
            raise ValueError(f"what does {node} take?")
        found[node, next(iter(models or typed), "unknown")] += count * DEVICE
    by_model: Counter[str] = Counter()
    for (_, model), units in found.items():
        by_model[model] += units // DEVICE
    if any(by_model[type_name] != count for type_name, count in typed.items() if type_name in by_model):
        raise ValueError("the types do not add up with an even split")
    return {key: units for key, units in found.items() if units}


def team(cluster: Cluster, record: Record) -> str:
    """At the start, or at the submission of what never started; the line that says most about the attempt rules."""
    start = true_start(cluster, record)
    second = record.submit if start is None else start
    fitting = [
        line
        for line in cluster.teams
        if line.cluster in ("", cluster.name)
        and line.account in ("", record.account)
        and line.user in ("", record.user)
        and line.since <= second
        and (line.until is None or second < line.until)
    ]
    if not fitting:
        return "unattributed"
    return max(fitting, key=lambda line: (line.user != "", line.account != "", line.cluster != "")).team


def happens(cluster: Cluster, node: str, second: int, states: set[str]) -> bool:
    return any(
        event.node == node
        and event.state in states
        and event.start <= second
        and (event.end is None or second < event.end)
        for event in cluster.events
    )


def reservations_at(cluster: Cluster, node: str, second: int) -> list[Reservation]:
    return [each for each in cluster.reservations if node in each.nodes and each.start <= second < each.end]


def free_state(cluster: Cluster, node: str, second: int) -> str:
    """The first state of the ledger's order that claims what nobody holds on a node, but for partial reservations."""
    reservations = reservations_at(cluster, node, second)
    if any("MAINT" in each.flags for each in reservations) or happens(cluster, node, second, PLANNED):
        return "down_planned"
    if happens(cluster, node, second, UNPLANNED):
        return "down_unplanned"
    if happens(cluster, node, second, DRAINING):
        return "draining_unusable"
    if any(each.is_whole for each in reservations):
        return "reserved_idle"
    return "idle_schedulable"


def cuts(cluster: Cluster, zone: ZoneInfo, first_at: int) -> list[int]:
    """Every instant at which something may change, hours and local midnights among them."""
    found = {first_at, cluster.as_of}
    for record in cluster.records:
        found |= {record.submit, record.start or first_at, record.end or cluster.as_of}
    for one in (*cluster.events, *cluster.reservations):
        found |= {one.start, one.end or cluster.as_of}
    for installation in cluster.installations:
        found |= {installation.since, installation.until or cluster.as_of}
    for second in range(first_at // 900 * 900, cluster.as_of, 900):
        if second % 3600 == 0 or local_day(second, zone) != local_day(second - 1, zone):
            found.add(second)
    return sorted(second for second in found if first_at <= second <= cluster.as_of)


def local_day(second: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(second, zone).date()


def hour_of(second: int, zone: ZoneInfo) -> Hour:
    return local_day(second, zone), EPOCH + timedelta(seconds=second // 3600 * 3600)


def stretches(cluster: Cluster, zone: ZoneInfo, first_at: int) -> Iterator[tuple[int, int]]:
    yield from pairwise(cuts(cluster, zone, first_at))


def ledger(cluster: Cluster, zone: ZoneInfo, first_at: int) -> Ledger:
    """Walks through a cluster's history from the first day that is accounted for until as_of."""
    result = Ledger()
    holders = [
        (record, true_start(cluster, record), known_end(cluster, record), placed(cluster, record))
        for record in cluster.records
        if held_seconds(cluster, record) and total(record.tres)
    ]
    for start, end in stretches(cluster, zone, first_at):
        holding = [(record, units) for record, since, until, units in holders if since <= start < until]
        nodes = {each.node for each in cluster.installations} | {node for _, units in holding for node, _ in units}
        for node in nodes:
            devices = installed(cluster, node, start)
            for model in devices.keys() | {model for _, units in holding for at, model in units if at == node}:
                held = {
                    attempt_id(cluster, record): units[node, model]
                    for record, units in holding
                    if (node, model) in units
                }
                _count(result, cluster, start, end, zone, node, model, devices.get(model, 0) * DEVICE, held, holding)
    return result


def _count(
    result: Ledger,
    cluster: Cluster,
    start: int,
    end: int,
    zone: ZoneInfo,
    node: str,
    model: str,
    units: int,
    held: dict[str, int],
    holding: list[tuple[Record, dict[tuple[str, str], int]]],
) -> None:
    """Adds one stretch of one model on one node."""
    seconds = end - start
    pools = {
        each.pool
        for each in cluster.installations
        if each.node == node and each.model == model and is_in_service(each, start)
    }
    assert len(pools) <= 1, "a second belongs to one pool"
    pool = next(iter(pools), "unassigned")
    hour = hour_of(start, zone)
    wanted = sum(held.values())
    allocated = min(wanted, units)
    for attempt, of_attempt in held.items():
        key = (hour, attempt, pool, node, model)
        result.held[key] += of_attempt * seconds
        result.shares[key] += Fraction(of_attempt * allocated * seconds, wanted)
        result.stretches[key] += wanted > units
    if wanted > units:
        result.excess[hour, pool, node, model, "overcommit" if units else "unplaced"] += (wanted - units) * seconds
    result.states[hour, pool, node, model, "allocated"] += allocated * seconds
    free = units - allocated
    state = free_state(cluster, node, start)
    reserved = 0
    if state == "idle_schedulable":
        reserved = min(free, sum(_unused(cluster, each, node, model, holding) for each in reservations_at(
            cluster, node, start
        )))  # fmt: skip
    result.states[hour, pool, node, model, "reserved_idle"] += reserved * seconds
    result.states[hour, pool, node, model, state] += (free - reserved) * seconds


def _unused(
    cluster: Cluster,
    reservation: Reservation,
    node: str,
    model: str,
    holding: list[tuple[Record, dict[tuple[str, str], int]]],
) -> int:
    """What a reservation that names accelerators keeps of a model on a node, less what its own attempts hold there."""
    typed = {type_name for type_name, _ in reservation.tres if type_name}
    if not reservation.tres or (typed and model not in typed):
        return 0
    named = dict(reservation.tres)[model] if typed else total(reservation.tres)
    own = sum(units.get((node, model), 0) for record, units in holding if record.reservation == reservation.name)
    return max(0, share(named, reservation.nodes, node) * DEVICE - own)
