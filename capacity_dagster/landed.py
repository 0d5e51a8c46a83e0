"""Raw tables: what is delivered of each kind, read once a content, behind a view over the active deliveries.

What belongs here: which deliveries a raw table stands for, and its checks. What does not: reading a file (`sources`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from capacity_dagster.errors import SourceError
from capacity_dagster.outcome import Outcome
from capacity_dagster.privacy import told
from capacity_dagster.sources.landing import Delivery, scan
from capacity_dagster.sources.reader import Load, Reader
from capacity_dagster.tables import expectations
from capacity_dagster.tables.catalogue import (
    LANDING,
    LANDING_TABLES,
    LOAD_COLUMNS,
    RECORDS_SCOPE,
    SCOPES,
    Catalogue,
    Table,
)
from capacity_dagster.tables.checks import DELIVERIES_CHECK, DELIVERIES_PROMISE, CheckOutcome, sample_rows
from capacity_dagster.tables.judge import CpuTime
from capacity_dagster.tables.quoting import file_literal, identifier, literal, parquet
from capacity_dagster.warehouse import Change, Warehouse, naive
from capacity_dagster.wording import counted, shown

JOB_BLOCK = "coalesce(try_cast(job_id as bigint) // 1000, -1)"
"""SQL for the thousand that a job id belongs to; ids that are no numbers share one."""

SMALLEST_DAY = 20
"""Attempts of a day of which most may not be erased; of fewer, one deletion by hand is most."""
SMALLEST_BILL = 20
"""Charges of a bill, likewise."""


def stale_deliveries(warehouse: Warehouse, catalogue: Catalogue, deliveries: list[Delivery]) -> list[str]:
    """Names of the raw tables that were read from other deliveries than these, which the landing has now."""
    stale = []
    for table in catalogue.of_layer("raw"):
        reader = Reader(warehouse.site, table)
        now = {
            (reader.load_id(delivery), delivery.path, naive(delivery.collected_at))
            for delivery in deliveries
            if delivery.kind == table.name
        }
        has_no_problem = warehouse.code_hash(table.full_name) == _read_with(table, [])
        is_known = now == _recorded_loads(warehouse, table) and has_no_problem
        is_known = is_known and all(reader.has_read(load_id) for load_id, *_ in now)
        if not is_known or _points_elsewhere(warehouse, table):
            stale.append(table.full_name)
    return stale


def bring_landed_up_to_date(
    warehouse: Warehouse, table: Table, tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Reads what is delivered of one kind, each content once, and points the table's view at it."""
    spent = CpuTime()
    connection = warehouse.connection
    reader = Reader(warehouse.site, table)
    loads: list[Load] = []
    problems: list[str] = []
    deliveries: list[Delivery] = []
    try:
        deliveries = scan(warehouse.site, table.name)
    except SourceError as error:
        problems.append(told(warehouse.site, error))
    for number, delivery in enumerate(deliveries, start=1):
        tell(f"{table.full_name}: {delivery.path} ({number} of {len(deliveries)})")
        try:
            loads.append(reader.read(connection, delivery))
        except SourceError as error:
            problems.append(told(warehouse.site, error))
    if erased := _erased(warehouse, table, loads):
        return _refused(warehouse, table, loads, problems or erased)
    before = _recorded_loads(warehouse, table)
    after = {(load.load_id, load.delivery.path, naive(load.delivery.collected_at)) for load in loads}
    code_hash = _read_with(table, problems)
    is_stale = before != after or warehouse.code_hash(table.full_name) != code_hash
    if not is_stale:
        if _points_elsewhere(warehouse, table):
            connection.execute(_raw_view(table, loads))
        return Outcome(
            table,
            warehouse.row_count(table.relation),
            checks=warehouse.stored_checks(table.full_name),
            deliveries=loads,
            problems=problems,
        )
    with warehouse.transaction():
        _record_loads(warehouse, table, loads)
        connection.execute(_raw_view(table, loads))
        connection.execute(
            f"create or replace view pipeline.raw.{table.name}__rejected as select * exclude (source_kind) "
            f"from pipeline.landing.rejected where source_kind = {literal(table.name)}"
        )
        row_count = warehouse.row_count(table.relation)
        reasons = _told_files({(key[1], key[0]) for key in before}, {(key[1], key[0]) for key in after})
        reasons += [f"{len(problems)} of {table.name} cannot be used"] if problems else []
        reasons = reasons or ["its definition changed" if loads else "nothing is delivered"]
        checks, cpu_seconds = _check_loads(warehouse, table, problems), spent.seconds
        warehouse.record(table.full_name, code_hash, {}, row_count, [Change()], True, cpu_seconds)
        changed = {load_id for load_id, *_ in before ^ after}
        warehouse.record_keys(table.full_name, sorted(changed))
        for name in LANDING_TABLES:
            warehouse.record(name, "", {}, 0, [Change()], True, 0.0)
        warehouse.store_checks(table.full_name, checks)
    return Outcome(
        table,
        row_count,
        reasons=reasons,
        changes=[Change()],
        checks=checks,
        deliveries=loads,
        problems=problems,
        cpu_seconds=cpu_seconds,
    )


def _erased(warehouse: Warehouse, table: Table, loads: list[Load]) -> list[str]:
    """Of what the deliveries would take away more than half of what is known."""
    erased = {"slurm_jobs": _erased_attempts, "focus_charges": _erased_charges}.get(table.name)
    if erased is None or warehouse.allows_erasing or warehouse.version(table.full_name) is None:
        return []
    return [] if _points_elsewhere(warehouse, table) else erased(warehouse, table, loads)


def _erased_charges(warehouse: Warehouse, table: Table, loads: list[Load]) -> list[str]:
    """Bills of which less than half of the charges would count: their files are gone, or newer ones hold few."""
    now = {(load.load_id, naive(load.delivery.collected_at)) for load in loads}
    if now == {(load_id, collected_at) for load_id, _, collected_at in _recorded_loads(warehouse, table)}:
        return []
    later = f"(select * from {table.relation} where false)"
    if loads:
        later = (
            "(select records.*, loads.collected_at from "
            f"{parquet(sorted({load.records for load in loads}))} as records inner join ("
            "select load_id, max(collected_at) as collected_at "
            "from (select unnest(?::varchar[]) as load_id, unnest(?::timestamp[]) as collected_at) group by load_id"
            ") as loads on records.load_id = loads.load_id where records.reject_reason is null)"
        )
    rows = warehouse.rows(
        f"""
        with known as ({_counting_charges(table.relation)}),
        kept as ({_counting_charges(later)})
        select
            known.provider_name,
            known.billing_account_id,
            known.billing_period_start_at,
            known.charges,
            coalesce(kept.charges, 0) as kept_charges
        from known
        left join kept using (provider_name, billing_account_id, billing_period_start_at)
        where known.charges >= {SMALLEST_BILL} and kept_charges * 2 < known.charges
        order by all
        """,
        [[load_id for load_id, _ in now], [collected_at for _, collected_at in now]] if loads else [],
    )
    return [
        f"{shown(f'{provider} {account}'.strip())}: of {counted(known, 'charge')} of the billing period from "
        f"{begins:%Y-%m-%d} the deliveries would keep {kept}; expected at least half of them, as the newest delivery "
        "of a bill has all of it. Have it delivered whole, put the earlier file back into the landing, or accept it "
        "with `capacity build --allow-erasing`"
        for provider, account, begins, known, kept in rows
    ]


def _counting_charges(charges: str) -> str:
    """SQL for how many charges of each bill count: those of its newest collection, as `core.bills` has it."""
    return f"""
        select
            provider_name,
            billing_account_id,
            billing_period_start_at,
            arg_max(charges, collected_at) as charges
        from (
            select
                coalesce(provider_name, '') as provider_name,
                coalesce(billing_account_id, '') as billing_account_id,
                billing_period_start_at,
                coalesce(collected_at, timestamp '1900-01-01') as collected_at,
                count(*) as charges
            from {charges}
            group by all
        )
        group by all
    """


def _erased_attempts(warehouse: Warehouse, table: Table, loads: list[Load]) -> list[str]:
    """Months and days of which the deliveries would take away more than half of the attempts that are known."""
    gone = {load_id for load_id, *_ in _recorded_loads(warehouse, table)} - {load.load_id for load in loads}
    if not gone:
        return []
    files = sorted({load.records for load in loads})
    accepted = f"from {parquet(files)} where reject_reason is null and not is_step"
    later = f"select cluster, job_id, submitted_at {accepted}" if files else None
    rows = warehouse.rows(
        f"""
        with known as (
            select distinct cluster, job_id, submitted_at from {table.relation} where not is_step
        ),
        kept as ({later or "select * from known where false"}),
        days as (
            select
                known.cluster,
                cast(known.submitted_at as date) as submitted_on,
                count(*) as known_attempts,
                count(kept.job_id) as kept_attempts,
                known_attempts >= {SMALLEST_DAY} and kept_attempts * 2 < known_attempts as is_erased
            from known
            left join (select distinct * from kept) as kept using (cluster, job_id, submitted_at)
            group by all
        ),
        months as (
            select
                cluster,
                strftime(submitted_on, '%Y-%m') as submitted_in,
                sum(known_attempts)::bigint as known_attempts,
                sum(kept_attempts)::bigint as kept_attempts,
                min(submitted_on) filter (is_erased) as first_day,
                max(submitted_on) filter (is_erased) as last_day,
                count(*) filter (is_erased) as erased_days,
                sum(known_attempts) filter (is_erased)::bigint as known_of_days,
                sum(kept_attempts) filter (is_erased)::bigint as kept_of_days
            from days
            group by all
        )
        select cluster, coalesce('in ' || submitted_in, 'at no known time'), known_attempts, kept_attempts
        from months
        where kept_attempts * 2 < known_attempts
        union all
        select
            cluster,
            case
                when erased_days = 1 then 'on ' || first_day
                else 'on ' || erased_days || ' days from ' || first_day || ' to ' || last_day
            end,
            known_of_days,
            kept_of_days
        from months
        where kept_attempts * 2 >= known_attempts and erased_days > 0
        order by all
        """
    )
    return [
        f"{cluster}: of {counted(known, 'attempt')} submitted {when} the deliveries would keep {kept}; expected at "
        "least half of them, as accounting databases purge what is old. Put the earlier files back into the landing, "
        "or accept it with `capacity build --allow-erasing`"
        for cluster, when, known, kept in rows
    ]


def _refused(warehouse: Warehouse, table: Table, loads: list[Load], problems: list[str]) -> Outcome:
    """What was read before stays; the check that blocks publishing says why."""
    row_count = warehouse.row_count(table.relation)
    with warehouse.transaction():
        warehouse.record(table.full_name, _read_with(table, problems), {}, row_count, [], False, 0.0)
        kept = [each for each in warehouse.stored_checks(table.full_name) if each.name != DELIVERIES_CHECK]
        checks = [_deliveries_check(problems), *kept]
        warehouse.store_checks(table.full_name, checks)
    return Outcome(table, row_count, reasons=problems, checks=checks, deliveries=loads, problems=problems)


def _deliveries_check(problems: list[str]) -> CheckOutcome:
    return CheckOutcome(
        DELIVERIES_CHECK,
        is_blocking=True,
        has_passed=not problems,
        failed_rows=len(problems),
        description=DELIVERIES_PROMISE,
        sample=[{"problem": problem} for problem in problems],
    )


def _read_with(table: Table, problems: list[str]) -> str:
    """What a raw table's state was made with: its SQL, and what could not be used."""
    return f"{table.code_hash} {'; '.join(sorted(problems))}"


def _points_elsewhere(warehouse: Warehouse, table: Table) -> bool:
    """Whether the table's view reads files of another folder: the site was moved or copied."""
    sql = warehouse.value("select sql from duckdb_views() where schema_name = 'raw' and view_name = ?", [table.name])
    folder = file_literal(warehouse.site.work)[1:-1]
    return "read_parquet" in str(sql) and folder not in str(sql)


def _recorded_loads(warehouse: Warehouse, table: Table) -> set[tuple[Any, ...]]:
    """(load, file, collection time) of each delivery that the table was read from."""
    return set(
        warehouse.rows(
            "select load_id, source_file, collected_at from landing.deliveries where source_kind = ?", [table.name]
        )
    )


def _record_loads(warehouse: Warehouse, table: Table, loads: list[Load]) -> None:
    connection = warehouse.connection
    connection.execute("delete from pipeline.landing.deliveries where source_kind = ?", [table.name])
    for load in loads:
        delivery = load.delivery
        connection.execute(
            "insert into pipeline.landing.deliveries values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                load.load_id,
                table.name,
                delivery.path,
                delivery.source.cluster,
                delivery.content_sha256,
                delivery.size_bytes,
                naive(delivery.collected_at),
                load.accepted_rows,
                load.rejected_rows,
            ],
        )
    _record_rejected(warehouse, table, loads)
    if f"raw.{table.name}" == SCOPES[RECORDS_SCOPE]:
        _record_job_blocks(warehouse, loads)


def _record_rejected(warehouse: Warehouse, table: Table, loads: list[Load]) -> None:
    """Keeps the rejected records of the loads, each once, under the first file that has it."""
    rejecting = [load for load in loads if load.rejected_rows]
    first = {load.load_id: load for load in sorted(rejecting, key=lambda load: load.delivery.path, reverse=True)}
    known = dict(
        warehouse.rows("select distinct load_id, source_file from landing.rejected where source_kind = ?", [table.name])
    )
    missing = [load for load in first.values() if known.get(load.load_id) != load.delivery.path]
    kept = sorted(first.keys() - {load.load_id for load in missing})
    warehouse.connection.execute(
        "delete from pipeline.landing.rejected where source_kind = ? and not list_contains(?, load_id)",
        [table.name, kept],
    )
    for load in missing:
        warehouse.connection.execute(
            "insert into pipeline.landing.rejected "
            "select ?, ?, ?, case when list_contains(?, cluster) then cluster end, source_line, record_text, "
            f"reject_reason, record_at, accelerator_seconds, {_quarantined(table)} from {parquet([load.records])} "
            "where reject_reason is not null",
            [table.name, load.load_id, load.delivery.path, sorted(warehouse.site.content.clusters)],
        )


def _quarantined(table: Table) -> str:
    """SQL for the fact that a rejected record is about, and for what it is worth in money; null where nothing says."""
    parts = []
    for name in table.contract.identity:
        is_instant = table.columns[name].type == "TIMESTAMP"
        parts.append(f"epoch_us({identifier(name)}) // 1000000" if is_instant else identifier(name))
    texts = [f"nullif(cast({part} as varchar), '')" for part in parts]
    key = " || '/' || ".join(texts) or "null"  # null where a part of it is
    cost, currency = map(identifier, table.contract.worth) if table.contract.worth else ("null", "null")
    is_money = f"regexp_full_match({currency}, '[A-Z]{{3}}')" if table.contract.worth else "false"
    return (
        f"{key}, case when {is_money} then {cost} end, case when {is_money} and {cost} is not null then {currency} end"
    )


def _record_job_blocks(warehouse: Warehouse, loads: list[Load]) -> None:
    """Keeps which blocks of job ids each load has records of, so that those of some jobs are soon found."""
    files = {load.load_id: load.records for load in loads}
    known = {load_id for (load_id,) in warehouse.rows("select distinct load_id from pipeline.state.load_jobs")}
    warehouse.connection.execute(
        "delete from pipeline.state.load_jobs where not list_contains(?, load_id)", [sorted(files)]
    )
    if missing := [files[load_id] for load_id in sorted(files.keys() - known)]:
        warehouse.connection.execute(
            f"insert into pipeline.state.load_jobs select distinct load_id, {JOB_BLOCK} "
            f"from {parquet(missing)} where reject_reason is null"
        )


def _check_loads(warehouse: Warehouse, table: Table, problems: list[str]) -> list[CheckOutcome]:
    rejected = warehouse.rows(
        "select reject_reason, count(*), min(source_file), min(source_line) from landing.rejected "
        "where source_kind = ? group by all order by 2 desc, 1",
        [table.name],
    )
    return [
        _deliveries_check(problems),
        CheckOutcome(
            "nothing_is_rejected",
            is_blocking=False,
            has_passed=not rejected,
            failed_rows=sum(row[1] for row in rejected),
            description="Every record could be understood; those that could not are in the table's __rejected.",
            rules=[
                {"rule": row[0], "column": "", "expected": "no record", "failed_rows": row[1], "file": row[2]}
                for row in rejected
            ],
            sample=sample_rows(
                warehouse.connection,
                "select source_file, source_line, reject_reason, left(record_text, 300) as record_text "
                f"from landing.rejected where source_kind = {literal(table.name)} "
                "order by reject_reason, source_file, source_line",
            ),
        ),
        *_check_expectations(warehouse, table),
    ]


def _check_expectations(warehouse: Warehouse, table: Table) -> list[CheckOutcome]:
    """The outcomes of the contract's suites; the first says what judging them took."""
    spent = CpuTime()
    counted_rows = _rule_counts(warehouse, table)
    outcomes = expectations.check_expectations(warehouse.connection, table, counted_rows)
    return [replace(each, cpu_seconds=0.0 if index else spent.seconds) for index, each in enumerate(outcomes)]


def _rule_counts(warehouse: Warehouse, table: Table) -> list[int]:
    """How many records there are, and how many break each rule: what a load adds to that never changes.

    The key of every raw table has the load in it, so that no record repeats the key of another load's.
    """
    known = "from pipeline.state.load_checks where table_name = ?"
    active = "select load_id from landing.deliveries where source_kind = ?"
    name = table.name
    warehouse.connection.execute(f"delete {known} and load_id not in ({active})", [name, name])
    missing = warehouse.rows(
        f"select distinct load_id from ({active}) where load_id not in (select load_id {known})", [name, name]
    )
    condition = f"load_id in ({', '.join(literal(load_id) for (load_id,) in missing) or 'null'})"
    counts = expectations.rule_counts(table, condition)
    if missing:
        warehouse.connection.execute(
            f"insert into pipeline.state.load_checks select ?, load_id, [count(*), {', '.join(counts)}] "
            f"from {table.relation} where {condition} group by load_id",
            [name],
        )
    sums = ", ".join(f"coalesce(sum(counts[{number}]), 0)::bigint" for number in range(1, len(counts) + 2))
    return list(warehouse.rows(f"select {sums} {known}", [name])[0])


def _raw_view(table: Table, loads: list[Load]) -> str:
    names = [name for name in table.columns if name not in LOAD_COLUMNS]
    if not loads:
        columns = ", ".join(f"null::{column.type} as {identifier(name)}" for name, column in table.columns.items())
        return f"create or replace view {table.relation} as select {columns} where false"
    # The names of files mostly follow time, and an engine leaves out what it stores of other times than are asked for.
    files = dict.fromkeys(load.records for load in sorted(loads, key=lambda load: load.delivery.path))
    columns = ", ".join(f"records.{identifier(name)}" for name in names)
    return f"""
        create or replace view {table.relation} as
        select {columns}, deliveries.source_file, deliveries.content_sha256, deliveries.collected_at
        from {parquet(files)} as records
        inner join (
            select
                load_id,
                min(source_file) as source_file,
                min(content_sha256) as content_sha256,
                max(collected_at) as collected_at
            from pipeline.{LANDING}.deliveries
            where source_kind = {literal(table.name)}
            group by load_id
        ) as deliveries on records.load_id = deliveries.load_id
        where records.reject_reason is null
    """


def _told_files(before: set[tuple[str, str]], after: set[tuple[str, str]]) -> list[str]:
    old, new = dict(before), dict(after)
    return [
        *(f"{shown(path)} is new" for path in sorted(new.keys() - old.keys())),
        *(f"{shown(path)} has another content" for path in sorted(new.keys() & old.keys()) if old[path] != new[path]),
        *(f"{shown(path)} is gone" for path in sorted(old.keys() - new.keys())),
    ]
