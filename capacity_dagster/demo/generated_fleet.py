"""A made-up fleet and what ran on it, as arrays: no name, number or event of it is anybody's.

What belongs here: nodes, how they are divided over time, and attempts. What does not: how files look (`generator`).

The fleet is divided into blocks of nodes. A block is divided anew every few weeks into lanes: some accelerators of a
node, a node, or many nodes. In a lane attempts follow each other, so that nothing is held twice, at any size.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAY = 86_400
HOUR = 3_600
FIRST_DAY = date(2025, 1, 1)

NODES_PER_DAILY_ATTEMPT = 0.073
"""So that ten million attempts a year are a fleet of 16,000 accelerators: 14 accelerator-hours an attempt."""

LARGEST_BLOCK = 256
CPU_NODES_SHARE = 0.05

POOLS = (("hopper", "h100", 8, 0.6), ("ampere", "a100", 8, 0.25), ("lovelace", "l40s", 4, 0.15))
"""Pool, accelerator model, accelerators of a node, share of the blocks."""

SIZES = (
    *((2048, 0.02, 4.0), (1024, 0.03, 4.0), (512, 0.04, 4.0), (256, 0.05, 2.5), (128, 0.06, 2.5), (64, 0.10, 1.5)),
    *((32, 0.10, 1.5), (16, 0.10, 1.5), (8, 0.18, 1.0), (4, 0.12, 1.0), (2, 0.08, 1.0), (1, 0.12, 1.0)),
)
"""Accelerators of a job, share of the capacity that such jobs take, how long they run against others."""

STATE_SHARES = {
    **{"COMPLETED": 0.7, "FAILED": 0.12, "CANCELLED": 0.105, "TIMEOUT": 0.045, "OUT_OF_MEMORY": 0.01},
    **{"NODE_FAIL": 0.002, "PREEMPTED": 0.006, "REQUEUED": 0.01, "RESIZING": 0.002},
}
STATES = tuple(STATE_SHARES)
NODE_FAIL, REQUEUED, RESIZING = (STATES.index(name) for name in ("NODE_FAIL", "REQUEUED", "RESIZING"))
RUNNING, PENDING, CANCELLED_BEFORE_START = len(STATES), len(STATES) + 1, len(STATES) + 2

CPU_LANE = 0
"""The accelerators of a lane that has none."""


@dataclass(frozen=True)
class Block:
    """Nodes of one pool that are divided together."""

    pool: str
    accelerator_model: str
    accelerators: int
    """Of each node."""
    nodes: tuple[str, ...]
    in_service_at: int
    retired_at: int | None


@dataclass(frozen=True)
class Lane:
    """What attempts hold one after the other: all of some nodes, or some accelerators of one."""

    block: Block
    nodes: tuple[str, ...]
    accelerators: int
    starts_at: int
    ends_at: int
    pace: float
    reservation: str
    maintained_from: int | None
    """When a maintenance of these nodes began that ended as the lane starts, where this lane is to tell of it."""


@dataclass(frozen=True)
class Attempts:
    """One element an attempt; instants are seconds since 1970, 0 where there is none.

    Attributes:
        lane: index of the lane; -1 for what never started.
        is_resized: holds half of its lane's nodes, after a resize.
        recorded_start_at: as Slurm writes it: a resized job's first start.
        release_at: until when the lane was kept free after it.
    """

    lane: Integers
    submitted_at: Integers
    eligible_at: Integers
    started_at: Integers
    recorded_start_at: Integers
    ended_at: Integers
    release_at: Integers
    state: Integers
    is_resized: Flags
    job_id: Integers
    db_index: Integers
    choice: Integers
    """A number below a million, for whatever else is to be chosen."""


@dataclass(frozen=True)
class Fleet:
    """Everything that happened until `as_of`."""

    first_at: int
    as_of: int
    blocks: list[Block]
    lanes: list[Lane]
    attempts: Attempts


def generate_fleet(attempts: int, days: int, seed: int) -> Fleet:
    """Makes a fleet that fits so many attempts in so many days; same arguments, same fleet.

    Raises:
        ValueError: fewer than 1,000 attempts, or less than a day.
    """
    if attempts < 1_000 or days < 1:
        raise ValueError(f"{attempts} attempts in {days} days cannot be generated; expected at least 1,000 in 1 day")
    random = np.random.default_rng(seed)
    first_at = beginning_of(FIRST_DAY)
    as_of = first_at + days * DAY
    blocks = _blocks(random, max(8, round(attempts / days * NODES_PER_DAILY_ATTEMPT)), first_at, as_of)
    lanes = [lane for block in blocks for lane in _lanes(random, block, first_at, as_of)]
    return Fleet(first_at, as_of, blocks, lanes, _attempts(random, lanes, attempts, first_at, as_of))


def beginning_of(day: date) -> int:
    """The instant at which a UTC day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def day_of(instant: int) -> date:
    """The UTC day of an instant."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant)).date()


def _blocks(random: np.random.Generator, node_count: int, first_at: int, as_of: int) -> list[Block]:
    size = LARGEST_BLOCK if node_count >= 4 * LARGEST_BLOCK else max(2, node_count // 4)
    block_count = -(-node_count // size)
    digits = len(str(node_count))
    blocks = []
    edges = np.cumsum([share for *_, share in POOLS]) * block_count
    for position in range(block_count):
        pool, model, accelerators, _ = POOLS[int(np.searchsorted(edges, position + 0.5))]
        numbers = range(position * size + 1, min((position + 1) * size, node_count) + 1)
        # One block joins during the time, a rack after the other; one is retired before its end.
        joins_at = first_at - int(random.integers(100, 900)) * DAY
        if block_count > 2 and position == block_count // 2:
            joins_at = first_at + (as_of - first_at) // DAY // 3 * DAY
        retired_at = first_at + (as_of - first_at) // DAY * 9 // 10 * DAY if position == block_count - 1 else None
        blocks.append(
            Block(pool, model, accelerators, tuple(f"gpu{n:0{digits}d}" for n in numbers), joins_at, retired_at)
        )
    cpu_nodes = max(1, round(node_count * CPU_NODES_SHARE))
    nodes = tuple(f"cpu{n:0{digits}d}" for n in range(1, cpu_nodes + 1))
    return [*blocks, Block("cpu", "", CPU_LANE, nodes, first_at - 900 * DAY, None)]


def racks(block: Block) -> list[tuple[str, ...]]:
    """A block's nodes in groups that come into service one day after the other."""
    step = max(1, len(block.nodes) // 8)
    return [block.nodes[start : start + step] for start in range(0, len(block.nodes), step)]


def _lanes(random: np.random.Generator, block: Block, first_at: int, as_of: int) -> list[Lane]:
    lanes: list[Lane] = []
    starts_at = max(first_at, block.in_service_at + (len(racks(block)) + 1) * DAY)
    if block.in_service_at < first_at:
        starts_at = first_at
    last_at = min(as_of, block.retired_at or as_of)
    while starts_at < last_at:
        ends_at = min(last_at, starts_at + int(random.integers(7 * 24, 21 * 24)) * HOUR)
        if last_at - ends_at < DAY:
            ends_at = last_at
        is_maintained = random.random() < 0.25 and ends_at - starts_at > 2 * DAY
        opens_at = starts_at + 4 * HOUR if is_maintained else starts_at
        for position, (nodes, accelerators, pace) in enumerate(_division(random, block)):
            is_reserved = len(nodes) > 1 and random.random() < 0.03
            lanes.append(
                Lane(
                    block=block,
                    nodes=nodes,
                    accelerators=accelerators,
                    starts_at=opens_at,
                    ends_at=ends_at,
                    pace=pace,
                    reservation=f"project-{len(lanes)}-{nodes[0]}" if is_reserved else "",
                    maintained_from=starts_at if is_maintained and position == 0 else None,
                )
            )
        starts_at = ends_at
    return lanes


def _division(random: np.random.Generator, block: Block) -> list[tuple[tuple[str, ...], int, float]]:
    """(nodes, accelerators, pace) of each lane of a block, for some weeks."""
    if block.accelerators == CPU_LANE:
        return [((node,), CPU_LANE, 1.0) for node in block.nodes for _ in range(4)]
    chunks = [block.nodes[start : start + 4] for start in range(0, len(block.nodes), 4)]
    free = [node for index in random.permutation(len(chunks)) for node in chunks[index]]
    lanes: list[tuple[tuple[str, ...], int, float]] = []
    small = [size for size in SIZES if size[0] <= block.accelerators]
    for accelerators, share, pace in SIZES:
        if accelerators <= block.accelerators:
            continue
        count = accelerators // block.accelerators
        for _ in range(int(share * len(block.nodes) / count + random.random())):
            if count <= len(free):
                taken, free = free[:count], free[count:]
                lanes.append((tuple(sorted(taken)), accelerators, pace))
    weights = np.array([share for _, share, _ in small])
    for node, chosen in zip(free, random.choice(len(small), len(free), p=weights / weights.sum()), strict=True):
        accelerators, _, pace = small[chosen]
        lanes += [((node,), accelerators, pace)] * (block.accelerators // accelerators)
    return lanes


def _attempts(random: np.random.Generator, lanes: list[Lane], attempts: int, first_at: int, as_of: int) -> Attempts:
    waiting = max(20, attempts // 2_000)
    cancelled = attempts // 100
    started = attempts - waiting - cancelled

    # How many attempts a lane has: in proportion to its length.
    opens_at = np.array([lane.starts_at for lane in lanes], dtype=np.int64)
    closes_at = np.array([lane.ends_at for lane in lanes], dtype=np.int64)
    weights = (closes_at - opens_at) / np.array([lane.pace for lane in lanes])
    counts = np.diff(np.round(np.cumsum(weights) / weights.sum() * started).astype(np.int64), prepend=0)
    lane = np.repeat(np.arange(len(lanes), dtype=np.int64), counts)
    lane_ends = np.cumsum(counts)
    lane_begins = lane_ends - counts
    is_last = np.zeros(started, dtype=np.bool_)
    is_last[lane_ends[counts > 0] - 1] = True

    # Heavy-tailed lengths and the gaps before them, scaled to fill the lane.
    lengths = random.lognormal(0.0, 1.8, started)
    gaps = random.lognormal(-1.2, 1.0, started)
    filled = np.cumsum(lengths + gaps)
    before = np.concatenate([[0.0], filled])[lane_begins][lane]
    total = np.concatenate([[0.0], filled])[lane_ends][lane] - before
    scale = (closes_at - opens_at)[lane] / total
    ended_at = opens_at[lane] + np.floor((filled - before) * scale).astype(np.int64)
    started_at = opens_at[lane] + np.ceil((filled - before - lengths) * scale).astype(np.int64)
    started_at = np.minimum(started_at, ended_at)
    release_at = np.where(is_last, closes_at[lane], np.append(started_at[1:], as_of))

    # A requeued or resized attempt is followed by the next one of its lane, under the same job id.
    state = random.choice(len(STATES), started, p=np.array(list(STATE_SHARES.values()))).astype(np.int64)
    nodes = np.array([len(lane.nodes) for lane in lanes])[lane]
    continues = ((state == REQUEUED) | ((state == RESIZING) & (nodes > 1))) & ~is_last
    continues[1:] &= ~continues[:-1]
    state[~continues & ((state == REQUEUED) | (state == RESIZING))] = 0
    follows = np.append(False, continues[:-1])
    is_resized = np.append(False, (continues & (state == RESIZING))[:-1])
    previous_end = np.append(0, ended_at[:-1])
    previous_start = np.append(0, started_at[:-1])

    waits = np.minimum(random.lognormal(5.0, 2.2, started), 14 * DAY).astype(np.int64)
    submitted_at = np.where(follows, previous_end, started_at - waits)
    held_back = np.where(random.random(started) < 0.03, waits // 2, 0)
    eligible_at = np.where(follows, submitted_at, submitted_at + held_back)
    true_start_at = np.where(is_resized, previous_end, started_at)
    recorded_start_at = np.where(is_resized, previous_start, started_at)

    runs = is_last & (closes_at[lane] == as_of) & (random.random(started) < 0.8) & ~continues
    state[runs] = RUNNING
    ended_at[runs] = 0

    # What never started: waits now, or was cancelled before.
    never = waiting + cancelled
    never_state = np.repeat([PENDING, CANCELLED_BEFORE_START], [waiting, cancelled])
    never_submit = np.where(
        never_state == PENDING,
        as_of - np.minimum(random.lognormal(9.0, 1.5, never), min(10 * DAY, as_of - first_at - 1)).astype(np.int64) - 1,
        first_at + random.integers(0, as_of - first_at - HOUR, never),
    )
    gives_up_at = np.minimum(never_submit + random.lognormal(6.0, 2.0, never).astype(np.int64), as_of - 1)
    never_end = np.where(never_state == PENDING, 0, gives_up_at)

    none = np.zeros(never, dtype=np.int64)
    submitted_at = np.concatenate([submitted_at, never_submit])
    follows = np.append(follows, np.zeros(never, dtype=np.bool_))
    order = np.argsort(submitted_at, kind="stable")
    db_index = np.empty(attempts, dtype=np.int64)
    db_index[order] = np.arange(attempts) + 5_000_001
    heads = order[~follows[order]]
    job_id = np.empty(attempts, dtype=np.int64)
    job_id[heads] = np.arange(len(heads)) + 1_000_001
    followers = np.flatnonzero(follows)
    job_id[followers] = job_id[followers - 1]

    return Attempts(
        lane=np.concatenate([lane, none - 1]),
        submitted_at=submitted_at,
        eligible_at=np.concatenate([eligible_at, never_submit]),
        started_at=np.concatenate([true_start_at, none]),
        recorded_start_at=np.concatenate([recorded_start_at, none]),
        ended_at=np.concatenate([ended_at, never_end]),
        release_at=np.concatenate([release_at, none]),
        state=np.concatenate([state, never_state]),
        is_resized=np.concatenate([is_resized, none > 0]),
        job_id=job_id,
        db_index=db_index,
        choice=random.integers(0, 1_000_000, attempts),
    )
