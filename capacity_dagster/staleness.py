"""Judges what is stale: which tables, since which changes of their inputs, for which days or which scope.

What belongs here: the one truth about staleness. What does not: building.

A table is stale when its SQL or contract changed, or when an input has a later version than the one it was built from
and something changed in it that concerns the table: a change names its day or span of time and the columns that differ.
"""

from dataclasses import dataclass
from datetime import date

import duckdb

from capacity_dagster.differences import FOREVER
from capacity_dagster.landed import JOB_BLOCK
from capacity_dagster.tables.catalogue import ATTEMPTS_SCOPE, RECORDS_SCOPE, SCOPES, SHAPES_SCOPE, Catalogue, Table
from capacity_dagster.tables.lineage import read_columns
from capacity_dagster.tables.quoting import literal, parquet
from capacity_dagster.warehouse import Version, Warehouse, database_of
from capacity_dagster.wording import counted, shown

NO_KEYS = "select null::varchar as attempt_id where false"
TOUCHED, CHECKED = "touched", "checked"
LARGEST_SCOPE = 2_000_000
"""Beyond as many attempts or jobs a table is built anew."""


@dataclass(frozen=True)
class Staleness:
    """Why a table is stale, and how far.

    Attributes:
        reasons: each a clause of a sentence; empty: it is up to date.
        is_whole: all of it, because nothing says which part.
        has_new_rules: its definition changed, or a check of it reads something that did: all of it is checked anew.
        changed_inputs: the version that was seen of each input that changed since.
        relabelled: the columns of the table that alone can be otherwise; None: any.
    """

    reasons: list[str]
    is_whole: bool = False
    has_new_rules: bool = False
    changed_inputs: tuple[tuple[str, int], ...] = ()
    relabelled: tuple[str, ...] | None = None


def judge(warehouse: Warehouse, catalogue: Catalogue, table: Table, inputs: dict[str, Version]) -> Staleness:
    """Judges one table. Fills the temporary table `touched` with the changes that concern it, and `checked` with those
    that concern only its checks.

    Args:
        inputs: which version each input has now.
    """
    code_hash = warehouse.code_hash(table.full_name)
    if code_hash is None:
        return Staleness(["first build"], is_whole=True, has_new_rules=True)
    if code_hash != table.code_hash:
        return Staleness(["its definition changed"], is_whole=True, has_new_rules=True)
    for name in (TOUCHED, CHECKED):
        warehouse.connection.execute(
            f"create or replace temp table {name} "
            "(input_name varchar, usage_date date, changed_from timestamp, changed_to timestamp, has_keys boolean, "
            "changed_columns varchar[])"
        )
    seen = warehouse.seen_inputs(table.full_name)
    reasons: list[str] = []
    changed: list[tuple[str, int]] = []
    is_whole = has_new_rules = False
    for name, version in inputs.items():
        before = seen.get(name)
        if before == version:
            continue
        since = before.number if before and before.file_id == version.file_id else None
        if name in table.check_inputs:
            reasons.append(f"{name} changed, which a check reads")
            if since is None or not table.contract.partition:
                has_new_rules = True
            else:
                _touch(warehouse, table, name, since, CHECKED)
        elif since is None:
            reasons.append(f"{name} was built anew")
            is_whole = True
        elif told := _touch(warehouse, table, name, since, TOUCHED, _names_keys(catalogue, table, name)):
            reasons.extend(told)
            changed.append((name, since))
    relabelled = None if is_whole else _relabelled(warehouse, table)
    undated = "usage_date is null and changed_from is null"
    has_new_rules = has_new_rules or bool(warehouse.value(f"select count(*) from {CHECKED} where {undated}"))
    if table.scope == SHAPES_SCOPE or (table.scope == RECORDS_SCOPE and not table.contract.dictionary):
        undated = f"input_name <> {literal(SCOPES[table.scope])}"
    elif table.scope:
        undated += " and not has_keys"
    is_whole = is_whole or bool(warehouse.value(f"select count(*) from {TOUCHED} where {undated}"))
    return Staleness(reasons, is_whole, has_new_rules or is_whole, tuple(changed), relabelled)


def stale_tables(warehouse: Warehouse, catalogue: Catalogue) -> list[str]:
    """Names of the tables that are stale now; those after them may turn out so too."""
    stale: set[str] = set()
    for table in catalogue:
        if table.is_raw:
            continue
        versions = {name: warehouse.version(name) for name in (*table.inputs, *table.check_inputs)}
        known = {name: version for name, version in versions.items() if version is not None}
        if len(known) < len(versions) or judge(warehouse, catalogue, table, known).reasons:
            stale.add(table.full_name)
    return sorted(stale)


def touched_days(warehouse: Warehouse, look_back_days: int, touched: str = TOUCHED) -> set[date]:
    """The days that are accounted for and that the changes concern."""
    rows = warehouse.rows(
        f"""
        with touching as (
            select usage_date from {touched} where usage_date is not null
            union
            select cluster_days.usage_date
            from core.cluster_days as cluster_days
            where exists (
                select 1
                from {touched} as touched
                where touched.usage_date is null
                    and touched.changed_from < cluster_days.ends_at
                    and touched.changed_to > cluster_days.starts_at
            )
        )
        select distinct cast(unnest(generate_series(
            usage_date, usage_date + to_days(?), interval 1 day
        )) as date) from touching
        """,
        [look_back_days],
    )
    return {row[0] for row in rows}


def _relabelled(warehouse: Warehouse, table: Table) -> tuple[str, ...] | None:
    """The columns of a table that alone are otherwise, where its inputs changed only in what they are shown in."""
    found: set[str] = set()
    for name, columns in warehouse.rows(f"select distinct input_name, changed_columns from {TOUCHED}"):
        shown = table.contract.relabels.get(name, {})
        used = read_columns(table.full_name, name)
        if not columns or used is None or not shown.keys() >= {*columns}.intersection(used):
            return None
        found |= {shown[column] for column in columns if column in used}
    return tuple(sorted(found)) or None


def _names_keys(catalogue: Catalogue, table: Table, name: str) -> bool:
    """Whether an input's changes name the attempts, records or shapes that are the scope of a table."""
    if table.scope is None:
        return False
    if name == SCOPES[table.scope]:
        return True
    told = catalogue.tables.get(name)
    return table.scope == ATTEMPTS_SCOPE and told is not None and told.is_keyed_by_attempt


def _touch(
    warehouse: Warehouse, table: Table, name: str, since: int, touched: str, names_keys: bool = False
) -> list[str]:
    """Adds what concerns a table of an input's changes after a version; says why, in words."""
    database = database_of(name)
    concerns = "true"
    if name in table.inputs and (used := read_columns(table.full_name, name)) is not None:
        concerns = f"(changed_columns is null or list_has_any(changed_columns, [{', '.join(map(literal, used))}])"
        # Entries of a dictionary come and go with the attempts and records that use them.
        is_user = table.contract.partition or (table.scope and SCOPES[table.scope] != name)
        concerns += ")" if is_user else " or changed_columns = [])"
    if table.contract.partition:
        concerns += " and (changed_from is null or changed_from < changed_to)"
    later = f"from {database}.state.changes where table_name = {literal(name)} and version > {since} and {concerns}"
    has_keys = "false"
    if names_keys:
        has_keys = f"version in (select version from {database}.state.changed_keys where table_name = {literal(name)})"
    warehouse.connection.execute(
        f"insert into {touched} "
        f"select distinct {literal(name)}, usage_date, changed_from, changed_to, {has_keys}, changed_columns {later}"
    )
    rows = warehouse.rows(f"select source_file, sum(changed_rows) {later} group by source_file order by source_file")
    if not rows:
        return []
    told = [f"{shown(file)} changed {counted(int(count), 'row')} of {name}" for file, count in rows if file and count]
    if told:
        return told
    days = warehouse.value(f"select count(distinct usage_date) {later}")
    return [f"{name} was rebuilt for {counted(days, 'day')}" if days else f"{name} changed"]


def fill_scope(warehouse: Warehouse, catalogue: Catalogue, table: Table, staleness: Staleness) -> bool:
    """Fills the temporary table `scope_rows` with what the query of a table is to read; false: it is too much.

    For tables of attempts, `replaced_attempts` names those whose rows it replaces.
    """
    connection = warehouse.connection
    source = SCOPES[table.scope or ""]
    since = dict(staleness.changed_inputs)
    if table.scope == SHAPES_SCOPE:
        keys = _changed_keys(source, since[source]) if source in since else NO_KEYS
        connection.execute(
            f"create or replace temp table scope_rows as "
            f"select * from {source} where {catalogue[source].entry_key} in ({keys})"
        )
        return True
    if table.scope == RECORDS_SCOPE:
        if not _touch_jobs(warehouse, source, since.get(source)):
            return False
        found = warehouse.rows(
            "select distinct load_id from pipeline.state.load_jobs "
            f"where job_block in (select {JOB_BLOCK} from touched_jobs)"
        )
        loads = ", ".join(literal(load_id) for (load_id,) in found) or "''"
        connection.execute(
            f"create or replace temp table scope_rows as select * from {source} as records "
            f"semi join touched_jobs using (cluster, job_id) where records.load_id in ({loads})"
        )
        if "attempt_id" in table.contract.columns:
            connection.execute(
                "create or replace temp table replaced_attempts as "
                f"select attempt_id from {table.relation} semi join touched_jobs using (cluster, job_id)"
            )
        return True
    named = [_changed_keys(name, number) for name, number in since.items() if _names_keys(catalogue, table, name)]
    queries = [NO_KEYS, *named]
    since_when = warehouse.value("select min(changed_from) from touched where not has_keys")
    if since_when is not None:
        queries.append(
            f"""
            select attempts.attempt_id
            from core.attempts as attempts
            where (attempts.ended_at is null or attempts.ended_at >= {literal(since_when)}::timestamp)
            and exists (
                select 1
                from touched
                where not touched.has_keys
                    and least(attempts.submitted_at, attempts.started_at) < touched.changed_to
                    and coalesce(attempts.ended_at, {FOREVER}) >= touched.changed_from
            )
            """
        )
    connection.execute(f"create or replace temp table replaced_attempts as {' union '.join(queries)}")
    if warehouse.row_count("replaced_attempts") > LARGEST_SCOPE:
        return False
    copy_attempts(connection, source, "replaced_attempts", "scope_rows")
    return True


def copy_attempts(connection: duckdb.DuckDBPyConnection, source: str, attempts: str, target: str) -> None:
    """Creates temporary tables of those rows of a table that are of some attempts, and of their `places` in it.

    Finding their places first is cheaper than reading whole rows only to leave most of them out.
    """
    connection.execute(
        f"""
        create or replace temp table places as
            select rowid as place from {source} semi join {attempts} using (attempt_id);
        create or replace temp table {target} as
            select found.* from {source} as found inner join places on found.rowid = places.place
        """
    )


def _changed_keys(name: str, since: int) -> str:
    """A query for the keys that changed in an input after a version: of attempts, loads or entries."""
    database = database_of(name)
    return (
        f"select key as attempt_id from {database}.state.changed_keys "
        f"where table_name = {literal(name)} and version > {since}"
    )


def _touch_jobs(warehouse: Warehouse, source: str, since: int | None) -> bool:
    """Creates `touched_jobs`: those of which a record came or went; false: they are too many, or nobody knows them."""
    connection = warehouse.connection
    connection.execute("create or replace temp table touched_jobs (cluster varchar, job_id varchar)")
    if since is None:
        return True
    kind = source.partition(".")[2]
    loads = warehouse.rows(_changed_keys(source, since))
    files = [warehouse.site.records_file(kind, load_id) for (load_id,) in loads]
    if not all(file.exists() for file in files):
        return False
    if files:
        connection.execute(
            "insert into touched_jobs select distinct cluster, job_id "
            f"from {parquet(files)} where reject_reason is null"
        )
    return warehouse.row_count("touched_jobs") <= LARGEST_SCOPE
