"""The report tables of a generated site, computed with pandas: a peer that the benchmark measures the pipeline against.

    python bench/pandas_report.py SITE_FOLDER OUT_FOLDER

It relies on everything that the text of a generated site has: one cluster, times since 1970 in the scheduler's records,
whole devices, one model on a node and in a pool, reservations of whole nodes, a job's name as the last column, and no
suspensions, arrays or snapshots of the queue. The pipeline's queries in `assets_sql` rely on none of that.

Instants are seconds since 1970, in UTC; days are days since then. What a name means is in `docs/metrics.md`. Texts that
repeat are categories, so that each is parsed once; what has no instant has one after all others (`EVER`), so that
instants are plain integers.
"""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from peer_tables import (
    DAY,
    EVER,
    HOUR,
    JOB_COLUMNS,
    STATES,
    UNITS,
    Contract,
    Site,
    arguments,
    collected_at,
    read_contracts,
    stage,
    table_file,
)

Integers = NDArray[np.int64]

PICOS = 1_000_000_000_000
NODE = 2**32
"""A place on a node's time is its number times this, plus the instant: places sort by one number."""

REPEATED = ("Cluster", "State", "Partition", "QOS", "Account", "NNodes", "ReqTRES", "AllocTRES", "NodeList")
NUMBERS = ("JobIDRaw", "Submit", "Eligible", "End", "AllocCPUS", "TimelimitRaw")
TYPES = {
    "DATE": pa.date32(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "DECIMAL(38,6)": pa.decimal128(38, 6),
    "DECIMAL(38,12)": pa.decimal128(38, 12),
    "TIMESTAMP": pa.timestamp("us"),
}


def main() -> None:
    """Computes the tables and writes them, and says what each part took."""
    site, out = arguments()
    contracts = read_contracts()
    with stage("read"):
        records = read_records(site)
        nodes = read_nodes(site)
        capacity = read_capacity(site, nodes)
        events = read_deliveries(site, "node_events")
        reservations = read_deliveries(site, "reservations")
    with stage("attempts"):
        list_nodes = expand_host_lists(
            pd.Index(records["NodeList"].cat.categories).union(reservations["NodeName"].unique()), nodes
        )
        records["is_in_use"] = is_in_use(records)
        attempts = understand(site, records[records["is_in_use"]])
        attempts = end_runaways(site, attempts, list_nodes, capacity, events, nodes)
    with stage("timeline"):
        background = node_background(site, nodes, capacity, events, reservations, list_nodes)
        timeline = sweep(attempts, list_nodes, background)
    with stage("queue"):
        waits = queue_waits(site, attempts)
        queue = queue_daily(site, waits)
    with stage("report"):
        idle = judged_idle_hours(site, timeline, attempts)
        fleet = fleet_daily(site, timeline, idle)
        costs = cost_daily(site, fleet, background)
        tables = {
            "fleet_efficiency_daily": fleet,
            "team_efficiency_daily": team_daily(site, attempts, list_nodes, capacity, timeline, waits),
            "cost_per_accelerator_hour_daily": costs,
            "cost_per_accelerator_hour_monthly": cost_monthly(costs),
            "queue_daily": queue,
            "demand_daily": demand_daily(site, fleet, queue, idle),
            "data_trust_daily": data_trust_daily(site, records, events, reservations, nodes, costs),
            "reconciliation_daily": pd.DataFrame(columns=list(contracts["reconciliation_daily"].columns)),
        }
    with stage("write"):
        for table, rows in tables.items():
            write(rows, contracts[table], table_file(out, table))


# Reading


def read_records(site: Site) -> pd.DataFrame:
    """The scheduler's records, each with what its TRES say, what it is worth and whether it is rejected."""
    tables: list[pa.Table] = []
    ragged: list[tuple[int, str]] = []
    types = {
        **dict.fromkeys(NUMBERS, pa.int64()),
        **dict.fromkeys(REPEATED, pa.dictionary(pa.int32(), pa.string())),
        "Start": pa.string(),
    }
    missing = ["", "None", "Unknown", "None assigned"]
    for number, file in enumerate(site.deliveries("jobs")):

        def keep(row: pa_csv.InvalidRow, number: int = number) -> str:
            ragged.append((number, row.text))
            return "skip"

        table = pa_csv.read_csv(
            file,
            parse_options=pa_csv.ParseOptions(delimiter="|", quote_char=False, invalid_row_handler=keep),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=missing, strings_can_be_null=True
            ),
        )
        tables.append(table.append_column("file", pa.array(np.full(len(table), number, np.int32))))
    tables.append(split_ragged(ragged, types, missing))
    texts = pa.concat_tables(tables).unify_dictionaries()
    is_number = pc.fill_null(pc.utf8_is_digit(texts["Start"]), False)
    started_at = pc.if_else(is_number, texts["Start"], pa.scalar(None, pa.string())).cast(pa.int64())
    columns: dict[str, Any] = {
        name: texts[name].to_pandas() if name in REPEATED else instants(texts[name]) for name in (*NUMBERS, *REPEATED)
    }
    records = pd.DataFrame(
        {
            **columns,
            "file": texts["file"].to_numpy(),
            "started_at": instants(started_at),
            "has_start": pc.is_valid(texts["Start"]).to_numpy(),
        }
    )
    allocated, requested = parsed_tres(records["AllocTRES"]), parsed_tres(records["ReqTRES"])
    records["held"] = by_code(allocated["accelerators"], records["AllocTRES"], -1)
    records["memory_held"] = by_code(allocated["memory"], records["AllocTRES"], 0)
    records["requested"] = by_code(requested["accelerators"], records["ReqTRES"], 0)
    count = pd.to_numeric(pd.Series(records["NNodes"].cat.categories), errors="coerce").fillna(-1).astype(np.int64)
    records["nodes"] = by_code(count, records["NNodes"], -1)
    states = records["State"].cat.categories
    known_states = states[states.isin(STATES) | states.str.startswith("CANCELLED by ")]
    is_cut = records["Partition"].isna()
    ends, starts = records["End"], records["started_at"]
    records["is_declared"] = records["Cluster"] == site.cluster
    records["is_rejected"] = (
        is_cut
        | ~records["is_declared"]
        | (records["JobIDRaw"] == EVER)
        | (records["Submit"] == EVER)
        | (records["has_start"] & (starts == EVER))
        | ((ends < starts) & (starts < EVER))
        | ~records["State"].isin(known_states)
        | (records["nodes"] < 0)
        | ((starts < EVER) & (records["held"] < 0))
    )
    is_worthless = ~is_cut & (~records["has_start"] | (records["held"] == 0))
    is_valued = ~is_cut & (records["held"] >= 0) & (starts < EVER) & (ends < EVER)
    records["worth_seconds"] = np.select(
        [is_worthless, is_valued], [0, records["held"] * (ends - starts).abs()], default=-1
    )
    records["record_at"] = np.select([ends < EVER, starts < EVER], [ends, starts], records["Submit"])
    return records.drop(columns=["Cluster", "NNodes", "AllocTRES", "has_start"])


def split_ragged(ragged: list[tuple[int, str]], types: dict[str, pa.DataType], missing: list[str]) -> pa.Table:
    """The records that are cut off or have a delimiter in their job's name; without the lines that only end one."""
    lines = pd.DataFrame(ragged, columns=["file", "text"]).astype({"text": str})
    lines = lines[lines["text"].str.contains("|", regex=False)]
    fields = lines["text"].str.split("|", n=len(JOB_COLUMNS) - 1, expand=True).reindex(columns=range(len(JOB_COLUMNS)))
    fields.columns = list(JOB_COLUMNS)
    kept = fields[list(types)].mask(fields.isin(missing))
    table = pa.Table.from_pandas(kept, pa.schema(dict.fromkeys(types, pa.string()).items()), preserve_index=False)
    arrays = [table[name].combine_chunks() for name in types]
    typed = [
        array.dictionary_encode() if pa.types.is_dictionary(kind) else array.cast(kind)
        for array, kind in zip(arrays, types.values(), strict=True)
    ]
    return pa.table([*typed, pa.array(lines["file"], pa.int32())], names=[*types, "file"])


def instants(array: pa.ChunkedArray) -> Integers:
    """Whole numbers, with `EVER` where there is none."""
    return pc.fill_null(array, EVER).to_numpy()


def by_code(values: pd.Series, categories: pd.Series, default: Any) -> NDArray[Any]:
    """What belongs to each row's category."""
    return np.append(values.to_numpy(), np.array(default, values.dtype))[categories.cat.codes]


def parsed_tres(texts: pd.Series) -> pd.DataFrame:
    """What each category of TRES strings says: 0 accelerators where it names none, -1 where they are no number."""
    text = pd.Series(texts.cat.categories)
    no_count = pd.Series(np.where(text.str.contains("gres/gpu", regex=False), "-1", "0"))
    return pd.DataFrame(
        {
            "accelerators": text.str.extract(r"gres/gpu=(\d+)", expand=False).fillna(no_count),
            "cpus": text.str.extract(r"\bcpu=(\d+)", expand=False).fillna("0"),
            "memory": text.str.extract(r"\bmem=(\d+)M", expand=False).fillna("0"),
            "nodes": text.str.extract(r"\bnode=(\d+)", expand=False).fillna("1"),
        }
    ).astype(np.int64)


def read_sheet(file: Path, *instants_in: str) -> pd.DataFrame:
    """A small comma-separated table, with some columns as instants."""
    rows = pd.read_csv(file, dtype=str)
    for name in instants_in:
        rows[name] = seconds_of(pd.to_datetime(rows[name]))
    return rows


def seconds_of(times: pd.Series) -> Integers:
    """Times as seconds since 1970, with `EVER` where there is none."""
    times = times.dt.tz_localize(None) if times.dt.tz is not None else times
    seconds = times.astype("datetime64[s]")
    return seconds.astype(np.int64).where(seconds.notna(), EVER).to_numpy()


def read_deliveries(site: Site, kind: str) -> pd.DataFrame:
    """Node events or reservations as delivered; a reason, which may have a delimiter, is the last column."""
    texts = [file.read_text(encoding="utf-8").splitlines() for file in site.deliveries(kind)]
    header = texts[0][0].split("|")
    lines = pd.Series([line for text in texts for line in text[1:]], dtype=str)
    rows = lines.str.split("|", n=len(header) - 1, expand=True).reindex(columns=range(len(header))).astype(str)
    rows.columns = header
    rows["file"] = np.repeat(np.arange(len(texts)), [len(text) - 1 for text in texts])
    for name in ("TimeStart", "TimeEnd"):
        rows[name] = seconds_of(pd.to_datetime(rows[name], format="%Y-%m-%dT%H:%M:%S", errors="coerce"))
    return rows


def read_nodes(site: Site) -> pd.DataFrame:
    """What `scontrol show node` says that each node has; its number is its place in the order of names."""
    blocks = pd.Series((site.scheduler_files / "nodes.txt").read_text(encoding="utf-8").split("\n\n"))
    nodes = pd.DataFrame(
        {
            "node": blocks.str.extract(r"NodeName=(\S+)", expand=False),
            "node_cpus": blocks.str.extract(r"\bCPUTot=(\d+)", expand=False),
            "node_memory": blocks.str.extract(r"\bRealMemory=(\d+)", expand=False),
            "scheduler_accelerators": blocks.str.extract(r"CfgTRES=\S*gres/gpu=(\d+)", expand=False).fillna("0"),
        }
    ).dropna()
    counts = ["node_cpus", "node_memory", "scheduler_accelerators"]
    nodes = nodes.astype(dict.fromkeys(counts, np.int64)).sort_values("node", ignore_index=True)
    return nodes.assign(number=np.arange(len(nodes)))


def read_capacity(site: Site, nodes: pd.DataFrame) -> pd.DataFrame:
    """The periods of each node of the inventory, from the beginning of time to its end; installed or not."""
    inventory = read_sheet(site.landing / "inventory.csv", "in_service_at", "retired_at")
    in_service = pd.DataFrame(
        {
            "node": inventory["node"],
            "pool": inventory["pool"],
            "accelerator_model": inventory["accelerator_model"].str.lower().map(site.models),
            "installed": inventory["accelerators"].astype(np.int64),
            "valid_from": inventory["in_service_at"],
            "valid_to": inventory["retired_at"],
        }
    )
    ends = in_service.groupby(["node", "accelerator_model"], as_index=False).agg(
        first=("valid_from", "min"), last=("valid_to", "max")
    )
    outside = ends[["node", "accelerator_model"]].assign(pool="unassigned", installed=0)
    periods = pd.concat(
        [
            in_service,
            outside.assign(valid_from=0, valid_to=ends["first"]),
            outside.assign(valid_from=ends["last"], valid_to=EVER),
        ]
    )
    periods = periods[periods["valid_from"] < periods["valid_to"]].merge(nodes, on="node")
    categories = {"pool": "category", "accelerator_model": "category"}
    return periods.sort_values(["number", "valid_from"], ignore_index=True).astype(categories)


def expand_host_lists(lists: pd.Index, nodes: pd.DataFrame) -> pd.DataFrame:
    """The nodes of each distinct host list, such as `gpu[001-004,007]`, and of how many it is one."""
    text = pd.Series(lists, name="NodeList")
    ranges = pd.DataFrame(
        {
            "NodeList": text,
            "prefix": text.str.extract(r"^(.*?)(?:\[|\d+$)", expand=False),
            "range": text.str.extract(r"(?:\[(?=.*\])|(?=\d+$))([\d,-]+)", expand=False).str.split(","),
        }
    ).explode("range", ignore_index=True)
    first = ranges["range"].str.extract(r"^(\d+)", expand=False).astype(np.int64)
    last = ranges["range"].str.extract(r"(\d+)$", expand=False).astype(np.int64)
    row, step = spread((last - first + 1).to_numpy())
    expanded = ranges[["NodeList", "prefix"]].iloc[row].assign(place=first.to_numpy()[row] + step)
    expanded["list_nodes"] = expanded.groupby("NodeList")["place"].transform("size")
    parts = nodes["node"].str.extract(r"^(?P<prefix>.*?)(?P<place>\d+)$").astype({"place": np.int64})
    return expanded.merge(parts.assign(number=nodes["number"]), on=["prefix", "place"])[
        ["NodeList", "number", "list_nodes"]
    ]


def spread(counts: Integers) -> tuple[Integers, Integers]:
    """Rows repeated as often as counted: the row of each repetition, and which of its repetitions it is."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


# Attempts


def is_in_use(records: pd.DataFrame) -> pd.Series:
    """Whether a record is understood and the best one of its attempt.

    The one that was collected last is, and of one delivery the one that knows more.
    """
    is_accepted = ~records["is_rejected"]
    attempt = ["JobIDRaw", "Submit"]
    is_repeated = (records["JobIDRaw"] * NODE + records["Submit"]).duplicated(keep=False) & is_accepted
    repeated = records.loc[is_repeated, [*attempt, "file", "started_at", "End"]]
    repeated["has_end"] = repeated["End"] < EVER
    repeated["last_at"] = repeated["End"].where(repeated["has_end"], repeated["started_at"] % EVER)
    repeated = repeated.sort_values(["file", "has_end", "last_at"], kind="stable")
    superseded = repeated.index[repeated.duplicated(attempt, keep="last")]
    return is_accepted & ~records.index.isin(superseded)


def understand(site: Site, winners: pd.DataFrame) -> pd.DataFrame:
    """Attempts with team, workload class, true start, and what they take of each of their nodes."""
    winners = winners.reset_index(drop=True)
    resized_jobs = winners.loc[winners["State"] == "RESIZING", "JobIDRaw"]
    segments = winners.loc[winners["JobIDRaw"].isin(resized_jobs), ["JobIDRaw", "Submit", "State"]]
    segments = segments.sort_values(["JobIDRaw", "Submit"])
    follows = (segments["State"].shift() == "RESIZING") & (segments["JobIDRaw"].shift() == segments["JobIDRaw"])
    is_follower = np.zeros(len(winners), np.bool_)
    is_follower[segments.index[follows]] = True
    submitted_at, recorded_start_at = winners["Submit"], winners["started_at"]
    started_at = recorded_start_at.mask(is_follower & (submitted_at > recorded_start_at), submitted_at)
    nodes = winners["nodes"].clip(lower=1)
    memory = winners["memory_held"]
    return pd.DataFrame(
        {
            "job_id": winners["JobIDRaw"],
            "submitted_at": submitted_at,
            "eligible_at": winners["Eligible"],
            "started_at": started_at,
            "ended_at": winners["End"],
            "has_started": started_at < EVER,
            "is_follower": is_follower,
            "node_list": winners["NodeList"],
            "partition_name": winners["Partition"],
            "requested_tres": winners["ReqTRES"],
            "requested": winners["requested"],
            "limit_seconds": winners["TimelimitRaw"] * 60,
            "team": teams_of(site, winners["Account"], started_at.where(started_at < EVER, submitted_at)),
            "workload_class": workload_classes(site, winners["Partition"], winners["QOS"]),
            "cpus": winners["AllocCPUS"],
            "nodes": winners["nodes"],
            "node_accelerators": winners["held"].clip(lower=0) // nodes,
            "node_cpus": winners["AllocCPUS"] // nodes,
            "node_memory": memory // nodes,
        }
    )


def teams_of(site: Site, accounts: pd.Series, at: pd.Series) -> pd.Categorical:
    """The team that an account belonged to at an instant: the last line before it, if it is still valid."""
    lines = read_sheet(site.landing / "teams.csv", "valid_from", "valid_to")
    lines["code"] = accounts.cat.categories.get_indexer(lines["account"])
    lines["place"] = lines["code"] * NODE + lines["valid_from"]
    lines = lines.sort_values("place", ignore_index=True)
    names = pd.Index([*sorted(lines["team"].unique()), "unattributed"])
    codes = accounts.cat.codes.to_numpy(np.int64)
    line = np.searchsorted(lines["place"], codes * NODE + at.to_numpy(), side="right") - 1
    is_valid = (lines["code"].to_numpy()[line] == codes) & (at.to_numpy() < lines["valid_to"].to_numpy()[line])
    team = names.get_indexer(lines["team"])[line]
    return pd.Categorical.from_codes(np.where((line >= 0) & is_valid, team, len(names) - 1), names)


def workload_classes(site: Site, partitions: pd.Series, qos: pd.Series) -> pd.Categorical:
    """The class of each partition and quality of service: the first rule that fits."""
    names = [*dict.fromkeys(name for name, _, _ in site.workload_rules), "unclassified"]
    anything = np.ones(len(partitions), np.bool_)
    fits = [
        (anything if partition is None else (partitions == partition).to_numpy())
        & (anything if quality is None else (qos == quality).to_numpy())
        for _, partition, quality in site.workload_rules
    ]
    codes = np.select(fits, [names.index(name) for name, _, _ in site.workload_rules], len(names) - 1)
    return pd.Categorical.from_codes(codes, names)


def matches(lists: pd.Series, table: pd.DataFrame) -> tuple[Integers, Integers]:
    """A join of host lists with a table of what belongs to each: the rows of the one, and of the other."""
    categories = lists.cat.categories
    codes = categories.get_indexer(table["NodeList"])
    rows = np.argsort(codes, kind="stable")[(codes < 0).sum() :]
    counts = np.bincount(codes[codes >= 0], minlength=len(categories) + 1)
    begins = np.cumsum(counts) - counts
    listed = lists.cat.codes.to_numpy()
    row, step = spread(counts[listed])
    return row, rows[begins[listed[row]] + step]


def packed(rows: pd.DataFrame, names: list[str]) -> Integers:
    """Several categories as one number: grouping by one is cheap."""
    sizes = [len(rows[name].cat.categories) for name in names]
    return np.ravel_multi_index([rows[name].cat.codes.to_numpy(np.int64) for name in names], sizes)


def unpacked(numbers: Integers, rows: pd.DataFrame, names: list[str]) -> dict[str, pd.Categorical]:
    """The categories that were packed."""
    codes = np.unravel_index(numbers, [len(rows[name].cat.categories) for name in names])
    return {
        name: pd.Categorical.from_codes(code, rows[name].cat.categories)
        for name, code in zip(names, codes, strict=True)
    }


def end_runaways(
    site: Site,
    attempts: pd.DataFrame,
    list_nodes: pd.DataFrame,
    capacity: pd.DataFrame,
    events: pd.DataFrame,
    nodes: pd.DataFrame,
) -> pd.DataFrame:
    """Ends the attempts that the books hold open after evidence that they are over.

    One of their nodes went down, or attempts that started later need the accelerators that they claim.
    """
    is_open = attempts["has_started"] & (attempts["ended_at"] == EVER)
    columns = ["job_id", "submitted_at", "started_at", "ended_at", "node_accelerators"]
    claims = on_nodes(attempts[is_open], list_nodes, columns)
    downs = events[events["State"].str.startswith("DOWN")].merge(nodes, left_on="NodeName", right_on="node")
    went_down = claims.merge(downs[["number", "TimeStart"]], on="number").rename(columns={"TimeStart": "evidence_at"})
    went_down = went_down[
        (went_down["evidence_at"] > went_down["started_at"]) & (went_down["evidence_at"] < site.as_of)
    ]

    claims = claims[claims["node_accelerators"] > 0]
    first_at = claims.groupby("number")["started_at"].min()
    is_holder = attempts["has_started"] & (attempts["node_accelerators"] > 0)
    is_late = is_holder & (attempts["started_at"] >= first_at.min()) & (attempts["started_at"] < attempts["ended_at"])
    later = on_nodes(attempts[is_late], list_nodes, columns)
    later = later[later["started_at"] >= later["number"].map(first_at).fillna(EVER)]
    later = later.merge(claims, on="number", suffixes=("", "_claim"))
    goes_after = later["started_at"] > later["started_at_claim"]
    is_tie = later["started_at"] == later["started_at_claim"]
    ids = [
        later[f"job_id{whose}"].astype(str) + "/" + later[f"submitted_at{whose}"].astype(str)
        for whose in ("", "_claim")
    ]
    later = later[goes_after | (is_tie & (ids[0] > ids[1]))]
    edge = ["attempt_claim", "number", "node_accelerators_claim"]
    edges = pd.concat(
        [
            later[edge].assign(at=later["started_at"], added=later["node_accelerators"]),
            later[edge].assign(at=later["ended_at"], added=-later["node_accelerators"]),
        ]
    ).sort_values(["attempt_claim", "number", "at", "added"])
    edges["needed"] = edges.groupby(["attempt_claim", "number"])["added"].cumsum() + edges["node_accelerators_claim"]
    edges = edges[(edges["added"] > 0) & (edges["at"] < site.as_of)]
    needed = edges.merge(capacity[capacity["installed"] > 0], on="number")
    is_there = (needed["at"] >= needed["valid_from"]) & (needed["at"] < needed["valid_to"])
    is_too_much = needed["needed"] > needed[["installed", "scheduler_accelerators"]].max(axis="columns")
    reallocated = needed[is_there & is_too_much].rename(columns={"attempt_claim": "attempt", "at": "evidence_at"})
    evidence = pd.concat([went_down, reallocated]).groupby("attempt")["evidence_at"].min()
    ended_at = attempts["ended_at"].copy()
    ended_at[evidence.index] = evidence
    return attempts.assign(ended_at=ended_at, until=ended_at.clip(upper=site.as_of))


def on_nodes(attempts: pd.DataFrame, list_nodes: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """A row for each of the nodes of attempts."""
    row, there = matches(attempts["node_list"], list_nodes)
    return (
        attempts[columns].iloc[row].assign(number=list_nodes["number"].to_numpy()[there], attempt=attempts.index[row])
    )


# The nodes' timeline


def node_background(
    site: Site,
    nodes: pd.DataFrame,
    capacity: pd.DataFrame,
    events: pd.DataFrame,
    reservations: pd.DataFrame,
    list_nodes: pd.DataFrame,
) -> pd.DataFrame:
    """What does not depend on attempts, piece by piece of each node's time: capacity, availability, reservation, day.

    Every interval is an edge up where it begins and an edge down where it ends; running sums are what holds between.
    A node's last piece begins at as_of and has no period.
    """
    happened = events.sort_values(["file", "TimeEnd"]).drop_duplicates(["NodeName", "TimeStart", "State"], keep="last")
    happened = happened.merge(nodes, left_on="NodeName", right_on="node")
    is_down = happened["State"].str.startswith("DOWN")
    reserved = reservations.sort_values("file").drop_duplicates(["ID", "TimeStart"], keep="last")
    reserved = reserved.merge(list_nodes, left_on="NodeName", right_on="NodeList")
    midnights = pd.DataFrame({"TimeStart": np.arange(site.first_at, site.as_of, DAY)})
    days = capacity[["number"]].drop_duplicates().merge(midnights, how="cross")
    kinds = ["period", "down", "draining", "planned", "reserved"]
    intervals = pd.concat(
        [
            capacity[["number"]].assign(
                TimeStart=capacity["valid_from"], TimeEnd=capacity["valid_to"], period=np.arange(1, len(capacity) + 1)
            ),
            happened[["number", "TimeStart", "TimeEnd"]].assign(
                down=is_down.astype(int), draining=(~is_down).astype(int)
            ),
            reserved[["number", "TimeStart", "TimeEnd"]].assign(
                planned=reserved["Flags"].str.contains(r"(?:^|,)MAINT(?:,|$)").astype(int), reserved=1
            ),
            days.assign(TimeEnd=days["TimeStart"]),
        ],
        ignore_index=True,
    )
    intervals = intervals[intervals["number"].isin(capacity["number"])]
    counts = intervals[kinds].fillna(0).astype(np.int64)
    edges = pd.concat(
        [
            (sign * counts).assign(place=intervals["number"] * NODE + intervals[column].clip(site.first_at, site.as_of))
            for sign, column in ((1, "TimeStart"), (-1, "TimeEnd"))
        ]
    ).sort_values("place", ignore_index=True)
    edges[kinds] = edges[kinds].cumsum()
    pieces = edges.drop_duplicates("place", keep="last")
    pieces = pieces.merge(capacity.assign(period=np.arange(1, len(capacity) + 1)), on="period", how="left")
    sizes = ["installed", "node_cpus", "node_memory"]
    pieces[sizes] = pieces[sizes].fillna(0).astype(np.int64)
    pieces["day"] = pieces["place"] % NODE // DAY
    availability = np.select(
        [pieces["planned"] > 0, pieces["down"] > 0, pieces["draining"] > 0],
        ["down_planned", "down_unplanned", "draining"],
        "available",
    )
    pieces["availability"] = pd.Categorical(availability)
    pieces["is_reserved"] = pieces["reserved"] > 0
    columns = ["place", "pool", "accelerator_model", "installed", "node_cpus", "node_memory", "day", "is_reserved"]
    return pieces[[*columns, "availability"]]


def sweep(attempts: pd.DataFrame, list_nodes: pd.DataFrame, background: pd.DataFrame) -> pd.DataFrame:
    """Each node's time in segments in which nothing changes: what is installed, held and free."""
    known = list_nodes[list_nodes["number"].isin(background["place"] // NODE)]
    row, there = matches(attempts["node_list"], known)
    row, there = row[attempts["has_started"].to_numpy()[row]], there[attempts["has_started"].to_numpy()[row]]
    number = known["number"].to_numpy()[there] * NODE
    begins, ends = (number + attempts[name].to_numpy()[row] for name in ("started_at", "until"))
    place = np.concatenate([begins, ends, background["place"].to_numpy()])
    order = np.argsort(place, kind="stable")
    place = place[order]
    seconds = np.diff(place, append=place[-1])
    there = np.searchsorted(background["place"], place, side="right") - 1
    taken = {}
    for name in ("node_accelerators", "node_cpus", "node_memory"):
        amount = attempts[name].to_numpy()[row]
        taken[name] = np.concatenate([amount, -amount, np.zeros(len(background), np.int64)])[order].cumsum()
    held, installed = taken["node_accelerators"], background["installed"].to_numpy()[there]
    lasts = np.flatnonzero((seconds > 0) & ((installed > 0) | (held > 0)))
    there, held, installed = there[lasts], held[lasts], installed[lasts]
    timeline = background[["pool", "accelerator_model", "day", "is_reserved", "availability"]].iloc[there]
    free = {
        f"free_{kind}": (background[f"node_{kind}"].to_numpy()[there] - taken[f"node_{kind}"][lasts]).clip(min=0)
        for kind in ("cpus", "memory")
    }
    return timeline.reset_index(drop=True).assign(
        place=place[lasts],
        seconds=seconds[lasts],
        installed=installed,
        held=held,
        free=(installed - held).clip(min=0),
        **free,
    )


def daily_shapes(site: Site, attempts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was requested on each day and in the 28 days before it: the shapes that matter, and how many of each size.

    Among shapes of as many accelerators, one with more CPUs matters only if it needs less memory than all with fewer.
    """
    asked = attempts.loc[~attempts["is_follower"] & (attempts["requested"] > 0), ["requested_tres", "submitted_at"]]
    counts = (
        asked.assign(day=asked["submitted_at"] // DAY)
        .groupby(["requested_tres", "day"], observed=True)
        .size()
        .rename("requests")
        .reset_index()
    )
    tres = parsed_tres(counts["requested_tres"]).iloc[counts["requested_tres"].cat.codes].set_index(counts.index)
    counts["needed_units"] = tres["accelerators"] // tres["nodes"] * UNITS
    counts["needed_cpus"] = tres["cpus"] // tres["nodes"]
    counts["needed_memory"] = tres["memory"] // tres["nodes"]
    shape = ["needed_units", "needed_cpus", "needed_memory"]
    days = pd.RangeIndex(counts["day"].min(), -(-site.as_of // DAY), name="day")
    by_shape = counts.pivot_table("requests", "day", shape, "sum", fill_value=0, observed=True).reindex(
        days, fill_value=0
    )
    recent = by_shape.cumsum() - by_shape.cumsum().shift(29, fill_value=0)
    window = recent.loc[site.first_at // DAY :].stack(shape, future_stack=True).rename("requests").reset_index()
    window = window[window["requests"] > 0]
    sizes = window.groupby(["day", "needed_units"], as_index=False)["requests"].sum()
    frontier = window.groupby(["day", "needed_units", "needed_cpus"], as_index=False)["needed_memory"].min()
    size = [frontier["day"], frontier["needed_units"]]
    least_before = frontier.groupby(["day", "needed_units"])["needed_memory"].cummin().groupby(size).shift()
    return frontier[least_before.isna() | (frontier["needed_memory"] < least_before)], sizes


def cut(
    starts_at: pd.Series | Integers, ends_at: pd.Series | Integers, length: int
) -> tuple[Integers, Integers, Integers, Integers]:
    """Intervals cut at days or hours: each piece's row, its day or hour, and when it begins and ends."""
    start, end = np.asarray(starts_at), np.asarray(ends_at)
    first = start // length
    row, step = spread(np.where(start < end, (end - 1) // length - first + 1, 0))
    number = first[row] + step
    return row, number, np.maximum(start[row], number * length), np.minimum(end[row], (number + 1) * length)


def judged_idle_hours(site: Site, timeline: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """What is free, available and not reserved, by hour and situation, and how much of the demand fits there.

    A situation is what is free on a node, as one number: so many accelerators, CPUs and MiB. A pool has one model.
    """
    free_cpus, free_memory = 2**16, 2**32
    is_idle = (timeline["free"] > 0) & (timeline["availability"] == "available") & ~timeline["is_reserved"]
    pieces = timeline[is_idle]
    starts_at = pieces["place"] % NODE
    row, hour, begins_at, finishes_at = cut(starts_at, starts_at + pieces["seconds"], HOUR)
    situation = (pieces["free"] * free_cpus + pieces["free_cpus"]) * free_memory + pieces["free_memory"]
    kind = ["pool", "accelerator_model"]
    idle = pd.DataFrame(
        {
            "hour": hour,
            "kind": packed(pieces, kind)[row],
            "situation": situation.to_numpy()[row],
            "seconds": finishes_at - begins_at,
        }
    )
    idle = idle.groupby(["hour", "kind", "situation"], sort=False, as_index=False)["seconds"].sum()
    idle["day"] = idle["hour"] // (DAY // HOUR)
    frontier, sizes = daily_shapes(site, attempts)
    fits = idle[["day", "situation"]].drop_duplicates().merge(frontier, on="day")
    fits = fits[
        (fits["situation"] // free_memory // free_cpus * UNITS >= fits["needed_units"])
        & (fits["situation"] // free_memory % free_cpus >= fits["needed_cpus"])
        & (fits["situation"] % free_memory >= fits["needed_memory"])
    ]
    hosted = fits[["day", "situation", "needed_units"]].drop_duplicates().merge(sizes, on=["day", "needed_units"])
    hosted = hosted.groupby(["day", "situation"])["requests"].sum().rename("hosted").reset_index()
    demand = sizes.groupby("day")["requests"].sum()
    idle = idle.merge(hosted, on=["day", "situation"], how="left").fillna({"hosted": 0}).astype({"hosted": np.int64})
    wanted = idle["day"].map(demand)
    unit_seconds = idle["situation"] // free_memory // free_cpus * idle["seconds"] * UNITS
    return idle[["day", "hosted"]].assign(
        **unpacked(idle["kind"], pieces, kind),
        unit_seconds=unit_seconds,
        fragmented=share(unit_seconds, wanted - idle["hosted"], wanted),
    )


# Tables: hours are kept as millionths, money as trillionths, until they are written.


def unit_hours(unit_seconds: pd.Series) -> pd.Series:
    """Unit-seconds as accelerator-hours, rounded half up to six decimals."""
    return (unit_seconds * 10 + 1512) // 3024


def second_hours(seconds: pd.Series) -> pd.Series:
    """Seconds as hours, rounded half up to six decimals."""
    return (seconds * 10_000 + 18) // 36


def ratio(numerator: pd.Series, denominator: pd.Series) -> pd.Series:
    """A ratio of two sums; null where there is nothing to divide by."""
    return numerator / denominator.where(denominator > 0)


def as_date(days: pd.Series) -> pd.Series:
    """Days' numbers as dates."""
    return pd.to_datetime(days * DAY, unit="s")


def fleet_daily(site: Site, timeline: pd.DataFrame, idle: pd.DataFrame) -> pd.DataFrame:
    """Where every installed accelerator-second went."""
    key = ["day", "pool", "accelerator_model"]
    kind = ["pool", "accelerator_model", "availability"]
    seconds, held, installed = (timeline[name] for name in ("seconds", "held", "installed"))
    in_use = np.minimum(held, installed)
    amounts = {"installed": installed, "in_use": in_use, "excess": held - in_use, "free": timeline["free"]}
    group = (timeline["day"] * 2 + timeline["is_reserved"]).to_numpy() * 2**16 + packed(timeline, kind)
    sums = pd.DataFrame({name: amount * seconds for name, amount in amounts.items()}).groupby(group).sum() * UNITS
    sums = sums.assign(day=sums.index // 2**17, **unpacked(sums.index.to_numpy() % 2**16, timeline, kind))
    is_available, is_reserved = sums["availability"] == "available", sums.index // 2**16 % 2 == 1
    is_known = sums["pool"] != "unassigned"
    states = {
        "installed": sums["installed"],
        "allocated": sums["in_use"],
        "reserved_idle": sums["free"].where(is_available & is_reserved, 0),
        "idle": sums["free"].where(is_available & ~is_reserved, 0),
        **{
            state: sums["free"].where(sums["availability"] == state, 0)
            for state in ("down_planned", "down_unplanned", "draining")
        },
        "overcommit": sums["excess"].where(is_known, 0),
        "unplaced": sums["excess"].where(~is_known, 0),
        "allocated_while_down": sums["in_use"].where(~is_available, 0),
    }
    fleet = sums[key].assign(**{f"{state}_unit_seconds": amount for state, amount in states.items()})
    fleet = fleet.groupby(key, observed=True).sum()
    is_stranded = idle["hosted"] == 0
    stranded = idle[is_stranded].groupby(key, observed=True)["unit_seconds"].sum()
    fleet["stranded_unit_seconds"] = stranded.reindex(fleet.index, fill_value=0)
    fleet["idle_unit_seconds"] -= fleet["stranded_unit_seconds"]
    lost = fleet[[f"{state}_unit_seconds" for state in ("down_planned", "down_unplanned", "draining")]].sum(
        axis="columns"
    )
    fleet["available_unit_seconds"] = fleet["installed_unit_seconds"] - lost
    for state in (*states, "available", "stranded"):
        fleet[f"{state}_hours"] = unit_hours(fleet[f"{state}_unit_seconds"])
    fleet = fleet.reset_index()
    allocated = fleet["allocated_unit_seconds"]
    return fleet.assign(
        usage_date=as_date(fleet["day"]),
        cluster=site.cluster,
        is_partial=site.as_of < (fleet["day"] + 1) * DAY,
        allocation_rate_installed=ratio(allocated, fleet["installed_unit_seconds"]),
        allocation_rate_available=ratio(allocated, fleet["available_unit_seconds"]),
        telemetry_coverage=0.0,
    )


def list_periods(site: Site, list_nodes: pd.DataFrame, capacity: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Which pool and model the nodes of a host list were of and when, and which most of them were of: its home."""
    models = capacity["accelerator_model"].cat.add_categories("none")
    periods = list_nodes.merge(capacity.assign(accelerator_model=models), on="number")
    bounds = ["valid_from", "valid_to"]
    periods[bounds] = periods[bounds].clip(site.first_at, site.as_of)
    kind = ["pool", "accelerator_model"]
    periods = (
        periods[periods["valid_from"] < periods["valid_to"]]
        .groupby(["NodeList", *kind, *bounds], observed=True)
        .size()
        .rename("pool_nodes")
        .reset_index()
    )
    epochs = periods[["NodeList", "valid_from"]].drop_duplicates().rename(columns={"valid_from": "home_from"})
    epochs = epochs.sort_values(["NodeList", "home_from"])
    epochs["home_to"] = epochs.groupby("NodeList")["home_from"].shift(-1, fill_value=EVER)
    homes = epochs.merge(periods, on="NodeList")
    homes = homes[(homes["valid_from"] <= homes["home_from"]) & (homes["home_from"] < homes["valid_to"])]
    homes = homes.groupby(["NodeList", "home_from", "home_to", *kind], observed=True, as_index=False)[
        "pool_nodes"
    ].sum()
    homes = homes.sort_values(["NodeList", "home_from", "pool_nodes", "pool"], ascending=[True, True, False, True])
    return periods, homes.drop_duplicates(["NodeList", "home_from"])


def team_daily(
    site: Site,
    attempts: pd.DataFrame,
    list_nodes: pd.DataFrame,
    capacity: pd.DataFrame,
    timeline: pd.DataFrame,
    waits: pd.DataFrame,
) -> pd.DataFrame:
    """What a team held and ran."""
    owner = ["team", "workload_class"]
    kind = ["pool", "accelerator_model"]
    periods, homes = list_periods(site, list_nodes, capacity)
    categories = {
        name: rows[name].cat.categories for rows, names in ((homes, kind), (attempts, owner)) for name in names
    }
    sizes = [len(texts) for texts in categories.values()]
    owners = packed(attempts, owner)
    owner_count = math.prod(sizes[2:])

    def summed(day: Integers, kinds: Integers, owners: Integers, **amounts: Integers) -> pd.DataFrame:
        group = day * math.prod(sizes) + kinds * owner_count + owners
        return pd.DataFrame(amounts).groupby(group).sum()

    has_started, started_at = attempts["has_started"].to_numpy(), attempts["started_at"].to_numpy()
    ended_at, until = attempts["ended_at"].to_numpy(), attempts["until"].to_numpy()

    row, there = matches(attempts["node_list"], periods)
    units = attempts["node_accelerators"].to_numpy()[row] * periods["pool_nodes"].to_numpy()[there] * UNITS
    starts_at = np.maximum(started_at[row], periods["valid_from"].to_numpy()[there])
    ends_at = np.minimum(until[row], periods["valid_to"].to_numpy()[there])
    piece, day, begins_at, finishes_at = cut(starts_at, np.where(units > 0, ends_at, 0), DAY)
    kinds = packed(periods, kind)[there]
    held = summed(day, kinds[piece], owners[row[piece]], held_unit_seconds=units[piece] * (finishes_at - begins_at))

    row, there = matches(attempts["node_list"], homes)
    is_home = (homes["home_from"].to_numpy()[there] <= started_at[row]) & (
        started_at[row] < homes["home_to"].to_numpy()[there]
    )
    nowhere = np.ravel_multi_index(
        [categories["pool"].get_loc("unassigned"), categories["accelerator_model"].get_loc("none")], sizes[:2]
    )
    home = np.full(len(attempts), nowhere)
    home[row[is_home]] = packed(homes, kind)[there[is_home]]
    first_day = started_at // DAY
    # At midnight an attempt ends on the day before, unless it only started then.
    last_day = np.maximum(first_day, (ended_at - 1) // DAY)
    has_ended = has_started & (ended_at < EVER)
    piece, day, begins_at, finishes_at = cut(started_at, until, DAY)  # EVER, of what never started, comes after until
    seconds = finishes_at - begins_at
    cpus, nodes = (attempts[name].to_numpy()[piece] for name in ("cpus", "nodes"))
    ran = summed(
        day,
        home[piece],
        owners[piece],
        wall_seconds=seconds,
        cpu_seconds=cpus * seconds,
        node_seconds=nodes * seconds,
    )
    contested = contested_shares(timeline, attempts, list_nodes)
    for name, texts in categories.items():
        contested[name] = contested[name].cat.set_categories(texts)
    measured = pd.concat(
        [
            held,
            ran,
            *(
                summed(day[those], home[those], owners[those], **{name: np.ones(those.sum(), np.int64)})
                for name, day, those in (("jobs_started", first_day, has_started), ("jobs_ended", last_day, has_ended))
            ),
            summed(
                contested["day"].to_numpy(),
                packed(contested, kind),
                packed(contested, owner),
                excess=contested["excess"].to_numpy(),
            ),
        ],
        axis="columns",
    )
    measured = measured.fillna(0).astype(np.int64)
    codes = np.unravel_index(measured.index.to_numpy() % math.prod(sizes), sizes)
    measured = measured.assign(
        day=measured.index // math.prod(sizes),
        **{
            name: pd.Categorical.from_codes(code, categories[name])
            for name, code in zip(categories, codes, strict=True)
        },
    )
    percentiles = kaplan_meier(waits[waits["has_eligible_wait"]], owner, "eligible_wait", {"": None}, (0.5, 0.9))
    measured = measured.merge(percentiles, on=["day", *owner], how="left")
    held_units = measured["held_unit_seconds"]
    allocated = held_units - measured["excess"]
    return measured.assign(
        usage_date=as_date(measured["day"]),
        cluster=site.cluster,
        allocated_unit_seconds=allocated,
        allocated_hours=unit_hours(allocated),
        held_hours=unit_hours(held_units),
        telemetry_coverage=0.0,
        queue_p50_seconds=measured["p50"],
        queue_p90_seconds=measured["p90"],
        wall_hours=second_hours(measured["wall_seconds"]),
        cpu_hours=second_hours(measured["cpu_seconds"]),
        node_hours=second_hours(measured["node_seconds"]),
    )


def contested_shares(timeline: pd.DataFrame, attempts: pd.DataFrame, list_nodes: pd.DataFrame) -> pd.DataFrame:
    """What attempts held beyond what their node has, by holder; what it has is shared by largest remainder, by hour."""
    owner = ["team", "workload_class"]
    kind = ["pool", "accelerator_model", "day"]
    contested = timeline[timeline["held"] > timeline["installed"]]
    starts_at = contested["place"] % NODE
    row, _, begins_at, finishes_at = cut(starts_at, starts_at + contested["seconds"], HOUR)
    pieces = contested.iloc[row]
    pieces = pieces[kind].assign(
        number=pieces["place"] // NODE,
        starts_at=begins_at,
        seconds=finishes_at - begins_at,
        installed=pieces["installed"] * UNITS,
        held=pieces["held"] * UNITS,
    )
    is_holder = attempts["has_started"] & (attempts["node_accelerators"] > 0)
    on_these = list_nodes[list_nodes["number"].isin(pieces["number"])]
    first_at, last_at = (pieces.groupby("number")["starts_at"].agg(end) for end in ("min", "max"))
    columns = ["job_id", "submitted_at", "started_at", "until", "node_accelerators", *owner]
    holders = on_nodes(attempts[is_holder], on_these, columns)
    overlaps = (holders["started_at"] <= holders["number"].map(last_at)) & (
        holders["until"] > holders["number"].map(first_at)
    )
    shares = pieces.merge(holders[overlaps], on="number")
    shares = shares[(shares["started_at"] <= shares["starts_at"]) & (shares["starts_at"] < shares["until"])]
    units, held = shares["node_accelerators"] * UNITS, shares["held"]
    given = shares["installed"] * shares["seconds"]
    shares = shares.assign(
        whole=share(given, units, held),
        remainder=given % held * units % held,
        attempt_id=shares["job_id"].astype(str) + "/" + shares["submitted_at"].astype(str),
    ).sort_values(["number", "starts_at", "remainder", "attempt_id"], ascending=[True, True, False, True])
    piece = shares.groupby(["number", "starts_at"])
    is_rounded_up = piece.cumcount() < given[shares.index] - piece["whole"].transform("sum")
    return shares.assign(excess=(units * shares["seconds"])[shares.index] - shares["whole"] - is_rounded_up)


# The queue


def queue_waits(site: Site, attempts: pd.DataFrame) -> pd.DataFrame:
    """How long each attempt waited, from its submission and from when it was eligible. Resized ones never waited."""
    waiters = attempts[~attempts["is_follower"]]
    has_started, has_ended = waiters["has_started"], waiters["ended_at"] < EVER
    waits_until = waiters["started_at"].where(has_started, waiters["until"])
    eligible_at = waiters[["eligible_at", "submitted_at"]].max(axis="columns")
    limit = waiters["limit_seconds"]
    ran = (waiters["until"] - waiters["started_at"]).where(has_started & has_ended, limit)
    return waiters[["partition_name", "team", "workload_class", "requested", "has_started"]].assign(
        day=waiters["submitted_at"] // DAY,
        is_waiting=~has_started & ~has_ended,
        eligible_at=eligible_at,
        waits_until=waits_until,
        submit_wait=waits_until - waiters["submitted_at"],
        eligible_wait=(waits_until - eligible_at).clip(lower=0),
        has_eligible_wait=has_started | (waiters["eligible_at"] <= waits_until),
        requested_seconds=waiters["requested"] * limit,
        submitted_seconds=waiters["requested"] * np.minimum(ran, limit),
    )


def kaplan_meier(
    waits: pd.DataFrame, group: list[str], wait: str, weights: dict[str, str | None], shares: tuple[float, ...]
) -> pd.DataFrame:
    """Percentiles of waits of which some are not over: p is the first after which no more than 1 - p go on waiting.

    Whoever waited as long as somebody who started was at risk with them: those who started sort first.

    Args:
        weights: what each wait weighs, by the prefix of its percentiles' names; None: as much as any.
    """
    size = math.prod(len(waits[name].cat.categories) for name in group)
    number = waits["day"].to_numpy() * size + packed(waits, group)
    waited, has_started = waits[wait].to_numpy(), waits["has_started"].to_numpy()
    order = np.argsort(number * (2 * NODE) + waited * 2 + ~has_started)
    number, waited, has_started = number[order], waited[order], has_started[order]
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    lengths = np.diff(begins, append=len(number))
    found = pd.DataFrame({"longest": waited[begins + lengths - 1].astype(np.float64)}, index=number[begins])
    for prefix, weight in weights.items():
        amount = np.ones(len(order), np.int64) if weight is None else waits[weight].to_numpy()[order]
        before = amount.cumsum() - amount
        at_risk = np.repeat(np.add.reduceat(amount, begins) + before[begins], lengths) - before
        # The product of the shares that go on waiting as a sum of logarithms; -1000 stands for none left.
        is_step, is_last = has_started & (amount > 0), amount == at_risk
        logs = np.where(is_step & is_last, -1000.0, 0.0)
        np.log(1 - amount / np.maximum(at_risk, 1), out=logs, where=is_step & ~is_last)
        go_on = pd.Series(logs).groupby(number, sort=False).cumsum().to_numpy() - 1e-10
        for p in shares:
            over = np.flatnonzero(go_on <= math.log(1 - p))
            first = over[np.flatnonzero(np.diff(number[over], prepend=-1))]
            found[f"{prefix}p{p * 100:.0f}"] = pd.Series(waited[first].astype(np.float64), number[first])
    return found.assign(day=found.index // size, **unpacked(found.index.to_numpy() % size, waits, group))


def queue_daily(site: Site, waits: pd.DataFrame) -> pd.DataFrame:
    """What was submitted, how long it waited, and what was pending."""
    key = ["day", "partition_name"]
    first_day, end_day = site.first_at // DAY, -(-site.as_of // DAY)
    by_submission = waits.groupby(key, observed=True)
    over = waits[~waits["is_waiting"]]
    over = over.assign(day=over["waits_until"] // DAY, gave_up=~over["has_started"]).groupby(key, observed=True)
    row, day, begins_at, finishes_at = cut(waits["eligible_at"].clip(lower=site.first_at), waits["waits_until"], DAY)
    pending = (
        waits[["partition_name"]]
        .iloc[row]
        .assign(day=day, unit_seconds=waits["requested"].to_numpy()[row] * (finishes_at - begins_at) * UNITS)
    )
    partitions = waits["partition_name"].cat.categories
    days = pd.RangeIndex(waits["day"].min(), end_day)
    counted = pd.DataFrame(
        {
            "jobs_submitted": by_submission.size(),
            "submitted_unit_seconds": by_submission["submitted_seconds"].sum() * UNITS,
            "jobs_started": over["has_started"].sum(),
            "jobs_cancelled_before_start": over["gave_up"].sum(),
            "pending_unit_seconds": pending.groupby(key, observed=True)["unit_seconds"].sum(),
        },
        index=pd.MultiIndex.from_product([days, partitions], names=key),
    )
    counted = counted.fillna(0).astype(np.int64)
    left = counted["jobs_submitted"] - counted["jobs_started"] - counted["jobs_cancelled_before_start"]
    counted["jobs_waiting"] = left.groupby("partition_name").cumsum()
    counts = ["jobs_submitted", "jobs_started", "jobs_cancelled_before_start", "jobs_waiting"]
    counted = counted[(counted[counts] > 0).any(axis="columns")].reset_index()
    counted = counted[counted["day"] >= first_day]
    in_range = waits[waits["day"] >= first_day]
    weights = {"": None, "weighted_": "requested_seconds"}
    for kind, those in (("eligible", in_range[in_range["has_eligible_wait"]]), ("submit", in_range)):
        found = kaplan_meier(those, ["partition_name"], f"{kind}_wait", weights, (0.5, 0.9, 0.95))
        names = {f"{prefix}p{p}": f"{prefix}wait_{kind}_p{p}_seconds" for prefix in weights for p in (50, 90, 95)}
        found = found.rename(columns={**names, "longest": f"wait_{kind}_longest_seconds"})
        counted = counted.merge(found, on=key, how="left")
    return counted.assign(
        usage_date=as_date(counted["day"]),
        cluster=site.cluster,
        submitted_accelerator_hours=unit_hours(counted["submitted_unit_seconds"]),
        pending_accelerator_hours=unit_hours(counted["pending_unit_seconds"]),
        queue_coverage=0.0,
    )


def demand_daily(site: Site, fleet: pd.DataFrame, queue: pd.DataFrame, idle: pd.DataFrame) -> pd.DataFrame:
    """What was held and what waited; what of it waited for capacity nobody knows without snapshots of the queue."""
    days = pd.RangeIndex(site.first_at // DAY, -(-site.as_of // DAY), name="day")
    allocated = fleet.groupby("day")["allocated_unit_seconds"].sum().reindex(days, fill_value=0)
    pending = queue.groupby("day")["pending_unit_seconds"].sum().reindex(days, fill_value=0)
    fragments = idle.groupby("day")[["unit_seconds", "fragmented"]].sum().reindex(days, fill_value=0)
    day = days.to_series()
    return pd.DataFrame(
        {
            "usage_date": as_date(day),
            "cluster": site.cluster,
            "allocated_hours": unit_hours(allocated),
            "pending_accelerator_hours": unit_hours(pending),
            "fragmentation_rate": ratio(fragments["fragmented"], fragments["unit_seconds"]),
            "queue_coverage": 0.0,
            "accounted_seconds": ((day + 1) * DAY).clip(upper=site.as_of) - day * DAY,
            "snapshot_seconds": 0,
            "allocated_unit_seconds": allocated,
        }
    )


# Cost


def share(amount: pd.Series, part: pd.Series, whole: pd.Series) -> pd.Series:
    """amount × part / whole, rounded down; dividing first keeps every product within 64 bits."""
    return amount // whole * part + amount % whole * part // whole


def accrued(amount: pd.Series, elapsed: pd.Series, total: pd.Series) -> pd.Series:
    """The part of an amount that has accrued after some of its seconds, rounded half up: slices of it always sum."""
    elapsed, total = elapsed.astype(object), total.astype(object)
    return (amount * elapsed * 2 + total) // (total * 2)


def picos_of(amounts: pd.Series) -> pd.Series:
    """Written amounts in trillionths of their currency, which may have more than 64 bits."""
    return amounts.map(lambda amount: int(Decimal(amount) * PICOS)).astype(object)


RENTED = ("compute", "storage", "unused_commitment", "tax", "credit", "replacement")
"""What only bills have; a generated site has none unless it is asked for."""


def cost_daily(site: Site, fleet: pd.DataFrame, background: pd.DataFrame) -> pd.DataFrame:
    """What one accelerator-hour cost. A pool has one model; where none of it is installed, its bills have none."""
    lots = pd.read_csv(site.landing / "purchase_lots.csv", dtype={"price": str, "residual": str})
    bought_at = pd.to_datetime(lots["in_service_at"])
    written_off_at = pd.concat(
        [lives + pd.DateOffset(months=months) for months, lives in bought_at.groupby(lots["life_months"])]
    )
    lots = lots[["pool", "currency"]].assign(
        accelerator_model=lots["accelerator_model"].str.lower().map(site.models),
        cost_component="depreciation",
        amount=picos_of(lots["price"]) - picos_of(lots["residual"]),
        starts_at=seconds_of(bought_at),
        ends_at=seconds_of(written_off_at.sort_index()),
        lot_accelerators=lots["accelerators"],
    )
    bills = read_sheet(site.landing / "flat_costs.csv", "period_start", "period_end")
    bills = bills[["pool", "currency", "cost_component"]].assign(
        amount=picos_of(bills["amount"]), starts_at=bills["period_start"], ends_at=bills["period_end"]
    )
    key = ["day", "pool", "accelerator_model"]
    hours = ("installed", "available", "allocated")
    fleet = fleet.loc[fleet["installed_unit_seconds"] > 0, [*key, *(f"{name}_unit_seconds" for name in hours)]]
    fleet = fleet.astype({"pool": str, "accelerator_model": str})
    days = pd.DataFrame({"day": np.arange(site.first_at // DAY, -(-site.as_of // DAY))})
    days = days.assign(begins_at=days["day"] * DAY, finishes_at=((days["day"] + 1) * DAY).clip(upper=site.as_of))

    slices = pd.concat([lots, bills]).merge(days, how="cross")
    slices = slices[(slices["starts_at"] < slices["finishes_at"]) & (slices["ends_at"] > slices["begins_at"])]
    since, length = slices["starts_at"], slices["ends_at"] - slices["starts_at"]
    amount = slices["amount"]
    until_end = accrued(amount, np.minimum(slices["ends_at"], slices["finishes_at"]) - since, length)
    slices["picos"] = until_end - accrued(amount, np.maximum(since, slices["begins_at"]) - since, length)
    models = fleet[key].rename(columns={"accelerator_model": "model_there"})
    slices = slices.merge(models, on=["day", "pool"], how="left")
    model = slices["accelerator_model"].fillna(slices["model_there"]).fillna("unassigned")
    components = ["depreciation", "power", "colo", "support"]
    component = slices["cost_component"].where(slices["cost_component"].isin(components), "other")
    costs = slices.assign(accelerator_model=model, cost_component=component + "_cost").pivot_table(
        "picos", [*key, "currency"], "cost_component", "sum", fill_value=0
    )
    names = [f"{name}_cost" for name in (*components, "other")]
    costs = costs.reindex(columns=names, fill_value=0)
    costs["known_cost"] = costs.sum(axis="columns")

    priced = lots.merge(days, how="cross")
    priced = priced[priced["starts_at"] < priced["finishes_at"]]
    since = np.maximum(priced["starts_at"], priced["begins_at"])
    priced["priced"] = priced["lot_accelerators"] * (priced["finishes_at"] - since) * UNITS
    priced = priced.groupby(key, as_index=False)["priced"].sum()

    there = background.assign(
        first_at=background["place"] % NODE, last_at=background["place"].shift(-1, fill_value=0) % NODE
    )
    in_service = there[there["installed"] > 0].groupby(["day", "pool"], observed=True, as_index=False)
    needed = in_service.agg(first_at=("first_at", "min"), last_at=("last_at", "max")).astype({"pool": str})
    billed = needed.merge(bills, on="pool")
    billed["billed"] = (
        np.minimum(billed["ends_at"], billed["last_at"]) - np.maximum(billed["starts_at"], billed["first_at"])
    ).clip(lower=0)
    billed["needed"] = billed["last_at"] - billed["first_at"]
    billed = billed.groupby(["day", "pool", "cost_component", "currency"], as_index=False).agg(
        billed=("billed", "sum"), needed=("needed", "first")
    )
    missing = billed[billed["billed"] < billed["needed"]].drop_duplicates(["day", "pool", "cost_component"])
    missing = (
        missing.sort_values("cost_component").groupby(["day", "pool"], as_index=False)["cost_component"].agg(", ".join)
    )

    joined = (
        fleet.merge(costs.reset_index(), on=key, how="outer")
        .merge(priced, on=key, how="left")
        .merge(missing.rename(columns={"cost_component": "missing_components"}), on=["day", "pool"], how="left")
    )
    amounts = [*names, "known_cost"]
    units = [*(f"{name}_unit_seconds" for name in hours), "priced"]
    joined[units] = joined[units].fillna(0).astype(np.int64)
    joined[amounts] = joined[amounts].astype(object)
    unpriced = (joined["installed_unit_seconds"] - joined["priced"]).clip(lower=0)
    cost = joined["known_cost"].where(joined["missing_components"].isna() & (unpriced == 0))
    return joined.assign(
        usage_date=as_date(joined["day"]),
        cluster=site.cluster,
        currency=joined["currency"].fillna("XXX"),
        cost=cost,
        straight_line_cost=joined["depreciation_cost"],
        **{f"{name}_cost": pd.Series(0, joined.index, object) for name in RENTED},
        used_only_cost=cost,
        rented_hours=0,
        unpriced_hours=unit_hours(unpriced),
        **{f"{name}_hours": unit_hours(joined[f"{name}_unit_seconds"]) for name in hours},
        **{f"cost_per_{name}_hour": cost_per_hour(cost, joined[f"{name}_unit_seconds"]) for name in hours},
        used_only_cost_per_installed_hour=cost_per_hour(cost, joined["installed_unit_seconds"]),
        replacement_cost_per_installed_hour=cost_per_hour(cost, joined["installed_unit_seconds"]),
    )


def cost_per_hour(picos: pd.Series, unit_seconds: pd.Series) -> pd.Series:
    """What one accelerator-hour cost. Whole and fraction of an amount apart, so that no digit of either is lost."""
    amount = (picos // PICOS).astype(np.float64) + (picos % PICOS).astype(np.float64) / PICOS
    return amount * (HOUR * UNITS) / unit_seconds.where(unit_seconds > 0)


def cost_monthly(daily: pd.DataFrame) -> pd.DataFrame:
    """A month is the sum of its days; it has a cost only where each of them has one."""
    hours = ("installed", "available", "allocated")
    daily = daily.assign(usage_month=daily["usage_date"].dt.to_period("M").dt.to_timestamp())
    months = daily.groupby(["usage_month", "cluster", "pool", "accelerator_model", "currency"])
    amounts = ["cost", *(name for name in daily.columns if name.endswith("_cost"))]
    summed = [*amounts, "unpriced_hours", "rented_hours", *(f"{name}_unit_seconds" for name in hours)]
    sums = months[summed].sum()
    sums["days_counted"], sums["days_priced"] = months.size(), months["cost"].count()
    cost = sums["cost"].where(sums["days_priced"] == sums["days_counted"])
    sums = sums.assign(
        cost=cost,
        used_only_cost=cost,
        **{f"{name}_hours": unit_hours(sums[f"{name}_unit_seconds"]) for name in hours},
        **{f"cost_per_{name}_hour": cost_per_hour(cost, sums[f"{name}_unit_seconds"]) for name in hours},
        used_only_cost_per_installed_hour=cost_per_hour(cost, sums["installed_unit_seconds"]),
        replacement_cost_per_installed_hour=cost_per_hour(cost, sums["installed_unit_seconds"]),
    )
    return sums.reset_index()


# Trust


def data_trust_daily(
    site: Site,
    records: pd.DataFrame,
    events: pd.DataFrame,
    reservations: pd.DataFrame,
    nodes: pd.DataFrame,
    costs: pd.DataFrame,
) -> pd.DataFrame:
    """How many records were received, and what became of each."""
    key = ["source", "cluster", "day"]
    collected = np.array([collected_at(file) for file in site.deliveries("jobs")])
    dated_at = np.where(records["record_at"] < EVER, records["record_at"], collected[records["file"]])
    rejected, worth = records["is_rejected"], records["worth_seconds"]
    jobs = pd.DataFrame(
        {
            "source": pd.Categorical(["slurm_jobs"]).repeat(len(records)),
            "cluster": pd.Categorical.from_codes(records["is_declared"].astype(np.int8), ["", site.cluster]),
            "day": dated_at // DAY,
            "rows_received": 1,
            "rows_accepted": records["is_in_use"],
            "rows_rejected": rejected,
            "rows_unvaluable": rejected & (worth < 0),
            "rejected_seconds": worth.where(rejected & (worth >= 0), 0),
            "newest": records["record_at"].where(records["record_at"] < EVER, -1),
        }
    )
    counts = ["rows_received", "rows_accepted", "rows_rejected", "rows_unvaluable", "rejected_seconds"]
    jobs = jobs.groupby(key, observed=True).agg({**dict.fromkeys(counts, "sum"), "newest": "max"})
    dated = [
        delivered.assign(
            source=source,
            cluster=site.cluster,
            day=delivered["TimeStart"] // DAY,
            newest=delivered["TimeStart"],
            rows_received=1,
            rows_accepted=~delivered.duplicated(fact),
        )
        .groupby(key, as_index=False)
        .agg({"rows_received": "sum", "rows_accepted": "sum", "newest": "max"})
        for source, delivered, fact in (
            ("slurm_node_events", events, ["NodeName", "TimeStart", "State"]),
            ("slurm_reservations", reservations, ["ID", "TimeStart"]),
        )
    ]
    sheets = {
        "inventory": "inventory",
        "org_mapping": "teams",
        "entitlements": "entitlements",
        "purchase_lots": "purchase_lots",
        "flat_costs": "flat_costs",
    }
    sizes = {source: len(read_sheet(site.landing / f"{file}.csv")) for source, file in sheets.items()}
    sizes["slurm_nodes"] = len(nodes)
    undated = pd.DataFrame({"source": list(sizes), "rows_received": list(sizes.values())})
    undated = undated.assign(
        cluster=site.cluster, day=site.as_of // DAY, rows_accepted=undated["rows_received"], newest=-1
    )
    counted = pd.concat(
        [jobs.reset_index().astype({"source": str, "cluster": str}), *dated, undated], ignore_index=True
    )
    counted[counts] = counted[counts].fillna(0).astype(np.int64)

    days = costs.groupby(["cluster", "day"])
    is_priced = (days["currency"].nunique() == 1) & (days["cost"].count() == days.size())
    rates = cost_per_hour(days["cost"].sum(), days["installed_unit_seconds"].sum()).where(is_priced).rename("rate")
    counted = counted.merge(rates.reset_index(), on=["cluster", "day"], how="left")
    hours = second_hours(counted["rejected_seconds"])
    # Half up; at this size a sum of the number and a half would be rounded itself.
    trillionths = (counted["rate"].astype(np.float64) * (hours / 1e6) * 1e12).where(counted["rejected_seconds"] > 0, 0)
    rounded = np.floor(trillionths)
    rounded = (rounded + (trillionths - rounded >= 0.5)).astype("Int64")
    newest = counted["newest"].where(counted["newest"] >= 0)
    return counted.assign(
        usage_date=as_date(counted["day"]),
        rows_superseded=counted["rows_received"] - counted["rows_accepted"] - counted["rows_rejected"],
        rejected_hours=hours,
        rejected_cost=pd.Series(scaled(pa.array(rounded), 12), dtype=pd.ArrowDtype(TYPES["DECIMAL(38,12)"])),
        newest_at=pd.to_datetime(newest, unit="s"),
        coverage=(counted["rows_received"] - counted["rows_rejected"]) / counted["rows_received"],
    )


# Writing


def scaled(counts: pa.Array, digits: int) -> pa.Array:
    """Whole numbers of tenths, hundredths or smaller parts, as decimals."""
    part = pa.scalar(Decimal(1).scaleb(-digits), pa.decimal128(digits + 1, digits))
    return pc.multiply(counts.cast(pa.decimal128(19, 0)), part)


def amounts_of(picos: pd.Series) -> list[Decimal | None]:
    """Trillionths of a currency as amounts; they may have more than 64 bits."""
    return [None if pd.isna(amount) else Decimal(int(amount)).scaleb(-12) for amount in picos]


def write(rows: pd.DataFrame, contract: Contract, file: Path) -> None:
    """Writes a table in the order of its key, with all its columns; what nobody computed is null."""
    rows = rows.sort_values(contract.key)
    arrays = []
    for name, kind in contract.columns.items():
        if name not in rows.columns or not len(rows):
            arrays.append(pa.nulls(len(rows), TYPES[kind]))
            continue
        if kind == "DECIMAL(38,12)" and rows[name].dtype == object:
            arrays.append(pa.array(amounts_of(rows[name]), TYPES[kind]))
            continue
        column = pa.array(rows[name], from_pandas=True)
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        if kind == "DECIMAL(38,6)" and not pa.types.is_decimal(column.type):
            column = scaled(column.cast(pa.int64()), 6)
        arrays.append(column.cast(TYPES[kind]))
    pq.write_table(pa.table(arrays, names=list(contract.columns)), file, compression="zstd")


if __name__ == "__main__":
    main()
