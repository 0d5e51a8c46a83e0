"""Whatever a file holds, it is refused with a message or each of its records is accepted or rejected; none is lost."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from capacity_dagster.errors import SourceError
from capacity_dagster.sources import bytes as file_bytes
from capacity_dagster.tables.catalogue import assets_folder

FEW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=200)

JOBS = "Cluster|JobIDRaw|Submit|Start|End|ElapsedRaw|State|NNodes|AllocCPUS|TimelimitRaw|ReqTRES|AllocTRES|NodeList"
EVENTS = "Cluster|NodeName|TimeStart|TimeEnd|State|StateRaw|TRES"
RESERVATIONS = "Cluster|Name|NodeName|TimeStart|TimeEnd|TRES"
QUEUE = "TAKEN_AT|JOBID|STATE|SUBMIT_TIME|REASON|START_TIME"
INVENTORY = "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at,sharing"
LOTS = (
    "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,replacement_price,currency,in_service_at,"
    "life_months"
)
BILL = (
    "ProviderName,BillingAccountId,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,"
    "ChargeCategory,BillingCurrency,BilledCost,EffectiveCost,ListCost,PricingQuantity,Tags,SkuPriceDetails"
)
REPORT = "Cluster|Account|Login|Proper Name|TRES Name|Used"
TITLE = "Cluster/Account/User Utilization 2026-01-01T00:00:00 - 2026-01-01T00:59:59\nUsage reported in TRES Seconds\n"

counts = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["0", "1", "-1", "1.5", "1e400", "-1e400", "NaN", "inf", "0x10", "9" * 18, "9" * 19, "1_000", "٣"]),
)
times = st.one_of(
    st.integers(-(10**12), 10**13).map(str),
    st.sampled_from(["Unknown", "", "None", "infinity", "-infinity", "epoch", "now", "today"]),
    st.datetimes().map(lambda at: f"{at.isoformat('T', 'seconds')}Z"),
    st.sampled_from(
        ["2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+99:99"]
    ),
)
durations = st.from_regex(r"([0-9]{1,20}-)?([0-9]{1,20}:)?[0-9]{1,3}:[0-9]{1,3}(\.[0-9]{1,3})?", fullmatch=True)
tres = st.lists(
    st.tuples(
        st.sampled_from(
            ["cpu", "mem", "gres/gpu", "gres/gpu:h100", "gres/gpu:a_1g.5gb", "gres/shard", "billing", "", "=,"]
        ),
        st.one_of(counts, st.sampled_from(["4G", "two", "", "="])),
    ).map("=".join),
    max_size=6,
).map(",".join)
hostlists = st.lists(
    st.sampled_from(
        ["n", "1", "9", "[", "]", ",", "-", "[1-3]", "[001-002]", "[1,5-7]", "[9-1]", "999999", "[1-9999]", "é"]
    ),
    max_size=12,
).map("".join)
words = st.one_of(
    st.text(st.characters(exclude_characters='\n\r|,"', exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(["alpha", "COMPLETED", "RUNNING", "h1", "'; --", "=1+1", "<b>", "{}", '{"a": 1}', "USD", "Usage"]),
)
cells = st.one_of(counts, times, durations, tres, hostlists, words)


def rows(header: str, delimiter: str) -> st.SearchStrategy[str]:
    """Lines with as many cells as the header has columns; of comma-separated values, now and then one more or less."""
    count = header.count(delimiter) + 1
    cell = cells.map(lambda each: each.replace(delimiter, ";").replace('"', "'"))
    row = st.lists(cell, min_size=count, max_size=count)
    if delimiter == ",":  # of others, lines with fewer belong together
        row = st.one_of(row, row, row, st.lists(cell, min_size=2, max_size=count + 2))
    line = row.map(lambda each: delimiter.join(["alpha", *each[1:]]))
    return st.lists(line, min_size=20, max_size=40).map("\n".join)


@pytest.mark.parametrize(
    ("kind", "header", "source"),
    [
        ("slurm_jobs", JOBS, {}),
        ("slurm_node_events", EVENTS, {}),
        ("slurm_reservations", RESERVATIONS, {}),
        ("slurm_queue", QUEUE, {"cluster": "alpha"}),
        ("inventory", INVENTORY, {}),
        ("purchase_lots", LOTS, {}),
        ("focus_charges", BILL, {}),
        ("slurm_account_usage", REPORT, {}),
    ],
)
def test_any_cells_are_accepted_or_rejected(read: Callable[..., Any], kind: str, header: str, source: dict) -> None:
    """Rows of delimited text, of spreadsheets, of bills, of reports: as many as were written come out."""
    delimiter = "|" if "|" in header else ","

    @FEW
    @given(rows(header, delimiter))
    def check(body: str) -> None:
        title = TITLE if kind == "slurm_account_usage" else ""
        found = read(kind, f"{title}{header}\n{body}\n", time_zone="UTC", **source)
        assert len(found.accepted) + len(found.rejected) == len(body.split("\n"))
        assert all(re.fullmatch("[a-z0-9_]+", each["reject_reason"]) for each in found.rejected)

    check()


KEYS = ["JobIDRaw", "Submit", "Start", "End", "State", "AllocTRES", "NodeList", "NNodes", "", "a b", "jobidraw"]


@FEW
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(KEYS), cells).map("=".join), max_size=6).map(lambda row: ["JobID=1", *row]),
        min_size=10,
        max_size=30,
    ),
)
def test_any_named_cells_are_accepted_or_rejected(read: Callable[..., Any], records: list[list[str]]) -> None:
    """Cells that name their columns, quoted as `csv` does it; the last record is whole."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([["JobIDRaw=1"], *records])
    found = read("slurm_jobs", written.getvalue(), cluster="alpha", time_zone="UTC")
    assert len(found.accepted) + len(found.rejected) == 1 + len(records)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words, times, tres, hostlists),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["set", "infinite", "number", "current", "type", "name", "count"]), inner),
    ),
    max_leaves=6,
)
JOB_KEYS = ["job_id", "cluster", "state", "time", "nodes", "tres", "array", "het", "exit_code", "flags", "association"]


@pytest.mark.parametrize("kind", ["slurm_jobs", "slurm_nodes", "slurm_reservations"])
def test_any_elements_are_accepted_or_rejected(read: Callable[..., Any], kind: str) -> None:
    """Answers in JSON."""
    keys = [
        *JOB_KEYS,
        "gres",
        "cpus",
        "node_list",
        "start_time",
        "end_time",
        "tres_alloc_str",
        "submit_time",
        "job_state",
    ]
    element = st.one_of(json_values, st.dictionaries(st.sampled_from(keys), json_values, min_size=3))

    @FEW
    @given(st.lists(element, min_size=5, max_size=20))
    def check(elements: list[Any]) -> None:
        content = json.dumps({kind.removeprefix("slurm_"): elements})
        found = read(kind, content, cluster="alpha", time_zone="UTC")
        assert len(found.accepted) + len(found.rejected) == len(elements)

    check()


@FEW
@given(st.lists(st.tuples(words, cells, cells), min_size=1, max_size=10))
def test_any_node_is_accepted_or_rejected(read: Callable[..., Any], nodes: list[tuple[str, str, str]]) -> None:
    """The text of `scontrol show node`: a record for each line that begins with a name."""
    body = "".join(
        f"NodeName=n{number} CPUTot={cpus} Gres={gres}\n   State=IDLE Reason={reason}\n\n"
        for number, (reason, cpus, gres) in enumerate(nodes)
    )
    found = read("slurm_nodes", body, cluster="alpha")
    assert len(found.accepted) + len(found.rejected) == len(nodes)


@MANY
@given(st.binary(max_size=200), st.sampled_from([1, 3, 64, 4 << 20]))
def test_any_bytes_are_told_and_cleaned_line_by_line(tmp_path: Path, content: bytes, size: int) -> None:
    file, clean = tmp_path / "file", tmp_path / "clean"
    file.write_bytes(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(file_bytes, "BLOCK", size)
        try:
            found = file_bytes.probe(file)
        except SourceError as error:
            told = str(error)
            assert "expected" in told or "broken or cut off" in told
            return
        if found.form == "parquet":
            return
        file_bytes.write_clean(file, clean)
    written = clean.read_bytes()
    assert written.count(b"\n") == content.count(b"\n")
    assert found.size == len(content)
    if written.strip():
        again = file_bytes.probe(clean)
        assert (again.lines, again.is_terminated, again.needs_cleaning) == (found.lines, found.is_terminated, False)


@pytest.fixture(scope="module")
def macros() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute((assets_folder() / "raw" / "macros.sql").read_text(encoding="utf-8"))
        yield connection


def expanded_size(hosts: str) -> int:
    """How many names a host list has whose brackets are in order, told the slow way."""
    total = 0
    for part in re.findall(r"[^,\[]*(?:\[[^\]]*\][^,\[]*)+|[^,]+", hosts):
        size = 1
        for inside in re.findall(r"\[([^\]]*)\]", part):
            spans = [re.fullmatch(r"([0-9]+)-([0-9]+)", span) for span in inside.split(",")]
            size *= sum(1 + max(0, int(span[2]) - int(span[1])) if span else 1 for span in spans)
        total += size
    return total


@MANY
@given(hostlists)
@example("n[1-200000]")
@example("n[1-200001]")
@example("r[1-99]c[1-99]n[1-99]")
@example("n[" + ",".join(["1-9999"] * 300) + "]")
@example("a[1-2][3-4],b[100000-100002]")
def test_a_host_list_is_judged_by_what_it_would_name(macros: duckdb.DuckDBPyConnection, hosts: str) -> None:
    is_list, is_implausible = macros.execute("select is_hostlist($1), is_implausible_hostlist($1)", [hosts]).fetchall()[
        0
    ]
    depths = [hosts[:end].count("[") - hosts[:end].count("]") for end in range(len(hosts) + 1)]
    assert is_list == (set(depths) <= {0, 1} and depths[-1] == 0)
    if is_list and not re.search(r"\[[^\]]*[0-9]{7}", hosts):
        assert is_implausible == (expanded_size(hosts) > 200_000)


@MANY
@given(st.one_of(durations, counts, times, words))
def test_no_duration_and_no_time_is_an_error(macros: duckdb.DuckDBPyConnection, text: str) -> None:
    """Whatever is written where a time or a duration stands, it is read or is nothing."""
    macros.execute(
        "select duration_seconds($1), instant($1, 'Europe/Oslo'), whole($1), billed_number($1), billed_instant($1)",
        [text],
    ).fetchall()
