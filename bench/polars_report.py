"""The report tables of a generated site, computed with Polars: a peer that the benchmark measures the pipeline against.

    python bench/polars_report.py SITE_FOLDER OUT_FOLDER

It relies on everything that the text of a generated site has: one cluster, times since 1970 in the scheduler's records,
whole devices, one model on a node and in a pool, reservations of whole nodes, a job's name as the last column, and no
suspensions, arrays or snapshots of the queue. The pipeline's queries in `assets_sql` rely on none of that.

Instants are seconds since 1970, in UTC; days are days since then. What a name means is in `docs/metrics.md`.
"""

import math
from pathlib import Path

import polars as pl
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
    read_contracts,
    stage,
    table_file,
)

PICOS = 1_000_000_000_000
NODE = 2**32
"""A place on a node's time is its number times this, plus the instant: places sort by one number."""

HOST_LIST = pl.Categorical(pl.Categories("NodeList"))
TYPES = {
    "DATE": pl.Date(),
    "VARCHAR": pl.String(),
    "BOOLEAN": pl.Boolean(),
    "BIGINT": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "DECIMAL(38,6)": pl.Decimal(38, 6),
    "DECIMAL(38,12)": pl.Decimal(38, 12),
    "TIMESTAMP": pl.Datetime("us"),
}


def main() -> None:
    """Computes the tables and writes them, and says what each part took."""
    pl.Config.set_engine_affinity("streaming")
    site, out = arguments()
    contracts = read_contracts()
    with stage("read"):
        records = read_records(site)
        nodes = read_nodes(site)
        capacity = read_capacity(site, nodes)
        events = read_events(site)
        reservations = read_reservations(site)
    with stage("attempts"):
        list_nodes = expand_host_lists(pl.concat([records["NodeList"], reservations["NodeList"]]).unique(), nodes)
        records = records.with_columns(is_in_use=is_in_use(records))
        attempts = understand(site, records)
        attempts = end_runaways(site, attempts, list_nodes, nodes, capacity, events)
    with stage("timeline"):
        background = node_background(site, nodes, capacity, events, reservations, list_nodes)
        timeline = sweep(attempts, list_nodes, background)
    with stage("queue"):
        waits = queue_waits(site, attempts)
        queue = queue_daily(site, waits)
    with stage("report"):
        idle = judged_idle_hours(timeline, site, attempts)
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
            "reconciliation_daily": pl.DataFrame(
                schema=dict.fromkeys(contracts["reconciliation_daily"].columns, pl.Null)
            ),
        }
    with stage("write"):
        for table, rows in tables.items():
            write(rows, contracts[table], table_file(out, table))


# Reading


def read_records(site: Site) -> pl.DataFrame:
    """The scheduler's records, each with what its TRES say, what it is worth and whether it is rejected.

    Columns that repeat their texts are read as categories, so that a text is compared and parsed once.
    """
    numbers = ("DBIndex", "JobIDRaw", "Submit", "Eligible", "End", "AllocCPUS", "TimelimitRaw")
    repeated = ("Cluster", "State", "Partition", "QOS", "Account", "ReqTRES", "AllocTRES", "NodeList")
    schema = {
        **dict.fromkeys(JOB_COLUMNS, pl.String()),
        **dict.fromkeys(numbers, pl.Int64()),
        **{name: pl.Categorical(pl.Categories(name)) for name in repeated},
    }
    lines = pl.scan_csv(
        site.deliveries("jobs"),
        separator="|",
        quote_char=None,
        schema=schema,
        null_values={"Start": "None", "End": "Unknown", "NodeList": "None assigned"},
        truncate_ragged_lines=True,
        include_file_paths="file",
        row_index_name="line",
    )
    # A line without numbers is the rest of a job's name.
    records = (
        lines.filter(pl.col("DBIndex").is_not_null())
        .select("line", *numbers[1:], *repeated, "Start", pl.col("NNodes").cast(pl.Int64, strict=False), "file")
        .with_columns(started_at=pl.col("Start").cast(pl.Int64, strict=False))
        .collect()
    )
    allocated = parsed_tres(records["AllocTRES"]).rename({"accelerators": "held", "memory": "memory_held"})
    requested = parsed_tres(records["ReqTRES"]).rename({"accelerators": "requested"}).drop("cpus", "nodes", "memory")
    is_cut = pl.col("Partition").is_null()
    is_known_state = pl.col("State").is_in(STATES) | pl.col("State").cat.starts_with("CANCELLED by ")
    return (
        records.lazy()
        .join(allocated.lazy().drop("cpus", "nodes"), on="AllocTRES", how="left")
        .join(requested.lazy(), on="ReqTRES", how="left")
        .with_columns(
            is_declared=pl.col("Cluster") == site.cluster,
            is_rejected=is_cut
            | (pl.col("Cluster") != site.cluster)
            | pl.col("JobIDRaw").is_null()
            | pl.col("Submit").is_null()
            | (pl.col("Start").is_not_null() & pl.col("started_at").is_null())
            | (pl.col("End") < pl.col("started_at")).fill_null(False)
            | ~is_known_state.fill_null(False)
            | pl.col("NNodes").is_null()
            | (pl.col("started_at").is_not_null() & pl.col("held").is_null()),
            worth_seconds=pl.when(is_cut)
            .then(None)
            .when(pl.col("Start").is_null() | (pl.col("held") == 0))
            .then(0)
            .otherwise(pl.col("held") * (pl.col("End") - pl.col("started_at")).abs()),
            record_at=pl.coalesce("End", "started_at", "Submit"),
        )
        .drop("Start", "Cluster", "AllocTRES")
        .collect()
    )


def parsed_tres(texts: pl.Series) -> pl.DataFrame:
    """What each distinct TRES string says: 0 accelerators where it names none, null where their count is no number."""
    text = pl.col(texts.name).cast(pl.String)
    return (
        texts.unique()
        .drop_nulls()
        .to_frame()
        .select(
            texts.name,
            accelerators=pl.when(text.str.contains("gres/gpu", literal=True))
            .then(text.str.extract(r"gres/gpu=(\d+)").cast(pl.Int64))
            .otherwise(0),
            cpus=text.str.extract(r"\bcpu=(\d+)").cast(pl.Int64),
            memory=text.str.extract(r"\bmem=(\d+)M").cast(pl.Int64),
            nodes=text.str.extract(r"\bnode=(\d+)").cast(pl.Int64),
        )
    )


def read_table(files: Path | list[Path], separator: str, instants: dict[str, str]) -> pl.DataFrame:
    """A small table of text whose instants have a format; each row with its file."""
    return pl.read_csv(
        files,
        separator=separator,
        quote_char=None,
        infer_schema=False,
        truncate_ragged_lines=True,
        include_file_paths="file",
    ).with_columns(pl.col(name).str.to_datetime(form, strict=False).dt.epoch("s") for name, form in instants.items())


def read_nodes(site: Site) -> pl.DataFrame:
    """What `scontrol show node` says that each node has; `number` is short for its name."""
    line = pl.col("line")
    return (
        pl.Series("line", (site.scheduler_files / "nodes.txt").read_text(encoding="utf-8").splitlines())
        .to_frame()
        .select(
            node=line.str.extract(r"^NodeName=(\S+)").forward_fill(),
            node_cpus=line.str.extract(r"\bCPUTot=(\d+)").cast(pl.Int64),
            node_memory=line.str.extract(r"\bRealMemory=(\d+)").cast(pl.Int64),
            scheduler_accelerators=line.str.extract(r"CfgTRES=.*gres/gpu=(\d+)").cast(pl.Int64),
        )
        .group_by("node")
        .max()
        .sort("node")
        .with_row_index("number")
        .with_columns(pl.col("number").cast(pl.Int64))
    )


def read_capacity(site: Site, nodes: pl.DataFrame) -> pl.DataFrame:
    """The periods of each node of the inventory, from the beginning of time to its end; installed or not."""
    instants = dict.fromkeys(("in_service_at", "retired_at"), "%Y-%m-%dT%H:%M:%SZ")
    in_service = read_table(site.landing / "inventory.csv", ",", instants).select(
        "node",
        "pool",
        accelerator_model=pl.col("accelerator_model").str.to_lowercase().replace_strict(site.models),
        installed=pl.col("accelerators").cast(pl.Int64),
        valid_from="in_service_at",
        valid_to=pl.col("retired_at").fill_null(EVER),
    )
    ends = in_service.group_by("node", "accelerator_model").agg(
        pl.col("valid_from").min().alias("valid_to"), pl.col("valid_to").max().alias("valid_from")
    )
    unassigned = {"pool": pl.lit("unassigned"), "installed": pl.lit(0, pl.Int64)}
    return (
        pl.concat(
            [
                in_service,
                ends.with_columns(valid_from=pl.lit(0, pl.Int64), **unassigned),
                ends.with_columns(valid_to=pl.lit(EVER, pl.Int64), **unassigned),
            ],
            how="diagonal",
        )
        .filter(pl.col("valid_from") < pl.col("valid_to"))
        .join(nodes, on="node")
        .sort("number", "valid_from")
    )


def read_events(site: Site) -> pl.DataFrame:
    """When nodes were down or drained, as delivered."""
    return read_table(site.deliveries("node_events"), "|", dict.fromkeys(("TimeStart", "TimeEnd"), "%Y-%m-%dT%H:%M:%S"))


def read_reservations(site: Site) -> pl.DataFrame:
    """Reservations as delivered, all of whole nodes."""
    return read_table(
        site.deliveries("reservations"), "|", dict.fromkeys(("TimeStart", "TimeEnd"), "%Y-%m-%dT%H:%M:%S")
    ).with_columns(pl.col("NodeName").cast(HOST_LIST).alias("NodeList"))


def expand_host_lists(lists: pl.Series, nodes: pl.DataFrame) -> pl.DataFrame:
    """The nodes of each distinct host list, such as `gpu[001-004,007]`, and of how many it is one."""
    text = pl.col("NodeList").cast(pl.String)
    digits = pl.col("range").str.extract(r"^(\d+)")
    first, last = digits.cast(pl.Int64), pl.col("range").str.extract(r"(\d+)$").cast(pl.Int64)
    return (
        lists.drop_nulls()
        .to_frame("NodeList")
        .lazy()
        .with_columns(
            prefix=text.str.extract(r"^(.*?)(?:\[|\d+$)"),
            range=pl.coalesce(text.str.extract(r"\[(.*)\]"), text.str.extract(r"(\d+)$")).str.split(","),
        )
        .explode("range")
        .with_columns(digits=digits.str.len_chars(), place=pl.int_ranges(first, last + 1))
        .explode("place")
        .with_columns(node=pl.col("prefix") + pl.col("place").cast(pl.String).str.zfill(pl.col("digits")))
        .with_columns(list_nodes=pl.len().over("NodeList"))
        .join(nodes.lazy().select("node", "number"), on="node")
        .select("NodeList", "number", "list_nodes")
        .collect()
    )


# Attempts


def is_in_use(records: pl.DataFrame) -> pl.Expr:
    """Whether a record is understood and the best one of its attempt.

    The one that was collected last is, and of one delivery the one that knows more. Files sort by time.
    """
    attempt = ("JobIDRaw", "Submit")
    repeated = (
        records.lazy()
        .filter(~pl.col("is_rejected"))
        .select("line", "file", *attempt, "started_at", "End", key=pl.col("JobIDRaw") * NODE + pl.col("Submit"))
        .filter(pl.col("key").is_duplicated())
        .sort(*attempt, "file", pl.col("End").is_not_null(), pl.max_horizontal("End", "started_at"), "line")
    )
    superseded = repeated.filter(pl.col("key") == pl.col("key").shift(-1)).select("line").collect().to_series()
    return ~pl.col("is_rejected") & ~pl.col("line").is_in(superseded.implode())


def understand(site: Site, records: pl.DataFrame) -> pl.DataFrame:
    """Attempts with team, workload class, true start, and what they take of each of their nodes."""
    winners = records.lazy().filter("is_in_use")
    resized = winners.filter(pl.col("State") == "RESIZING").select("JobIDRaw").unique()
    followers = (
        winners.join(resized, on="JobIDRaw", how="semi")
        .sort("JobIDRaw", "Submit")
        .filter((pl.col("State").shift() == "RESIZING") & (pl.col("JobIDRaw").shift() == pl.col("JobIDRaw")))
        .select("line", is_follower=True)
    )
    teams = read_table(site.landing / "teams.csv", ",", dict.fromkeys(("valid_from", "valid_to"), "%Y-%m-%dT%H:%M:%SZ"))
    team_names = pl.Enum(sorted({*teams["team"], "unattributed"}))
    teams = teams.select(
        pl.col("account").cast(records.schema["Account"]).alias("Account"),
        pl.col("team").cast(team_names),
        "valid_from",
        pl.col("valid_to").fill_null(EVER),
    )
    known_at = pl.coalesce("started_at", "Submit")
    is_valid = (known_at >= pl.col("valid_from")) & (known_at < pl.col("valid_to"))
    nodes = pl.col("NNodes").clip(1)
    return (
        winners.join(followers, on="line", how="left")
        .join(teams.lazy(), on="Account", how="left")
        .filter(pl.col("team").is_null() | is_valid)
        .join(workload_classes(site, winners), on=("Partition", "QOS"), how="left")
        .with_columns(is_follower=pl.col("is_follower").fill_null(False))
        .select(
            "JobIDRaw",
            "Submit",
            "Eligible",
            pl.when("is_follower")
            .then(pl.max_horizontal("started_at", "Submit"))
            .otherwise("started_at")
            .alias("started_at"),
            "is_follower",
            "NodeList",
            "Partition",
            "ReqTRES",
            "requested",
            "workload_class",
            ended_at="End",
            team=pl.col("team").fill_null("unattributed"),
            limit_seconds=pl.col("TimelimitRaw") * 60,
            cpus="AllocCPUS",
            nodes="NNodes",
            node_accelerators=pl.col("held") // nodes,
            node_cpus=pl.col("AllocCPUS") // nodes,
            node_memory=pl.col("memory_held") // nodes,
        )
        .with_row_index("attempt")
        .collect()
    )


def workload_classes(site: Site, winners: pl.LazyFrame) -> pl.LazyFrame:
    """The class of each partition and quality of service: the first rule that fits."""
    names = [*dict.fromkeys(name for name, _, _ in site.workload_rules), "unclassified"]
    rule = pl.lit("unclassified")
    for name, partition, qos in reversed(site.workload_rules):
        fits = pl.lit(True)
        if partition is not None:
            fits &= pl.col("Partition") == partition
        if qos is not None:
            fits &= pl.col("QOS") == qos
        rule = pl.when(fits).then(pl.lit(name)).otherwise(rule)
    kinds = winners.select("Partition", "QOS").unique()
    return kinds.with_columns(workload_class=rule.cast(pl.Enum(names)))


def end_runaways(
    site: Site,
    attempts: pl.DataFrame,
    list_nodes: pl.DataFrame,
    nodes: pl.DataFrame,
    capacity: pl.DataFrame,
    events: pl.DataFrame,
) -> pl.DataFrame:
    """Ends the attempts that the books hold open after evidence that they are over.

    One of their nodes went down, or attempts that started later need the accelerators that they claim.
    """
    is_open = pl.col("started_at").is_not_null() & pl.col("ended_at").is_null()
    claims = attempts.lazy().filter(is_open).join(list_nodes.lazy(), on="NodeList")
    downs = (
        events.lazy()
        .filter(pl.col("State").str.starts_with("DOWN"))
        .join(nodes.lazy(), left_on="NodeName", right_on="node")
        .select("number", evidence_at="TimeStart")
    )
    went_down = (
        claims.join(downs, on="number")
        .filter((pl.col("evidence_at") > pl.col("started_at")) & (pl.col("evidence_at") < site.as_of))
        .select("attempt", "evidence_at")
    )
    claims = claims.filter(pl.col("node_accelerators") > 0)
    first_claims = claims.group_by("number").agg(first_at=pl.col("started_at").min())
    attempt_id = pl.format("{}/{}", "JobIDRaw", "Submit")
    later = (
        attempts.lazy()
        .filter((pl.col("node_accelerators") > 0) & (pl.col("started_at") < pl.col("ended_at").fill_null(EVER)))
        .select("NodeList", "started_at", "ended_at", "node_accelerators", attempt_id=attempt_id)
        .join(list_nodes.lazy(), on="NodeList")
        .join(first_claims, on="number")
        .filter(pl.col("started_at") >= pl.col("first_at"))
        .join(
            claims.select("number", "attempt", claim_at="started_at", claimed="node_accelerators", claim_id=attempt_id),
            on="number",
        )
        .filter(
            (pl.col("started_at") > pl.col("claim_at"))
            | ((pl.col("started_at") == pl.col("claim_at")) & (pl.col("attempt_id") > pl.col("claim_id")))
        )
    )
    edges = pl.concat(
        [
            later.select("attempt", "number", "claimed", at="started_at", added="node_accelerators"),
            later.select(
                "attempt",
                "number",
                "claimed",
                at=pl.col("ended_at").fill_null(EVER),
                added=-pl.col("node_accelerators"),
            ),
        ]
    )
    reallocated = (
        edges.sort("attempt", "number", "at", "added")
        .with_columns(needed=pl.col("claimed") + pl.col("added").cum_sum().over("attempt", "number"))
        .filter((pl.col("added") > 0) & (pl.col("at") < site.as_of))
        .join(capacity.lazy().filter(pl.col("installed") > 0), on="number")
        .filter(
            (pl.col("at") >= pl.col("valid_from"))
            & (pl.col("at") < pl.col("valid_to"))
            & (pl.col("needed") > pl.max_horizontal("installed", "scheduler_accelerators"))
        )
        .select("attempt", evidence_at="at")
    )
    evidence = pl.concat([went_down, reallocated]).group_by("attempt").agg(pl.col("evidence_at").min())
    return (
        attempts.lazy()
        .join(evidence, on="attempt", how="left")
        .with_columns(ended_at=pl.coalesce("ended_at", "evidence_at"))
        .with_columns(until=pl.col("ended_at").fill_null(site.as_of))
        .drop("evidence_at")
        .collect()
    )


# The nodes' timeline


def node_background(
    site: Site,
    nodes: pl.DataFrame,
    capacity: pl.DataFrame,
    events: pl.DataFrame,
    reservations: pl.DataFrame,
    list_nodes: pl.DataFrame,
) -> pl.DataFrame:
    """What does not depend on attempts, piece by piece of each node's time: capacity, availability, reservation, day.

    Every interval is an edge up where it begins and an edge down where it ends; running sums are what holds between.
    A node's last piece begins at as_of and has no period.
    """
    periods = capacity.with_row_index("period", offset=1).with_columns(pl.col("period").cast(pl.Int64))
    happened = (
        events.sort("file", "TimeEnd", nulls_last=False)
        .unique(("NodeName", "TimeStart", "State"), keep="last", maintain_order=True)
        .join(nodes, left_on="NodeName", right_on="node")
    )
    reserved = (
        reservations.sort("file")
        .unique(("ID", "TimeStart"), keep="last", maintain_order=True)
        .join(list_nodes, on="NodeList")
    )
    is_down = pl.col("State").str.starts_with("DOWN")
    midnights = pl.DataFrame({"starts_at": range(site.first_at, site.as_of, DAY)})
    intervals = pl.concat(
        [
            periods.select("number", "period", starts_at="valid_from", ends_at="valid_to"),
            happened.select(
                "number",
                starts_at="TimeStart",
                ends_at=pl.col("TimeEnd").fill_null(EVER),
                down=is_down.cast(pl.Int64),
                draining=(~is_down).cast(pl.Int64),
            ),
            reserved.select(
                "number",
                starts_at="TimeStart",
                ends_at="TimeEnd",
                planned=pl.col("Flags").str.contains(r"(^|,)MAINT(,|$)").cast(pl.Int64),
                reserved=pl.lit(1, pl.Int64),
            ),
            capacity.select(pl.col("number").unique())
            .join(midnights, how="cross")
            .with_columns(ends_at=pl.col("starts_at")),
        ],
        how="diagonal",
    ).with_columns(pl.col("starts_at", "ends_at").clip(site.first_at, site.as_of))
    kinds = ("period", "down", "draining", "planned", "reserved")
    known = intervals.lazy().join(capacity.lazy(), on="number", how="semi").with_columns(pl.col(kinds).fill_null(0))
    return (
        pl.concat(
            [
                known.select(*kinds, place=pl.col("number") * NODE + pl.col("starts_at")),
                known.select(*(-pl.col(kind) for kind in kinds), place=pl.col("number") * NODE + pl.col("ends_at")),
            ]
        )
        .sort("place")
        .with_columns(pl.col(kinds).cum_sum())
        .filter(pl.col("place") != pl.col("place").shift(-1, fill_value=-1))
        .join(
            periods.lazy().with_columns(pl.col("pool", "accelerator_model").cast(pl.Categorical)),
            on="period",
            how="left",
        )
        .select(
            "place",
            "pool",
            "accelerator_model",
            "installed",
            "node_cpus",
            "node_memory",
            day=pl.col("place") % NODE // DAY,
            is_reserved=pl.col("reserved") > 0,
            availability=pl.when(pl.col("planned") > 0)
            .then(pl.lit("down_planned"))
            .when(pl.col("down") > 0)
            .then(pl.lit("down_unplanned"))
            .when(pl.col("draining") > 0)
            .then(pl.lit("draining"))
            .otherwise(pl.lit("available"))
            .cast(pl.Enum(["available", "draining", "down_planned", "down_unplanned"])),
        )
        .sort("place")
        .collect()
    )


def sweep(attempts: pl.DataFrame, list_nodes: pl.DataFrame, background: pl.DataFrame) -> pl.DataFrame:
    """Each node's time in segments in which nothing changes: what is installed, held and free."""
    taken = ("node_accelerators", "node_cpus", "node_memory")
    known_nodes = background.lazy().select(number=pl.col("place") // NODE).unique()
    held = (
        attempts.lazy()
        .filter(pl.col("started_at").is_not_null())
        .join(list_nodes.lazy().join(known_nodes, on="number", how="semi"), on="NodeList")
        .select("number", "started_at", "until", *(pl.col(kind).cast(pl.Int32) for kind in taken))
    )
    return (
        pl.concat(
            [
                held.select(*taken, place=pl.col("number") * NODE + pl.col("started_at")),
                held.select(*(-pl.col(kind) for kind in taken), place=pl.col("number") * NODE + pl.col("until")),
                background.lazy().select(*(pl.lit(0, pl.Int32).alias(kind) for kind in taken), "place"),
            ]
        )
        .sort("place")
        .select(
            "place",
            pl.col("node_accelerators").cum_sum().alias("held"),
            pl.col("node_cpus").cum_sum().alias("held_cpus"),
            pl.col("node_memory").cum_sum().alias("held_memory"),
            seconds=pl.col("place").shift(-1) - pl.col("place"),
        )
        .filter(pl.col("seconds") > 0)
        .set_sorted("place")
        .join_asof(background.lazy().set_sorted("place"), on="place")
        .filter((pl.col("installed") > 0) | (pl.col("held") > 0))
        .with_columns(
            free=(pl.col("installed") - pl.col("held")).clip(0),
            free_cpus=(pl.col("node_cpus") - pl.col("held_cpus")).clip(0),
            free_memory=(pl.col("node_memory") - pl.col("held_memory")).clip(0),
        )
        .drop("node_cpus", "node_memory", "held_cpus", "held_memory")
        .collect()
    )


def daily_shapes(site: Site, attempts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What was requested on each day and in the 28 days before it: the shapes that matter, and how many of each size.

    Among shapes of as many accelerators, one with more CPUs matters only if it needs less memory than all with fewer.
    """
    accelerators, nodes = pl.col("accelerators"), pl.col("nodes")
    shape = ("needed_units", "needed_cpus", "needed_memory")
    shapes = (
        parsed_tres(attempts["ReqTRES"])
        .filter(accelerators > 0)
        .select(
            "ReqTRES",
            needed_units=accelerators // nodes * UNITS,
            needed_cpus=pl.col("cpus") // nodes,
            needed_memory=pl.col("memory") // nodes,
        )
    )
    requests = (
        attempts.lazy()
        .filter(~pl.col("is_follower"))
        .group_by("ReqTRES", day=pl.col("Submit") // DAY)
        .agg(requests=pl.len().cast(pl.Int64))
        .join(shapes.lazy(), on="ReqTRES")
        .group_by("day", *shape)
        .agg(pl.col("requests").sum())
        .collect()
    )
    days = pl.DataFrame({"day": range(requests["day"].min(), -(-site.as_of // DAY))})
    window = (
        requests.select(shape)
        .unique()
        .join(days, how="cross")
        .join(requests, on=(*shape, "day"), how="left")
        .sort(*shape, "day")
        .with_columns(pl.col("requests").fill_null(0).rolling_sum(29, min_samples=1).over(shape))
        .filter((pl.col("requests") > 0) & (pl.col("day") >= site.first_at // DAY))
    )
    sizes = window.group_by("day", "needed_units").agg(pl.col("requests").sum())
    least_before = pl.col("needed_memory").cum_min().shift().over("day", "needed_units")
    frontier = (
        window.group_by("day", "needed_units", "needed_cpus")
        .agg(pl.col("needed_memory").min())
        .sort("day", "needed_units", "needed_cpus")
        .filter((pl.col("needed_memory") < least_before).fill_null(True))
    )
    return frontier, sizes


def cut(intervals: pl.LazyFrame, name: str, length: int) -> pl.LazyFrame:
    """Intervals from `starts_at` to `ends_at` cut at days or hours: the number, bounds and seconds of each piece."""
    number = pl.col(name)
    return (
        intervals.filter(pl.col("starts_at") < pl.col("ends_at"))
        .with_columns(pl.int_ranges(pl.col("starts_at") // length, (pl.col("ends_at") - 1) // length + 1).alias(name))
        .explode(name)
        .with_columns(
            starts_at=pl.max_horizontal("starts_at", number * length),
            ends_at=pl.min_horizontal("ends_at", (number + 1) * length),
        )
        .with_columns(seconds=pl.col("ends_at") - pl.col("starts_at"))
    )


def judged_idle_hours(timeline: pl.DataFrame, site: Site, attempts: pl.DataFrame) -> pl.DataFrame:
    """What is free, available and not reserved, by hour and situation, and how much of the demand fits there.

    A situation is what is free on a node, as one number: so many accelerators, CPUs and MiB. A pool has one model.
    """
    free_cpus, free_memory = 2**16, 2**32
    situation = (pl.col("free") * free_cpus + pl.col("free_cpus")) * free_memory + pl.col("free_memory")
    starts_at = pl.col("place") % NODE
    idle = (
        cut(
            timeline.lazy()
            .filter((pl.col("free") > 0) & (pl.col("availability") == "available") & ~pl.col("is_reserved"))
            .select(
                *("pool", "accelerator_model"),
                situation=situation,
                starts_at=starts_at,
                ends_at=starts_at + pl.col("seconds"),
            ),
            "hour",
            HOUR,
        )
        .group_by("hour", "pool", "situation")
        .agg(pl.col("seconds").sum(), pl.col("accelerator_model").first())
        .with_columns(day=pl.col("hour") // (DAY // HOUR))
        .collect()
    )
    frontier, sizes = daily_shapes(site, attempts)
    hosted = (
        idle.lazy()
        .select("day", "situation")
        .unique()
        .join(frontier.lazy(), on="day")
        .filter(
            (pl.col("situation") // free_memory // free_cpus * UNITS >= pl.col("needed_units"))
            & (pl.col("situation") // free_memory % free_cpus >= pl.col("needed_cpus"))
            & (pl.col("situation") % free_memory >= pl.col("needed_memory"))
        )
        .select("day", "situation", "needed_units")
        .unique()
        .join(sizes.lazy(), on=("day", "needed_units"))
        .group_by("day", "situation")
        .agg(hosted=pl.col("requests").sum())
    )
    demand = sizes.lazy().group_by("day").agg(all_requests=pl.col("requests").sum())
    unit_seconds = pl.col("situation") // free_memory // free_cpus * pl.col("seconds") * UNITS
    return (
        idle.lazy()
        .join(demand, on="day")
        .join(hosted, on=("day", "situation"), how="left")
        .select(
            *("day", "pool", "accelerator_model"),
            hosted=pl.col("hosted").fill_null(0),
            unit_seconds=unit_seconds,
            fragmented=share(
                unit_seconds, pl.col("all_requests") - pl.col("hosted").fill_null(0), pl.col("all_requests")
            ),
        )
        .collect()
    )


# Tables


def unit_hours(unit_seconds: pl.Expr) -> pl.Expr:
    """Unit-seconds as accelerator-hours, rounded half up to six decimals."""
    return ((unit_seconds * 10 + 1512) // 3024).cast(pl.Decimal(38, 6)) / 1_000_000


def second_hours(seconds: pl.Expr) -> pl.Expr:
    """Seconds as hours, rounded half up to six decimals."""
    return ((seconds * 10_000 + 18) // 36).cast(pl.Decimal(38, 6)) / 1_000_000


def ratio(numerator: str, denominator: str) -> pl.Expr:
    """A ratio of two sums; null where there is nothing to divide by."""
    return pl.when(pl.col(denominator) > 0).then(pl.col(numerator) / pl.col(denominator))


def as_date(day: str) -> pl.Expr:
    """A day's number as a date."""
    return pl.col(day).cast(pl.Int32).cast(pl.Date)


def hours_of(names: tuple[str, ...]) -> list[pl.Expr]:
    """The readable hours of columns of unit-seconds."""
    return [unit_hours(pl.col(f"{name}_unit_seconds")).alias(f"{name}_hours") for name in names]


def fleet_daily(site: Site, timeline: pl.DataFrame, idle: pl.DataFrame) -> pl.DataFrame:
    """Where every installed accelerator-second went."""
    key = ("day", "pool", "accelerator_model")
    seconds, held, installed, free = (pl.col(name) for name in ("seconds", "held", "installed", "free"))
    in_use = pl.min_horizontal("held", "installed")
    is_available = pl.col("availability") == "available"

    def summed(amount: pl.Expr, *conditions: pl.Expr) -> pl.Expr:
        return (amount * seconds).filter(*conditions).sum() * UNITS if conditions else (amount * seconds).sum() * UNITS

    stranded = (
        idle.lazy().filter(pl.col("hosted") == 0).group_by(key).agg(stranded_unit_seconds=pl.col("unit_seconds").sum())
    )
    states = (
        *("installed", "available", "allocated", "reserved_idle", "idle", "down_planned", "down_unplanned", "draining"),
        *("stranded", "overcommit", "unplaced", "allocated_while_down"),
    )
    return (
        timeline.lazy()
        .group_by(key)
        .agg(
            installed_unit_seconds=summed(installed),
            allocated_unit_seconds=summed(in_use),
            reserved_idle_unit_seconds=summed(free, is_available, pl.col("is_reserved")),
            free_unit_seconds=summed(free, is_available, ~pl.col("is_reserved")),
            down_planned_unit_seconds=summed(free, pl.col("availability") == "down_planned"),
            down_unplanned_unit_seconds=summed(free, pl.col("availability") == "down_unplanned"),
            draining_unit_seconds=summed(free, pl.col("availability") == "draining"),
            overcommit_unit_seconds=summed(held - in_use, installed > 0),
            unplaced_unit_seconds=summed(held, installed == 0),
            allocated_while_down_unit_seconds=summed(in_use, ~is_available),
        )
        .join(stranded, on=key, how="left")
        .with_columns(pl.col("stranded_unit_seconds").fill_null(0))
        .with_columns(
            idle_unit_seconds=pl.col("free_unit_seconds") - pl.col("stranded_unit_seconds"),
            available_unit_seconds=pl.col("installed_unit_seconds")
            - pl.col("down_planned_unit_seconds")
            - pl.col("down_unplanned_unit_seconds")
            - pl.col("draining_unit_seconds"),
        )
        .with_columns(
            *hours_of(states),
            usage_date=as_date("day"),
            cluster=pl.lit(site.cluster),
            is_partial=pl.lit(site.as_of) < (pl.col("day") + 1) * DAY,
            allocation_rate_installed=ratio("allocated_unit_seconds", "installed_unit_seconds"),
            allocation_rate_available=ratio("allocated_unit_seconds", "available_unit_seconds"),
            telemetry_coverage=pl.lit(0.0),
        )
        .collect()
    )


def list_periods(site: Site, list_nodes: pl.DataFrame, capacity: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Which pool and model the nodes of a host list were of and when, and which most of them were of: its home."""
    periods = (
        list_nodes.join(capacity, on="number")
        .with_columns(pl.col("valid_from", "valid_to").clip(site.first_at, site.as_of))
        .filter(pl.col("valid_from") < pl.col("valid_to"))
        .group_by("NodeList", "pool", "accelerator_model", "valid_from", "valid_to")
        .agg(pool_nodes=pl.len().cast(pl.Int64))
        .with_columns(pl.col("pool", "accelerator_model").cast(pl.Categorical))
    )
    epochs = (
        periods.select("NodeList", home_from="valid_from")
        .unique()
        .sort("NodeList", "home_from")
        .with_columns(home_to=pl.col("home_from").shift(-1).over("NodeList").fill_null(EVER))
    )
    homes = (
        epochs.join(periods, on="NodeList")
        .filter((pl.col("valid_from") <= pl.col("home_from")) & (pl.col("home_from") < pl.col("valid_to")))
        .group_by("NodeList", "home_from", "home_to", "pool", "accelerator_model")
        .agg(pl.col("pool_nodes").sum())
        .sort(pl.col("pool_nodes") * -1, pl.col("pool").cast(pl.String))
        .unique(("NodeList", "home_from"), keep="first", maintain_order=True)
        .drop("pool_nodes")
    )
    return periods, homes


def team_daily(
    site: Site,
    attempts: pl.DataFrame,
    list_nodes: pl.DataFrame,
    capacity: pl.DataFrame,
    timeline: pl.DataFrame,
    waits: pl.DataFrame,
) -> pl.DataFrame:
    """What a team held and ran."""
    key = ("day", "pool", "accelerator_model", "team", "workload_class")
    periods, homes = list_periods(site, list_nodes, capacity)
    started = attempts.lazy().filter(pl.col("started_at").is_not_null())
    pieces = (
        started.filter(pl.col("node_accelerators") > 0)
        .join(periods.lazy(), on="NodeList")
        .with_columns(
            starts_at=pl.max_horizontal("started_at", "valid_from"), ends_at=pl.min_horizontal("until", "valid_to")
        )
    )
    held = (
        cut(pieces, "day", DAY)
        .group_by(key)
        .agg(held_unit_seconds=(pl.col("node_accelerators") * pl.col("pool_nodes") * pl.col("seconds")).sum() * UNITS)
    )
    at_home = (
        started.join(homes.lazy(), on="NodeList", how="left")
        .filter(
            pl.col("home_from").is_null()
            | ((pl.col("home_from") <= pl.col("started_at")) & (pl.col("started_at") < pl.col("home_to")))
        )
        .with_columns(pl.col("pool").fill_null("unassigned"), pl.col("accelerator_model").fill_null("none"))
    )
    # At midnight an attempt ends on the day before, unless it only started then.
    ended_day = pl.max_horizontal(pl.col("started_at") // DAY, (pl.col("ended_at") - 1) // DAY)
    jobs_started = (
        at_home.with_columns(day=pl.col("started_at") // DAY).group_by(key).agg(jobs_started=pl.len().cast(pl.Int64))
    )
    jobs_ended = (
        at_home.filter(pl.col("ended_at").is_not_null())
        .with_columns(day=ended_day)
        .group_by(key)
        .agg(jobs_ended=pl.len().cast(pl.Int64))
    )
    run = (
        cut(at_home.with_columns(starts_at="started_at", ends_at="until"), "day", DAY)
        .group_by(key)
        .agg(
            wall_seconds=pl.col("seconds").sum(),
            cpu_seconds=(pl.col("cpus") * pl.col("seconds")).sum(),
            node_seconds=(pl.col("nodes") * pl.col("seconds")).sum(),
        )
    )
    unallocated = contested_shares(timeline, attempts, list_nodes).lazy().group_by(key).agg(pl.col("excess").sum())
    percentiles = kaplan_meier(
        waits.lazy().filter("has_eligible_wait"), ("team", "workload_class"), "eligible_wait", {"": None}, (0.5, 0.9)
    ).rename({"p50": "queue_p50_seconds", "p90": "queue_p90_seconds"})
    sums = ("held_unit_seconds", "jobs_started", "jobs_ended", "wall_seconds", "cpu_seconds", "node_seconds", "excess")
    return (
        pl.concat([held, jobs_started, jobs_ended, run, unallocated], how="diagonal")
        .group_by(key)
        .agg(pl.col(sums).sum())
        .join(percentiles, on=("day", "team", "workload_class"), how="left")
        .with_columns(allocated_unit_seconds=pl.col("held_unit_seconds") - pl.col("excess"))
        .with_columns(
            *hours_of(("allocated", "held")),
            usage_date=as_date("day"),
            cluster=pl.lit(site.cluster),
            telemetry_coverage=pl.lit(0.0),
            wall_hours=second_hours(pl.col("wall_seconds")),
            cpu_hours=second_hours(pl.col("cpu_seconds")),
            node_hours=second_hours(pl.col("node_seconds")),
        )
        .collect()
    )


def contested_shares(timeline: pl.DataFrame, attempts: pl.DataFrame, list_nodes: pl.DataFrame) -> pl.DataFrame:
    """What attempts held beyond what their node has, by holder; what it has is shared by largest remainder, by hour."""
    starts_at = pl.col("place") % NODE
    contested = (
        cut(
            timeline.lazy()
            .filter(pl.col("held") > pl.col("installed"))
            .select(
                *("pool", "accelerator_model", "day"),
                number=pl.col("place") // NODE,
                installed=pl.col("installed") * UNITS,
                held=pl.col("held") * UNITS,
                starts_at=starts_at,
                ends_at=starts_at + pl.col("seconds"),
            ),
            "hour",
            HOUR,
        )
        .collect()
        .lazy()
    )
    on_these = list_nodes.lazy().join(contested.select(pl.col("number").unique()), on="number", how="semi")
    holders = (
        attempts.lazy()
        .filter(pl.col("started_at").is_not_null() & (pl.col("node_accelerators") > 0))
        .join(on_these, on="NodeList")
        .select(
            "number",
            "team",
            "workload_class",
            "started_at",
            "until",
            units=pl.col("node_accelerators") * UNITS,
            attempt_id=pl.format("{}/{}", "JobIDRaw", "Submit"),
        )
    )
    given = pl.col("installed") * pl.col("seconds")
    left = given % pl.col("held") * pl.col("units")
    piece = ("number", "starts_at")
    return (
        contested.join(holders, on="number")
        .filter((pl.col("started_at") <= pl.col("starts_at")) & (pl.col("starts_at") < pl.col("until")))
        .with_columns(
            whole=given // pl.col("held") * pl.col("units") + left // pl.col("held"), remainder=left % pl.col("held")
        )
        .sort(*piece, pl.col("remainder") * -1, "attempt_id")
        .with_columns(
            rank=pl.int_range(pl.len()).over(piece), extra=given.first().over(piece) - pl.col("whole").sum().over(piece)
        )
        .with_columns(
            excess=pl.col("units") * pl.col("seconds")
            - pl.col("whole")
            - (pl.col("rank") < pl.col("extra")).cast(pl.Int64)
        )
        .collect()
    )


# The queue


def queue_waits(site: Site, attempts: pl.DataFrame) -> pl.DataFrame:
    """How long each attempt waited, from its submission and from when it was eligible. Resized ones never waited."""
    has_started = pl.col("started_at").is_not_null()
    waits_until = pl.coalesce("started_at", "ended_at", pl.lit(site.as_of))
    eligible_at = pl.max_horizontal("Eligible", "Submit")
    requested = pl.col("requested").fill_null(0)
    ran = pl.when(has_started & pl.col("ended_at").is_not_null()).then(pl.col("until") - pl.col("started_at"))
    return (
        attempts.lazy()
        .filter(~pl.col("is_follower"))
        .select(
            "Partition",
            "team",
            "workload_class",
            "Submit",
            requested=requested,
            has_started=has_started,
            is_waiting=~has_started & pl.col("ended_at").is_null(),
            eligible_at=eligible_at,
            waits_until=waits_until,
            day=pl.col("Submit") // DAY,
            submit_wait=(waits_until - pl.col("Submit")).clip(0),
            eligible_wait=(waits_until - eligible_at).clip(0),
            has_eligible_wait=has_started | (pl.col("Eligible") <= waits_until),
            requested_seconds=requested * pl.col("limit_seconds"),
            submitted_seconds=requested * pl.min_horizontal(ran, "limit_seconds"),
        )
        .with_columns(is_in_range=pl.col("day") >= site.first_at // DAY)
        .collect()
    )


def kaplan_meier(
    waits: pl.LazyFrame, group: tuple[str, ...], wait: str, weights: dict[str, str | None], shares: tuple[float, ...]
) -> pl.LazyFrame:
    """Percentiles of waits of which some are not over: p is the first after which no more than 1 - p go on waiting.

    Whoever waited as long as somebody who started was at risk with them: those who started sort first. One number has
    all that is sorted by.

    Args:
        weights: what each wait weighs, by the prefix of its percentiles' names; None: as much as any.
    """
    groups = waits.select("day", *group).unique().with_row_index("group").with_columns(pl.col("group").cast(pl.Int64))
    weighed = [weight for weight in weights.values() if weight is not None]
    ordered = (
        waits.join(groups, on=("day", *group))
        .select(
            *weighed,
            order=pl.col("group") * (2 * NODE) + pl.col(wait) * 2 + (~pl.col("has_started")).cast(pl.Int64),
        )
        .sort("order")
        .select(
            *weighed,
            group=(pl.col("order") // (2 * NODE)).set_sorted(),
            wait=pl.col("order") % (2 * NODE) // 2,
            has_started=pl.col("order") % 2 == 0,
        )
    )
    curves = {}
    for prefix, weight in weights.items():
        amount = pl.lit(1) if weight is None else pl.col(weight)
        at_risk = pl.len() - pl.int_range(pl.len()) if weight is None else amount.sum() - amount.cum_sum() + amount
        is_step = pl.col("has_started") & (amount > 0)
        # The product of the shares that go on waiting as a sum of logarithms, of which the last may be infinite.
        go_on = pl.when(is_step).then((1 - amount / at_risk).log()).otherwise(0.0).cum_sum() - 1e-10
        curves[f"{prefix}curve"] = go_on.over("group")
    return (
        ordered.with_columns(**curves)
        .group_by("group")
        .agg(
            *(
                pl.col("wait")
                .get((pl.col(f"{prefix}curve") > math.log(1 - p)).sum(), null_on_oob=True)
                .cast(pl.Float64)
                .alias(f"{prefix}p{p * 100:.0f}")
                for prefix in weights
                for p in shares
            ),
            longest=pl.col("wait").max(),
        )
        .join(groups, on="group")
        .drop("group")
    )


def queue_daily(site: Site, waits: pl.DataFrame) -> pl.DataFrame:
    """What was submitted, how long it waited, and what was pending."""
    key = ("day", "Partition")
    last_day = -(-site.as_of // DAY) - 1
    in_range = waits.lazy().filter("is_in_range")
    submitted = (
        waits.lazy()
        .group_by(key)
        .agg(jobs_submitted=pl.len().cast(pl.Int64), submitted_unit_seconds=pl.col("submitted_seconds").sum() * UNITS)
    )
    ended = (
        waits.lazy()
        .filter(~pl.col("is_waiting"))
        .group_by("Partition", day=pl.col("waits_until") // DAY)
        .agg(
            jobs_started=pl.col("has_started").sum().cast(pl.Int64),
            jobs_cancelled_before_start=(~pl.col("has_started")).sum().cast(pl.Int64),
        )
    )
    pending = (
        cut(
            waits.lazy().with_columns(
                starts_at=pl.col("eligible_at").clip(site.first_at), ends_at=pl.col("waits_until")
            ),
            "day",
            DAY,
        )
        .group_by(key)
        .agg(pending_unit_seconds=(pl.col("requested") * pl.col("seconds")).sum() * UNITS)
    )
    partitions = waits.lazy().select("Partition").unique()
    days = pl.LazyFrame({"day": range(waits["day"].min(), last_day + 1)})
    counted = (
        partitions.join(days, how="cross")
        .join(submitted, on=key, how="left")
        .join(ended, on=key, how="left")
        .join(pending, on=key, how="left")
        .with_columns(pl.exclude(key).fill_null(0))
        .sort("Partition", "day")
        .with_columns(
            jobs_waiting=(pl.col("jobs_submitted") - pl.col("jobs_started") - pl.col("jobs_cancelled_before_start"))
            .cum_sum()
            .over("Partition")
        )
        .filter(pl.col("day") >= site.first_at // DAY)
        .filter(
            pl.any_horizontal(
                pl.col("jobs_submitted", "jobs_started", "jobs_cancelled_before_start", "jobs_waiting") > 0
            )
        )
    )
    for kind, those in (("eligible", in_range.filter("has_eligible_wait")), ("submit", in_range)):
        weights = {"": None, "weighted_": "requested_seconds"}
        found = kaplan_meier(those, ("Partition",), f"{kind}_wait", weights, (0.5, 0.9, 0.95))
        names = {f"{prefix}p{p}": f"{prefix}wait_{kind}_p{p}_seconds" for prefix in weights for p in (50, 90, 95)}
        counted = counted.join(found.rename({**names, "longest": f"wait_{kind}_longest_seconds"}), on=key, how="left")
    return counted.with_columns(
        usage_date=as_date("day"),
        cluster=pl.lit(site.cluster),
        partition_name=pl.col("Partition"),
        submitted_accelerator_hours=unit_hours(pl.col("submitted_unit_seconds")),
        pending_accelerator_hours=unit_hours(pl.col("pending_unit_seconds")),
        queue_coverage=pl.lit(0.0),
    ).collect()


def demand_daily(site: Site, fleet: pl.DataFrame, queue: pl.DataFrame, idle: pl.DataFrame) -> pl.DataFrame:
    """What was held and what waited; what of it waited for capacity nobody knows without snapshots of the queue."""
    sums = pl.col("allocated_unit_seconds").sum()
    pending = queue.lazy().group_by("day").agg(pl.col("pending_unit_seconds").sum())
    fragments = idle.lazy().group_by("day").agg(pl.col("unit_seconds", "fragmented").sum())
    begins_at = pl.col("day") * DAY
    return (
        pl.LazyFrame({"day": range(site.first_at // DAY, -(-site.as_of // DAY))})
        .join(fleet.lazy().group_by("day").agg(sums), on="day", how="left")
        .join(pending, on="day", how="left")
        .with_columns(pl.exclude("day").fill_null(0))
        .join(fragments, on="day", how="left")
        .with_columns(
            *hours_of(("allocated",)),
            usage_date=as_date("day"),
            cluster=pl.lit(site.cluster),
            pending_accelerator_hours=unit_hours(pl.col("pending_unit_seconds")),
            fragmentation_rate=ratio("fragmented", "unit_seconds"),
            queue_coverage=pl.lit(0.0),
            accounted_seconds=(begins_at + DAY).clip(upper_bound=site.as_of) - begins_at,
            snapshot_seconds=pl.lit(0, pl.Int64),
        )
        .collect()
    )


# Cost


def share(amount: pl.Expr, part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """amount × part / whole, rounded down; dividing first keeps every product within 64 bits."""
    return amount // whole * part + amount % whole * part // whole


def accrued(amount: pl.Expr, elapsed: pl.Expr, total: pl.Expr) -> pl.Expr:
    """The part of an amount that has accrued after some of its seconds, rounded half up: slices of it always sum."""
    return amount // total * elapsed + (amount % total * elapsed * 2 + total) // (total * 2)


def money(picos: pl.Expr) -> pl.Expr:
    """Trillionths of a currency as an amount."""
    return (picos // PICOS).cast(pl.Decimal(38, 12)) + (picos % PICOS).cast(pl.Decimal(38, 12)) / PICOS


def picos_of(amount: str) -> pl.Expr:
    """A written amount, of no more than nine decimals, in trillionths of its currency."""
    return (pl.col(amount).cast(pl.Decimal(38, 9)) * 1_000_000_000).cast(pl.Int128) * 1000


RENTED = ("compute", "storage", "unused_commitment", "tax", "credit", "replacement")
"""What only bills have; a generated site has none unless it is asked for."""


def cost_daily(site: Site, fleet: pl.DataFrame, background: pl.DataFrame) -> pl.DataFrame:
    """What one accelerator-hour cost. A pool has one model; where none of it is installed, its bills have none."""
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    lots = read_table(site.landing / "purchase_lots.csv", ",", {}).select(
        "pool",
        "currency",
        accelerator_model=pl.col("accelerator_model").str.to_lowercase().replace_strict(site.models),
        cost_component=pl.lit("depreciation"),
        amount=picos_of("price") - picos_of("residual"),
        starts_at=pl.col("in_service_at").str.to_datetime(stamp).dt.epoch("s"),
        ends_at=pl.col("in_service_at").str.to_datetime(stamp).dt.offset_by(pl.col("life_months") + "mo").dt.epoch("s"),
        lot_accelerators=pl.col("accelerators").cast(pl.Int64),
    )
    bills = read_table(
        site.landing / "flat_costs.csv", ",", dict.fromkeys(("period_start", "period_end"), stamp)
    ).select(
        "pool",
        "currency",
        "cost_component",
        amount=picos_of("amount"),
        starts_at="period_start",
        ends_at="period_end",
    )
    key = ("day", "pool", "accelerator_model")
    fleet = fleet.with_columns(pl.col("pool", "accelerator_model").cast(pl.String)).filter(
        pl.col("installed_unit_seconds") > 0
    )
    days = pl.LazyFrame({"day": range(site.first_at // DAY, -(-site.as_of // DAY))}).with_columns(
        begins_at=pl.col("day") * DAY, finishes_at=((pl.col("day") + 1) * DAY).clip(upper_bound=site.as_of)
    )
    overlaps = (pl.col("starts_at") < pl.col("finishes_at")) & (pl.col("ends_at") > pl.col("begins_at"))
    length = pl.col("ends_at") - pl.col("starts_at")
    begins = pl.max_horizontal("starts_at", "begins_at")
    finishes = pl.min_horizontal("ends_at", "finishes_at")
    components = ("depreciation", "power", "colo", "support")
    component = pl.col("cost_component")
    costs = (
        pl.concat([lots, bills], how="diagonal")
        .lazy()
        .join(days, how="cross")
        .filter(overlaps)
        .with_columns(
            picos=accrued(pl.col("amount"), finishes - pl.col("starts_at"), length)
            - accrued(pl.col("amount"), begins - pl.col("starts_at"), length)
        )
        .join(fleet.lazy().select("day", "pool", model_there="accelerator_model"), on=("day", "pool"), how="left")
        .with_columns(pl.coalesce("accelerator_model", "model_there", pl.lit("unassigned")).alias("accelerator_model"))
        .group_by(*key, "currency")
        .agg(
            known=pl.col("picos").sum(),
            **{f"{name}_cost": pl.col("picos").filter(component == name).sum() for name in components},
            other_cost=pl.col("picos").filter(~component.is_in(components)).sum(),
        )
    )
    priced = (
        lots.lazy()
        .join(days, how="cross")
        .filter(pl.col("starts_at") < pl.col("finishes_at"))
        .group_by(key)
        .agg(priced=(pl.col("lot_accelerators") * (pl.col("finishes_at") - begins)).sum() * UNITS)
    )
    in_service = (
        background.lazy()
        .filter(pl.col("installed") > 0)
        .select(
            "day",
            pl.col("pool").cast(pl.String),
            first_at=pl.col("place") % NODE,
            last_at=pl.col("place").shift(-1) % NODE,
        )
        .group_by("day", "pool")
        .agg(pl.col("first_at").min(), pl.col("last_at").max())
    )
    needed = in_service.join(bills.lazy().select("pool", "cost_component", "currency").unique(), on="pool")
    billed = (
        needed.join(bills.lazy(), on=("pool", "cost_component", "currency"))
        .with_columns(
            billed=(pl.min_horizontal("ends_at", "last_at") - pl.max_horizontal("starts_at", "first_at")).clip(0)
        )
        .group_by("day", "pool", "cost_component", "currency")
        .agg(pl.col("billed").sum(), needed=(pl.col("last_at") - pl.col("first_at")).first())
    )
    missing = (
        billed.filter(pl.col("billed") < pl.col("needed"))
        .group_by("day", "pool")
        .agg(missing_components=component.unique().sort().str.join(", "))
    )
    hours = ("installed", "available", "allocated")
    unit_seconds = [f"{name}_unit_seconds" for name in hours]
    return (
        fleet.lazy()
        .select(*key, *unit_seconds)
        .join(costs, on=key, how="full", coalesce=True)
        .join(priced, on=key, how="left")
        .join(missing, on=("day", "pool"), how="left")
        .with_columns(pl.col(*unit_seconds, "priced").fill_null(0), pl.col("currency").fill_null("XXX"))
        .with_columns(unpriced_unit_seconds=(pl.col("installed_unit_seconds") - pl.col("priced")).clip(0))
        .with_columns(
            picos=pl.when(pl.col("missing_components").is_null() & (pl.col("unpriced_unit_seconds") == 0)).then("known")
        )
        .with_columns(
            *hours_of((*hours, "unpriced")),
            *(money(pl.col(f"{name}_cost")).alias(f"{name}_cost") for name in (*components, "other")),
            *(cost_per_hour(name) for name in hours),
            usage_date=as_date("day"),
            cluster=pl.lit(site.cluster),
            cost=money(pl.col("picos")),
            known_cost=money(pl.col("known")),
            straight_line_cost=money(pl.col("depreciation_cost")),
            **{f"{name}_cost": pl.lit(0, pl.Decimal(38, 12)) for name in RENTED},
            rented_hours=pl.lit(0, pl.Decimal(38, 6)),
        )
        .with_columns(used_only_cost="cost", used_only_cost_per_installed_hour="cost_per_installed_hour")
        .with_columns(replacement_cost_per_installed_hour="cost_per_installed_hour")
        .collect()
    )


def amount_of(picos: pl.Expr) -> pl.Expr:
    """Trillionths as a floating-point amount: whole and fraction apart, so that no digit of either is lost."""
    return (picos // PICOS).cast(pl.Float64) + (picos % PICOS).cast(pl.Float64) / PICOS


def cost_per_hour(hours: str) -> pl.Expr:
    """What one accelerator-hour cost; null without any."""
    unit_seconds = pl.col(f"{hours}_unit_seconds")
    return (
        pl.when(unit_seconds > 0)
        .then(amount_of(pl.col("picos")) * (HOUR * UNITS) / unit_seconds)
        .alias(f"cost_per_{hours}_hour")
    )


def cost_monthly(daily: pl.DataFrame) -> pl.DataFrame:
    """A month is the sum of its days; it has a cost only where each of them has one."""
    hours = ("installed", "available", "allocated")
    picos = pl.col("picos")
    return (
        daily.lazy()
        .group_by(
            "cluster", "pool", "accelerator_model", "currency", usage_month=pl.col("usage_date").dt.truncate("1mo")
        )
        .agg(
            pl.col(*(f"{name}_unit_seconds" for name in hours), "unpriced_hours", "rented_hours").sum(),
            pl.col("^.+_cost$").sum(),
            picos=pl.when(picos.is_not_null().all()).then(picos.sum()),
            days_counted=pl.len().cast(pl.Int64),
            days_priced=picos.count().cast(pl.Int64),
        )
        .with_columns(*hours_of(hours), *(cost_per_hour(name) for name in hours), cost=money(picos))
        .with_columns(used_only_cost="cost", used_only_cost_per_installed_hour="cost_per_installed_hour")
        .with_columns(replacement_cost_per_installed_hour="cost_per_installed_hour")
        .collect()
    )


# Trust


def data_trust_daily(
    site: Site,
    records: pl.DataFrame,
    events: pl.DataFrame,
    reservations: pl.DataFrame,
    nodes: pl.DataFrame,
    costs: pl.DataFrame,
) -> pl.DataFrame:
    """How many records were received, and what became of each."""
    key = ("source", "cluster", "day")
    rejected = pl.col("is_rejected")
    collected_at = pl.col("file").str.extract(r"collected-(\w+)Z").str.to_datetime("%Y%m%dT%H%M%S").dt.epoch("s")
    jobs = (
        pl.concat(
            [
                records.lazy().filter(pl.col("record_at").is_not_null()).with_columns(dated_at="record_at"),
                records.lazy().filter(pl.col("record_at").is_null()).with_columns(dated_at=collected_at),
            ]
        )
        .group_by(
            source=pl.lit("slurm_jobs"),
            cluster=pl.when("is_declared").then(pl.lit(site.cluster)).otherwise(pl.lit("")),
            day=pl.col("dated_at") // DAY,
        )
        .agg(
            rows_received=pl.len(),
            rows_accepted=pl.col("is_in_use").sum(),
            rows_rejected=rejected.sum(),
            rows_unvaluable=(rejected & pl.col("worth_seconds").is_null()).sum(),
            rejected_seconds=pl.col("worth_seconds").filter(rejected).sum(),
            newest=pl.col("record_at").max(),
        )
    )
    deliveries = [
        delivered.lazy().select(
            source=pl.lit(f"slurm_{name}"),
            cluster=pl.lit(site.cluster),
            day=pl.col("TimeStart") // DAY,
            newest="TimeStart",
            fact=pl.struct(fact),
        )
        for name, delivered, fact in (
            ("node_events", events, ("NodeName", "TimeStart", "State")),
            ("reservations", reservations, ("ID", "TimeStart")),
        )
    ]
    sheets = {
        "slurm_nodes": len(nodes),
        **{
            source: len(read_table(site.landing / f"{file}.csv", ",", {}))
            for source, file in {
                "inventory": "inventory",
                "org_mapping": "teams",
                "entitlements": "entitlements",
                "purchase_lots": "purchase_lots",
                "flat_costs": "flat_costs",
            }.items()
        },
    }
    undated = pl.LazyFrame({"source": list(sheets), "rows_received": list(sheets.values())}).with_columns(
        cluster=pl.lit(site.cluster), day=pl.lit(site.as_of // DAY, pl.Int64), rows_accepted=pl.col("rows_received")
    )
    counted = pl.concat(
        [
            jobs,
            *(
                delivered.group_by(key).agg(
                    rows_received=pl.len(), rows_accepted=pl.col("fact").n_unique(), newest=pl.col("newest").max()
                )
                for delivered in deliveries
            ),
            undated,
        ],
        how="diagonal_relaxed",
    )
    picos, installed = pl.col("picos"), pl.col("installed_unit_seconds")
    rates = (
        costs.lazy()
        .group_by("cluster", "day")
        .agg(
            rate=pl.when((pl.col("currency").n_unique() == 1) & picos.is_not_null().all()).then(
                amount_of(picos.sum()) * (HOUR * UNITS) / installed.sum()
            )
        )
    )
    counts = ("rows_received", "rows_accepted", "rows_rejected", "rows_unvaluable", "rejected_seconds")
    hours = second_hours(pl.col("rejected_seconds"))
    return (
        counted.with_columns(pl.col(counts).fill_null(0).cast(pl.Int64))
        .join(rates, on=("cluster", "day"), how="left")
        .with_columns(
            usage_date=as_date("day"),
            rows_superseded=pl.col("rows_received") - pl.col("rows_accepted") - pl.col("rows_rejected"),
            rejected_hours=hours,
            rejected_cost=pl.when(pl.col("rejected_seconds") == 0)
            .then(pl.lit(0, pl.Decimal(38, 12)))
            .otherwise(
                (pl.col("rate") * hours.cast(pl.Float64) * 1e12)
                .round(mode="half_away_from_zero")
                .cast(pl.Int64)
                .cast(pl.Decimal(38, 12))
                / 10**12
            ),
            newest_at=pl.from_epoch("newest").cast(pl.Datetime("us")),
            coverage=(pl.col("rows_received") - pl.col("rows_rejected")) / pl.col("rows_received"),
        )
        .collect()
    )


def write(rows: pl.DataFrame, contract: Contract, file: Path) -> None:
    """Writes a table in the order of its key, with all its columns; what nobody computed is null."""
    rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(TYPES[kind]).alias(name)
        for name, kind in contract.columns.items()
    ).sort(contract.key).write_parquet(file)


if __name__ == "__main__":
    main()
