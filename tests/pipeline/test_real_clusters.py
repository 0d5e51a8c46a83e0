"""Two real Slurm clusters and one of Open XDMoD's: our tables equal what Slurm and XDMoD published for them.

Expectations are computed here from the delivered files, or are the other tools' own reports.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from capacity_dagster.site_file import Site, load_site, shipped_demo

LANDING = shipped_demo() / "landing"
HOUR = (1_795_298_400, 1_795_302_000)  # 2026-11-21 22:00-23:00 UTC, which sreport covers
AS_OF = {
    cluster: int(datetime.fromisoformat((LANDING / cluster / "as_of.txt").read_text().strip()).timestamp())
    for cluster in ("alpha", "beta")
}
UNITS = 84_000


@dataclass(frozen=True)
class Held:
    """What one record held: accelerators by resource name, between two instants."""

    account: str
    user: str
    eligible: int
    recorded_start: int
    true_start: int
    end: int
    accelerators: dict[str, int]

    def seconds(self, start: int, window: tuple[int, int]) -> int:
        return max(0, min(self.end, window[1]) - max(start, window[0]))


def delivered_jobs(cluster: str) -> Iterator[dict[str, str]]:
    """The records of jobs.psv: a line with too few columns goes on the name of the record before it."""
    lines = (LANDING / cluster / "jobs.psv").read_bytes().decode().split("\n")
    names = lines[0].split("|")
    for line in lines[1:]:
        if line.count("|") >= len(names) - 1:
            yield dict(zip(names, line.split("|", len(names) - 1), strict=True))


def held_by(cluster: str) -> list[Held]:
    records = sorted(delivered_jobs(cluster), key=lambda each: (each["JobIDRaw"], int(each["Submit"])))
    found: list[Held] = []
    before: dict[str, str] = {}
    for record in records:
        follows_resize = before.get("JobIDRaw") == record["JobIDRaw"] and before.get("State") == "RESIZING"
        before = record
        if not record["Start"].isdigit():
            continue
        start = int(record["Start"])
        found.append(
            Held(
                record["Account"],
                record["User"],
                int(record["Eligible"]) if record["Eligible"].isdigit() else 0,
                start,
                max(start, int(record["Submit"])) if follows_resize else start,
                int(record["End"]) if record["End"].isdigit() else AS_OF[cluster],
                {
                    name: int(count)
                    for name, count in (entry.split("=") for entry in record["AllocTRES"].split(",") if entry)
                    if name == "gres/gpu" or name.startswith("gres/gpu:")
                },
            )
        )
    return found


def slurm_report(cluster: str) -> dict[tuple[str, str, str], int]:
    """GPU seconds by account, user (empty: the whole account) and resource, as sreport printed them."""
    lines = (LANDING / cluster / "sreport.account_utilization_by_user.psv").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Cluster|")) + 1
    rows = [line.split("|") for line in lines[start:]]
    return {(row[1], row[2], row[4]): int(row[5]) for row in rows if row[4].startswith("gres/gpu")}


@pytest.mark.parametrize(("cluster", "count"), [("alpha", 45), ("beta", 24)])
def test_the_shipped_report_is_the_one_that_the_manifest_describes(cluster: str, count: int) -> None:
    report = slurm_report(cluster)
    assert len(report) == count
    if cluster == "alpha":
        assert report["root", "", "gres/gpu"] == 104_298


@pytest.mark.parametrize("cluster", ["alpha", "beta"])
def test_ours_by_slurms_rule_is_sreport_to_the_second(built_demo: Site, query, cluster: str) -> None:
    rows = query(
        built_demo,
        "select account, user_name, measure, ours - resize_overlap - eligible_later, theirs, unexplained "
        "from report.reconciliation_daily where cluster = ? and subject_kind <> 'cluster'",
        [cluster],
    )
    report = slurm_report(cluster)
    assert {(account, user, measure): ours for account, user, measure, ours, _, _ in rows} == report
    assert {(account, user, measure): theirs for account, user, measure, _, theirs, _ in rows} == report
    assert {unexplained for *_, unexplained in rows} == {0}


def test_nothing_that_slurm_measures_in_gpus_is_unexplained(built_demo: Site, query) -> None:
    assert query(
        built_demo,
        "select cluster, count(*), count(*) filter (where unexplained = 0) from report.reconciliation_daily "
        "where subject_kind <> 'cluster' group by cluster order by cluster",
    ) == [("alpha", 45, 45), ("beta", 24, 24)]


@pytest.mark.parametrize("cluster", ["alpha", "beta"])
def test_what_each_user_held_in_the_hour_is_what_their_records_say(built_demo: Site, query, cluster: str) -> None:
    truth: dict[tuple[str, str, str], int] = defaultdict(int)
    slurms: dict[tuple[str, str, str], int] = defaultdict(int)
    for held in held_by(cluster):
        for resource, count in held.accelerators.items():
            key = (held.account, held.user, resource)
            truth[key] += count * held.seconds(held.true_start, HOUR)
            if held.eligible < HOUR[1]:
                slurms[key] += count * held.seconds(held.recorded_start, HOUR)
    report = {key: seconds for key, seconds in slurm_report(cluster).items() if key[1]}
    assert {key: slurms[key] for key in report} == report
    assert {key for key, seconds in slurms.items() if seconds} <= set(report)
    ours = query(
        built_demo,
        "select account, user_name, measure, ours from report.reconciliation_daily "
        "where cluster = ? and subject_kind = 'user'",
        [cluster],
    )
    assert {tuple(row[:3]): row[3] for row in ours} == {key: truth[key] for key in report}


def test_clusters_that_share_job_ids_never_mix(built_demo: Site, query) -> None:
    delivered = {
        cluster: {(record["JobIDRaw"], record["User"]) for record in delivered_jobs(cluster)} for cluster in AS_OF
    }
    shared = {job_id for job_id, _ in delivered["alpha"]} & {job_id for job_id, _ in delivered["beta"]}
    assert len(shared) > 50
    for cluster, jobs in delivered.items():
        rows = query(built_demo, "select distinct job_id, user_name from mart.attempts where cluster = ?", [cluster])
        assert set(rows) == jobs
    nodes = query(
        built_demo, "select cluster, string_agg(distinct node[1], '') from mart.attempt_nodes group by cluster"
    )
    assert {cluster: set(letters) for cluster, letters in nodes} == {"alpha": set("ahm"), "beta": set("b")}


@pytest.mark.parametrize("cluster", ["alpha", "beta"])
def test_held_is_allocated_and_overcommit_and_unplaced(built_demo: Site, query, cluster: str) -> None:
    first = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp())
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for held in held_by(cluster):
        seconds = held.seconds(held.true_start, (first, AS_OF[cluster]))
        expected[held.account, held.user] += seconds * held.accelerators.get("gres/gpu", 0) * UNITS
    rows = query(
        built_demo,
        "select account, user_name, sum(held_unit_seconds), "
        "sum(allocated_unit_seconds + overcommit_unit_seconds + unplaced_unit_seconds) "
        "from mart.attempt_hours where cluster = ? group by account, user_name",
        [cluster],
    )
    positive = {key: seconds for key, seconds in expected.items() if seconds}
    assert {(account, user): held for account, user, held, _ in rows} == positive
    assert {(account, user): parts for account, user, _, parts in rows} == positive


def test_the_ledger_sums_to_the_inventory_in_each_hour_and_node(built_demo: Site, query) -> None:
    expected: dict[tuple[str, str, str, datetime], int] = {}
    for row in csv.DictReader(line for line in (LANDING / "inventory.csv").open() if not line.startswith("#")):
        begins = int(datetime.fromisoformat(row["in_service_at"]).timestamp())
        for hour in range(HOUR[0], AS_OF[row["cluster"]], 3600):
            seconds = min(hour + 3600, AS_OF[row["cluster"]]) - max(begins, hour)
            key = (
                row["cluster"],
                row["node"],
                row["accelerator_model"],
                datetime.fromtimestamp(hour, UTC).replace(tzinfo=None),
            )
            if int(row["accelerators"]):
                expected[key] = expected.get(key, 0) + int(row["accelerators"]) * UNITS * seconds
    rows = query(
        built_demo,
        "select cluster, node, accelerator_model, hour_at, sum(unit_seconds) from mart.capacity_ledger_hourly "
        "group by all",
    )
    assert {tuple(row[:4]): row[4] for row in rows} == expected


CATEGORIES = {
    "Allocated": "allocated",
    "Down": "down",
    "PLND Down": "planned_down",
    "Idle": "idle",
    "Planned": "planned",
    "Reported": "reported",
}


def slurm_cluster_report(cluster: str) -> dict[str, int]:
    """GPU seconds by resource and category, as sreport printed them for the whole cluster."""
    lines = (LANDING / cluster / "sreport.cluster_utilization.psv").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Cluster|"))
    rows = [dict(zip(lines[start].split("|"), line.split("|"), strict=True)) for line in lines[start + 1 :]]
    return {
        f"{row['TRES Name']}/{category}": int(row[name])
        for row in rows
        if row["TRES Name"].startswith("gres/gpu")
        for name, category in CATEGORIES.items()
    }


def bridge(site: Site, query, cluster: str, line: str) -> dict[str, int]:
    """One line of a cluster's bridge, by measure; without zeros."""
    rows = query(
        site,
        f"select measure, {line} from report.reconciliation_daily "
        f"where cluster = ? and subject_kind = 'cluster' and {line} <> 0",
        [cluster],
    )
    return {measure: seconds for measure, seconds in rows}


@pytest.mark.parametrize(("cluster", "count"), [("alpha", 18), ("beta", 6)])
def test_the_clusters_own_totals_are_explained_to_the_second(built_demo: Site, query, cluster: str, count: int) -> None:
    rows = query(
        built_demo,
        "select measure, theirs, unexplained from report.reconciliation_daily "
        "where cluster = ? and subject_kind = 'cluster'",
        [cluster],
    )
    assert len(rows) == count
    assert {measure: theirs for measure, theirs, _ in rows} == slurm_cluster_report(cluster)
    assert {unexplained for *_, unexplained in rows} == {0}


def test_nothing_of_beta_needs_explaining_at_cluster_level(built_demo: Site, query) -> None:
    assert query(
        built_demo,
        "select count(*) from report.reconciliation_daily where cluster = 'beta' and subject_kind = 'cluster' "
        "and (difference <> 0 or explained_by <> '')",
    ) == [(0,)]


def reservations_of(cluster: str) -> dict[str, dict[str, str]]:
    lines = (LANDING / cluster / "reservations.psv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("|"), line.split("|"), strict=True)) for line in lines[1:]]
    return {row["Name"]: row for row in rows}


def test_jobs_of_a_hard_reservation_are_820_gpu_seconds_that_slurm_replaces(built_demo: Site, query) -> None:
    """The manifest: Allocated is 103,478, and 820 below the associations' total of 104,298."""
    hard = {name for name, row in reservations_of("alpha").items() if "IGNORE_JOBS" not in row["Flags"]}
    replaced = sum(
        int(re.search(r"gres/gpu=(\d+)", job["AllocTRES"])[1])
        * (min(int(job["End"]), HOUR[1]) - max(int(job["Start"]), HOUR[0]))
        for job in delivered_jobs("alpha")
        if job["Reservation"] in hard
    )
    assert replaced == 104_298 - 103_478 == 820
    assert bridge(built_demo, query, "alpha", "reservation_replaced") == {
        "gres/gpu/allocated": 820,
        "gres/gpu/idle": -820,
        "gres/gpu:a100/allocated": 820,
        "gres/gpu:a100/idle": -820,
    }


def test_at_cluster_level_a_resize_overlaps_as_it_does_for_accounts(built_demo: Site, query) -> None:
    overlap = sum(
        held.accelerators.get("gres/gpu", 0)
        * (held.seconds(held.recorded_start, HOUR) - held.seconds(held.true_start, HOUR))
        for held in held_by("alpha")
        if held.eligible < HOUR[1]
    )
    accounts = query(
        built_demo,
        "select resize_overlap from report.reconciliation_daily "
        "where cluster = 'alpha' and account = 'root' and user_name = '' and measure = 'gres/gpu'",
    )
    assert accounts == [(-overlap,)]
    assert bridge(built_demo, query, "alpha", "resize_overlap") == {
        "gres/gpu/allocated": -overlap,
        "gres/gpu/idle": overlap,
        "gres/gpu:h100/allocated": -overlap,
        "gres/gpu:h100/idle": overlap,
    }


def test_held_is_allocated_with_what_two_jobs_hold_of_one_gpu(built_demo: Site, query) -> None:
    held = sum(held.accelerators.get("gres/gpu", 0) * held.seconds(held.true_start, HOUR) for held in held_by("alpha"))
    rows = query(
        built_demo,
        "select ours, node_overcommit, eligible_later from report.reconciliation_daily "
        "where cluster = 'alpha' and measure = 'gres/gpu/allocated'",
    )
    ((allocated, overcommit, _),) = rows
    assert allocated - overcommit == held
    assert overcommit < 0


def event_seconds() -> dict[str, int]:
    """GPU-seconds of alpha's events in the hour by kind: all but those under maintenance, which Slurm leaves out."""
    seconds: dict[str, int] = defaultdict(int)
    for line in (LANDING / "alpha" / "node_events.psv").read_text().splitlines()[1:]:
        node = line.split("|")[3]
        start, _, state, tres, _, end = line.split("|")[-6:]
        begins, ends = (
            int(datetime.fromisoformat(f"{each}+00:00").timestamp()) for each in (start, end if node else start)
        )
        if node and "$" not in state:
            gpus = int(re.search(r"gres/gpu=(\d+)", tres)[1])
            kind = "FUTR" if state == "FUTR" else "DRAIN" if state == "DRAIN" else "DOWN"
            seconds[kind] += gpus * max(0, min(ends, HOUR[1]) - max(begins, HOUR[0]))
    return dict(seconds)


def test_down_inside_maintenance_is_planned_for_slurm_and_for_us(built_demo: Site, query) -> None:
    """The manifest: the events alone give 9,640 down and 17,280 planned; 4 s x 8 GPUs of h3 change sides."""
    seconds = event_seconds()
    assert seconds == {"FUTR": 17_280, "DRAIN": 3_200, "DOWN": 9_640 - 3_200}
    report = slurm_cluster_report("alpha")
    assert (report["gres/gpu/down"], report["gres/gpu/planned_down"]) == (9_640 - 4 * 8, 17_280 + 4 * 8)
    rows = query(
        built_demo,
        "select measure, ours - draining_as_down - planned_as_idle from report.reconciliation_daily "
        "where cluster = 'alpha' and measure in ('gres/gpu/down', 'gres/gpu/planned_down')",
    )
    assert dict(rows) == {"gres/gpu/down": 9_640 - 4 * 8, "gres/gpu/planned_down": 17_280 + 4 * 8}
    assert bridge(built_demo, query, "alpha", "draining_as_down") == {
        "gres/gpu/down": -3_200,
        "gres/gpu:h100/down": -3_200,
    }


def test_what_is_free_in_reservations_is_idle_for_slurm(built_demo: Site, query) -> None:
    """resv_hard has a2 for 15 minutes; 95 s of it a2 was down, and its jobs held 820 GPU-seconds."""
    assert bridge(built_demo, query, "alpha", "reserved_as_idle")["gres/gpu:a100/idle"] == -(8 * (900 - 95) - 820)


def test_no_gpu_second_is_registered_that_the_inventory_does_not_have(built_demo: Site, query) -> None:
    """Of alpha, 56 GPUs registered at 22:00:25 and 64 from 22:03:19, h5 as a future node; of beta, 8 at 22:03:20."""
    assert slurm_cluster_report("alpha")["gres/gpu/reported"] == 56 * 174 + 64 * (3600 - 199)
    assert slurm_cluster_report("beta")["gres/gpu/reported"] == 8 * (3600 - 200)
    assert bridge(built_demo, query, "alpha", "registration") == {}
    assert bridge(built_demo, query, "beta", "registration") == {}


@pytest.mark.parametrize(("resource", "model"), [("gres/gpu:h100", "h100"), ("gres/gpu:a100", "a100")])
def test_down_is_what_sreport_calls_down(built_demo: Site, query, resource: str, model: str) -> None:
    """sreport counts a free node that drains as down; no job drained a node in this hour."""
    lines = (LANDING / "alpha" / "sreport.cluster_utilization.psv").read_text().splitlines()
    header = next(line for line in lines if line.startswith("Cluster|")).split("|")
    (theirs,) = (dict(zip(header, line.split("|"), strict=True)) for line in lines if f"|{resource}|" in line)
    ours = query(
        built_demo,
        "select sum(unit_seconds) / 84000 from mart.capacity_ledger_hourly where cluster = 'alpha' "
        "and accelerator_model = ? and hour_at = timestamp '2026-11-21 22:00:00' "
        "and state in ('down_unplanned', 'draining_unusable')",
        [model],
    )
    assert ours == [(int(theirs["Down"]),)]


def test_a_future_node_is_planned_as_in_sreport(built_demo: Site, query) -> None:
    """sreport's 17,312 planned GPU-seconds are h5's as FUTURE and 4 s x 8 of h3's, down inside its maintenance."""
    assert query(
        built_demo,
        "select sum(unit_seconds) / 84000 from mart.capacity_ledger_hourly "
        "where cluster = 'alpha' and node = 'h5' and state = 'down_planned'",
    ) == [(17_312 - 4 * 8,)]


def test_no_check_fails_on_the_demonstration_site(built_demo: Site, query) -> None:
    checks = "(select * from pipeline.state.checks union all select * from capacity.state.checks)"
    assert query(built_demo, f"select table_name, check_name from {checks} where not has_passed") == []
    assert query(built_demo, f"select count(*) > 37 from {checks}") == [(True,)]


@pytest.mark.parametrize("cluster", ["alpha", "beta"])
def test_what_waited_is_what_the_records_asked_for_while_they_were_eligible(
    built_demo: Site, query, cluster: str
) -> None:
    """Per record: accelerators × tasks × from eligible to the start, the cancellation, or as_of."""
    expected: dict[str, int] = defaultdict(int)
    before: dict[str, str] = {}
    for record in sorted(delivered_jobs(cluster), key=lambda each: (each["JobIDRaw"], int(each["Submit"]))):
        follows_resize = before.get("JobIDRaw") == record["JobIDRaw"] and before.get("State") == "RESIZING"
        before = record
        accelerators = re.search(r"gres/gpu=(\d+)", record["ReqTRES"])
        if follows_resize or not accelerators or not record["Eligible"].isdigit():
            continue
        has_started = record["Start"].isdigit() and record["NodeList"] != "None assigned"
        until = record["Start"] if has_started else record["End"]
        seconds = (int(until) if until.isdigit() else AS_OF[cluster]) - int(record["Eligible"])
        tasks = len(record["JobID"].split(",")) if "[" in record["JobID"] else 1
        expected[record["Partition"]] += max(0, seconds) * int(accelerators[1]) * tasks
    rows = query(
        built_demo,
        "select partition_name, sum(pending_unit_seconds) / 84000 from report.queue_daily "
        "where cluster = ? group by partition_name having sum(pending_unit_seconds) > 0",
        [cluster],
    )
    assert dict(rows) == {partition: seconds for partition, seconds in expected.items() if seconds}


# Money.


def cost_sheet(name: str) -> list[dict[str, str]]:
    with (LANDING / name).open() as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def accrued(amount: str | Decimal, begins: datetime, ends: datetime, cluster: str) -> Decimal:
    """What of an amount has accrued by as_of, by the second, rounded half up to trillionths."""
    as_of = datetime.fromtimestamp(AS_OF[cluster], UTC)
    share = Fraction(int((as_of - begins).total_seconds()), int((ends - begins).total_seconds()))
    picos = Fraction(amount) * 10**12 * share
    return Decimal((2 * picos.numerator + picos.denominator) // (2 * picos.denominator)) / 10**12


def expected_costs() -> dict[tuple[str, str, str, str], Decimal]:
    """Cost by cluster, pool, component and model (of purchases; the rest belongs to its pool as a whole)."""
    costs: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    for lot in cost_sheet("purchase_lots.csv"):
        begins = datetime.fromisoformat(lot["in_service_at"])
        years, months = divmod(int(lot["life_months"]), 12)
        assert months == 0
        amount = Decimal(lot["price"]) - Decimal(lot["residual"])
        key = (lot["cluster"], lot["pool"], "depreciation", lot["accelerator_model"])
        costs[key] += accrued(amount, begins, begins.replace(year=begins.year + years), lot["cluster"])
    for flat in cost_sheet("flat_costs.csv"):
        begins, ends = (datetime.fromisoformat(flat[name]) for name in ("period_start", "period_end"))
        key = (flat["cluster"], flat["pool"], flat["cost_component"], "")
        costs[key] += accrued(flat["amount"], begins, ends, flat["cluster"])
    return costs


def test_cost_components_are_what_the_cost_sheets_say_to_the_trillionth(built_demo: Site, query) -> None:
    rows = query(
        built_demo,
        "select cluster, pool, cost_component, case when cost_component = 'depreciation' then accelerator_model "
        "else '' end as model, sum(cost) from mart.cost_daily where currency = 'USD' group by all",
    )
    assert {tuple(row[:4]): row[4] for row in rows} == expected_costs()


def test_a_pools_cost_is_the_sum_of_its_components(built_demo: Site, query) -> None:
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (cluster, pool, _, _), cost in expected_costs().items():
        expected[cluster, pool] += cost
    rows = query(
        built_demo,
        "select cluster, pool, sum(cost), sum(depreciation_cost + power_cost + colo_cost + support_cost + other_cost) "
        "from report.cost_per_accelerator_hour_daily group by all",
    )
    assert {(cluster, pool): cost for cluster, pool, cost, _ in rows} == expected
    assert {(cluster, pool): parts for cluster, pool, _, parts in rows} == expected


@pytest.mark.parametrize("period", ["daily", "monthly"])
@pytest.mark.parametrize("link", ["installed", "available", "allocated"])
def test_a_rate_times_its_denominator_is_the_cost(built_demo: Site, query, link: str, period: str) -> None:
    rows = query(
        built_demo,
        f"select cost, cost_per_{link}_hour, {link}_unit_seconds "
        f"from report.cost_per_accelerator_hour_{period} where installed_unit_seconds > 0",
    )
    assert len(rows) == 5
    for cost, rate, unit_seconds in rows:
        back = Fraction(rate) * Fraction(unit_seconds, 302_400_000)
        assert abs(back - Fraction(cost)) <= Fraction(cost) / 10**12


# Open XDMoD.

POZIDRIV = """
[site]
name = "pozidriv"
first_day = 2016-12-22

[clusters.pozidriv]

[[sources]]
kind = "slurm_jobs"
files = "pozidriv.log"
time_zone = "UTC"
columns = [
    "jobid", "jobidraw", "cluster", "partition", "qos", "account", "group", "gid", "user", "uid", "submit", "eligible",
    "start", "end", "elapsed", "exitcode", "state", "nnodes", "ncpus", "reqcpus", "reqmem", "reqtres", "alloctres",
    "timelimit", "nodelist", "jobname",
]
"""


@pytest.fixture(scope="module")
def pozidriv(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, build) -> Site:
    folder = tmp_path_factory.mktemp("pozidriv")
    (folder / "landing").mkdir()
    (folder / "site.toml").write_text(POZIDRIV, encoding="utf-8")
    (folder / "landing" / "pozidriv.log").symlink_to((shared_data / "xdmod-pozidriv" / "pozidriv.log").resolve())
    site = load_site(folder)
    build(site)
    return site


def test_days_are_those_that_xdmod_published(pozidriv: Site, query, shared_data: Path) -> None:
    with (shared_data / "xdmod-pozidriv" / "expected_daily.csv").open() as lines:
        expected = {
            row["usage_date"]: (
                int(row["jobs_ended"]),
                *(Decimal(row[name]) for name in ("wall_hours", "cpu_hours", "node_hours")),
            )
            for row in csv.DictReader(lines)
        }
    rows = query(
        pozidriv,
        "select cast(usage_date as varchar), sum(jobs_ended), sum(wall_hours), sum(cpu_hours), sum(node_hours) "
        "from report.team_efficiency_daily group by usage_date",
    )
    found = {day: (ended, *(hours.quantize(Decimal("0.0001")) for hours in rest)) for day, ended, *rest in rows}
    assert found == expected


def test_every_line_of_the_xdmod_dump_is_accounted_for(pozidriv: Site, query, shared_data: Path) -> None:
    lines = (shared_data / "xdmod-pozidriv" / "pozidriv.log").read_bytes().count(b"\n")
    accepted, rejected = query(
        pozidriv,
        "select sum(accepted_rows), sum(rejected_rows) from landing.deliveries where source_kind = 'slurm_jobs'",
    )[0]
    assert (accepted + rejected, rejected) == (lines, 0)


def test_what_was_never_assigned_never_counts(pozidriv: Site, query, shared_data: Path) -> None:
    text = (shared_data / "xdmod-pozidriv" / "pozidriv.log").read_text()
    unassigned = {line.split("|")[1] for line in text.splitlines() if re.search(r"\|None assigned\|", line)}
    assert unassigned
    rows = query(pozidriv, "select job_id, held_seconds, cpu_seconds, node_seconds, started_at from mart.attempts")
    found = [tuple(row[1:]) for row in rows if row[0] in unassigned]
    assert len(found) >= len(unassigned)
    assert set(found) == {(0, 0, 0, None)}
