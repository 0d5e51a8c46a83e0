"""The worked cases of the accounting rules about resources and evidence, end to end, with the rules' own numbers."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from capacity_dagster.site_file import Site

START = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = (
    "Cluster|JobIDRaw|JobID|DBIndex|Submit|Eligible|Start|End|ElapsedRaw|State|ExitCode|Partition|QOS|Account|User|NNodes"
    "|AllocCPUS|ReqTRES|AllocTRES|NodeList|JobName"
)
COLUMNS = HEADER.split("|")

TOML = """
[site]
name = "cases"
first_day = 2026-01-01

[clusters.c]
time_zone = "UTC"

[accelerators.h100]
memory_gb = 80
aliases = ["nvidia_h100"]

[accelerators.h200]
memory_gb = 141
aliases = ["nvidia_h200_nvl"]

[[sources]]
kind = "slurm_jobs"
files = "jobs.psv"
"""

INVENTORY = "cluster,node,pool,model,count,in_service,retired,sharing\n"


def at(hours: float) -> str:
    return str(int((START + timedelta(hours=hours)).timestamp()))


def job(job_id: int, start: float, end: float | None, tres: str, nodes: str = "n1", **changed: str) -> dict[str, str]:
    """A record between two hours after START; an open one without an end."""
    closed = end is not None
    return {
        "Cluster": "c",
        "JobIDRaw": str(job_id),
        "JobID": str(job_id),
        "DBIndex": str(job_id),
        "Submit": at(start),
        "Eligible": at(start),
        "Start": at(start),
        "End": at(end) if end is not None else "Unknown",
        "ElapsedRaw": str(int(((end or start) - start) * 3600)),
        "State": "COMPLETED" if closed else "RUNNING",
        "ExitCode": "0:0",
        "NNodes": "1",
        "AllocCPUS": "1",
        "ReqTRES": tres,
        "AllocTRES": tres,
        "NodeList": nodes,
        "JobName": "case",
    } | changed


@pytest.fixture
def built(make_site, build):
    """built(jobs, kind=text…): a site of one cluster with these jobs and other files, built."""

    def make(*jobs: Mapping[str, str], as_of: float = 48, **files: str) -> Site:
        toml, landed = TOML, {}
        for kind, text in files.items():
            toml += f'\n[[sources]]\nkind = "{kind}"\nfiles = "{kind}.txt"\ncluster = "c"\ntime_zone = "UTC"\n'
            landed[f"{kind}.txt"] = text
        lines = ["|".join(COLUMNS), *("|".join(each.get(name, "") for name in COLUMNS) for each in jobs)]
        landed["jobs.psv"] = "\n".join(lines) + "\n"
        site = make_site(toml, landed)
        build(site, as_of=START + timedelta(hours=as_of))
        return site

    return make


def held_hours(query, site: Site) -> dict[str, Decimal]:
    """Full-device-equivalent hours held, by job id."""
    rows = query(
        site,
        "select attempts.job_id, sum(hours.held_unit_seconds) / 302400000 from mart.attempt_hours as hours "
        "inner join mart.attempts as attempts using (attempt_id) group by attempts.job_id",
    )
    return {job_id: Decimal(str(hours)) for job_id, hours in rows}


@pytest.mark.case("P06")
def test_a_runaway_ends_when_its_node_is_allocated_again(built, query) -> None:
    site = built(
        job(1, 0, None, "gres/gpu=8"),
        job(2, 2, 5, "gres/gpu=8"),
        as_of=90 * 24,
        inventory=INVENTORY + "c,n1,p,h100,8,2026-01-01,,\n",
    )
    assert held_hours(query, site) == {"1": 16, "2": 24}
    assert query(site, "select is_open, ended_at, runaway_seconds from mart.attempts where job_id = '1'") == [
        (False, datetime(2026, 1, 1, 2), (90 * 24 - 2) * 3600)
    ]
    assert query(site, "select evidence, node from core.runaway_attempts") == [("node_reallocated", "n1")]


@pytest.mark.case("P06")
def test_a_runaway_ends_when_its_node_goes_down(built, query) -> None:
    events = f"NodeName|TimeStart|TimeEnd|State\nn1|{at(2)}|{at(3)}|DOWN\n"
    site = built(
        job(1, 0, None, "gres/gpu=8"),
        as_of=90 * 24,
        inventory=INVENTORY + "c,n1,p,h100,8,2026-01-01,,\n",
        slurm_node_events=events,
    )
    assert held_hours(query, site) == {"1": 16}


@pytest.mark.case("P06")
def test_a_runaway_ends_at_the_first_queue_that_lacks_it(built, query) -> None:
    """Job 1 is gone at two o'clock; job 2 survives that its node goes down, as later queues still list it."""
    listed = [(1, 2, ""), (2, 0, ""), (2, 2, "garbage"), (3, 2, ""), (24, 2, "")]
    rows = [f"{at(1)}|1|RUNNING|{at(0)}|None"]
    for hour, job_id, state in listed:
        rows.append(f"{at(hour)}|{job_id}|{state or 'RUNNING'}|{at(0) if not state else 'no time'}|None")
    queue = "TAKEN_AT|JOBID|STATE|SUBMIT_TIME|REASON\n" + "\n".join(rows) + "\n"
    site = built(
        job(1, 0, None, "gres/gpu=4"),
        job(2, 0, None, "gres/gpu=4", "n2"),
        as_of=90 * 24,
        inventory=INVENTORY + "c,n1,p,h100,8,2026-01-01,,\nc,n2,p,h100,8,2026-01-01,,\n",
        slurm_node_events=f"NodeName|TimeStart|TimeEnd|State\nn2|{at(2)}|{at(3)}|DOWN\n",
        slurm_queue=queue,
    )
    # The snapshot of two o'clock has a line that cannot be read: only that of three o'clock shows that job 1 is gone.
    assert query(site, "select attempt_id, ended_at, evidence, node from core.runaway_attempts") == [
        (f"c/1/{at(0)}", datetime(2026, 1, 1, 3), "not_in_queue", None)
    ]
    assert held_hours(query, site) == {"1": 12, "2": 4 * 90 * 24}


def test_a_runaway_re_opens_no_day_as_time_goes_on(built, build, query) -> None:
    events = f"NodeName|TimeStart|TimeEnd|State\nn1|{at(2)}|{at(3)}|DOWN\n"
    site = built(job(1, 0, None, "gres/gpu=8"), as_of=72, slurm_node_events=events)
    outcomes = build(site, as_of=START + timedelta(hours=73))
    assert query(site, "select runaway_seconds from core.runaway_attempts") == [(71 * 3600,)]
    assert query(site, "select runaway_seconds from mart.attempts") == [(71 * 3600,)]
    assert START.date() not in outcomes["mart.attempt_hours"].days


@pytest.mark.case("P12")
def test_the_cause_of_a_requeue_is_inferred_from_a_node_event(built, query) -> None:
    minutes = 1 / 60
    events = f"NodeName|TimeStart|TimeEnd|State\nn2|{at(10 + 9 * minutes)}|{at(12)}|DOWN\n"
    site = built(
        job(1, 0, 10, "gres/gpu=16", "n[1-2]", State="REQUEUED", NNodes="2"),
        job(1, 11, 17, "gres/gpu=16", "n[3-4]", NNodes="2"),
        job(2, 0, 10, "gres/gpu=8", "n5", State="REQUEUED"),
        slurm_node_events=events,
    )
    rows = query(
        site,
        "select job_id, end_class, end_cause, is_cause_inferred from mart.attempts order by job_id, submitted_at",
    )
    assert rows == [
        ("1", "requeued", "infra_failure", True),
        ("1", "completed", "completed", False),
        ("2", "requeued", "user", True),
    ]


@pytest.mark.case("P21")
@pytest.mark.parametrize("has_table", [False, True])
def test_suspension_holds_accelerators_and_frees_cpus(built, query, has_table: bool) -> None:
    table = f"job_db_inx\ttime_start\ttime_end\n1\t{at(3)}\t{at(7)}\n"
    site = built(
        job(1, 0, 10, "cpu=32,gres/gpu=4", AllocCPUS="32", ElapsedRaw="21600"),
        **({"slurm_suspensions": table} if has_table else {}),
    )
    assert held_hours(query, site) == {"1": 40}
    assert query(site, "select sum(cpu_hours) from report.team_efficiency_daily") == [(192,)]
    assert query(site, "select cpu_seconds, suspended_seconds from mart.attempts") == [(192 * 3600, 4 * 3600)]


@pytest.mark.case("P25")
def test_a_type_with_dots_is_two_slices(built, query) -> None:
    site = built(
        job(1, 0, 1, "gres/gpu:nvidia_h200_nvl_4g.71gb=2"),
        inventory=INVENTORY + "c,n1,p,h200,2,2026-01-01,,4g.71gb=2\n",
    )
    # 4 of 7 compute slices each, more than 4 of 8 of memory.
    assert query(site, "select accelerator_units, accelerator_model from mart.attempts") == [(2 * 48_000, "h200")]


@pytest.mark.case("P26")
def test_slices_weigh_their_larger_part_of_the_device(built, query) -> None:
    site = built(
        *(job(number, 0, 1, "gres/gpu:nvidia_h100_1g.10gb=1") for number in range(1, 8)),
        job(8, 2, 3, "gres/gpu:nvidia_h100_1g.20gb=1", "n2"),
        inventory=INVENTORY + "c,n1,p,h100,1,2026-01-01,,1g.10gb=7\nc,n2,p,h100,1,2026-01-01,,1g.20gb=4\n",
    )
    hours = held_hours(query, site)
    assert sum(hours[str(number)] for number in range(1, 8)) == pytest.approx(Decimal("1.0"), abs=Decimal("1e-15"))
    assert hours["8"] == Decimal("0.25")
    assert query(
        site, "select sum(allocated_unit_seconds), sum(overcommit_unit_seconds) from report.fleet_efficiency_daily"
    ) == [(84_000 * 3600 * 5 // 4, 0)]


@pytest.mark.case("P26")
def test_slices_of_an_undeclared_profile_are_rejected_and_valued(built, query) -> None:
    site = built(
        job(1, 0, 1, "gres/gpu:nvidia_h100_9g.99gb=2"),
        job(2, 0, 2, "gres/gpu=1", "n2"),
        job(3, 0, 1, "gres/gpu=1", "n3"),
        inventory=INVENTORY
        + "".join(f"c,n{number},p,h100,1,2026-01-01,,{mig}\n" for number, mig in ((1, ""), (2, "mig"), (3, ""))),
    )
    assert held_hours(query, site) == {"3": 1}
    assert query(site, "select job_id from mart.attempts") == [("3",)]
    assert query(
        site,
        "select rows_received, rows_accepted, rows_rejected, rejected_hours from report.data_trust_daily "
        "where source = 'slurm_jobs'",
    ) == [(3, 1, 2, 4)]


@pytest.mark.case("P26")
@pytest.mark.parametrize("has_inventory", [True, False])
def test_untyped_counts_are_slices_where_the_nodes_gres_say_so(built, query, has_inventory: bool) -> None:
    """AccountingStorageTRES=gres/gpu: neither CfgTRES nor AllocTRES have types, only the node's GRES do."""
    node = "NodeName={}\n   Gres=gpu:{}_1g.10gb:7\n   State=IDLE\n   CfgTRES=cpu=8,gres/gpu=7\n"
    files = (
        {"inventory": INVENTORY + "c,n1,p,h100,1,2026-01-01,,\nc,n2,p,b100,1,2026-01-01,,\n"} if has_inventory else {}
    )
    site = built(
        *(job(number, 0, 1, "gres/gpu=1") for number in range(1, 8)),
        job(8, 0, 1, "gres/gpu=1", "n2"),  # the site file gives its model no memory: its slices have no weight
        slurm_nodes="\n".join((node.format("n1", "nvidia_h100"), node.format("n2", "b100"))),
        **files,
    )
    assert sum(held_hours(query, site).values()) == pytest.approx(Decimal("1.0"), abs=Decimal("1e-15"))
    assert query(site, "select reject_reason from core.rejected_attempts") == [("undeclared_profile",)]
    assert query(site, "select sum(overcommit_unit_seconds) from report.fleet_efficiency_daily") == [(0,)]


def test_an_untyped_count_on_a_node_that_is_cut_in_part_is_not_guessed(built, query) -> None:
    gres = "gpu:nvidia_h100_1g.10gb:7,gpu:nvidia_h100:3"
    site = built(
        job(1, 0, 1, "gres/gpu=1"),
        job(2, 0, 1, "gres/gpu=2,gres/gpu:nvidia_h100=1,gres/gpu:nvidia_h100_3g.40gb=1"),
        slurm_nodes=f"NodeName=n1\n   Gres={gres}\n   State=IDLE\n   CfgTRES=cpu=8,gres/gpu=10\n",
    )
    assert query(site, "select attempt_id like 'c/1/%' from core.rejected_attempts") == [(True,)]
    assert held_hours(query, site) == {"2": Decimal("1.5")}


@pytest.mark.case("P27")
def test_shards_and_mps_are_parts_of_a_device(built, query) -> None:
    site = built(
        job(1, 0, 1, "gres/shard=4"),
        job(2, 0, 1, "gres/mps=50", "n2"),
        inventory=INVENTORY + "c,n1,p,h100,1,2026-01-01,,shard=16\nc,n2,p,h100,1,2026-01-01,,mps=100\n",
    )
    assert held_hours(query, site) == {"1": Decimal("0.25"), "2": Decimal("0.5")}
    assert query(site, "select accelerators from mart.attempts order by job_id") == [
        (Decimal("0.25"),),
        (Decimal("0.5"),),
    ]


@pytest.mark.case("P27")
def test_what_a_node_is_divided_into_may_come_from_its_snapshot(built, query) -> None:
    node = "NodeName=n1\n   Gres=gpu:h100:2,shard:h100:32(S:0-1)\n   CfgTRES=cpu=8,gres/gpu=2,gres/shard=32\n"
    site = built(job(1, 0, 1, "gres/shard=4"), slurm_nodes=node)
    assert held_hours(query, site) == {"1": Decimal("0.25")}


@pytest.mark.case("P28")
@pytest.mark.parametrize("tres", ["gres/gpu=1", "gres/gpu:h100=1,gres/gpu=1"])
def test_replicas_of_a_device_are_parts_of_it(built, query, tres: str) -> None:
    site = built(
        *(job(number, 0, 1, tres) for number in range(1, 5)),
        inventory=INVENTORY + "c,n1,p,h100,1,2026-01-01,,replicas=4\n",
    )
    assert sum(held_hours(query, site).values()) == Decimal("1.0")


@pytest.mark.case("P29")
def test_accelerators_that_the_scheduler_does_not_account_for_are_an_error(make_site, build) -> None:
    node = "NodeName=n1\n   Gres=gpu:h100:8\n   State=IDLE\n   CfgTRES=cpu=8,mem=512G\n"
    toml = TOML + '\n[[sources]]\nkind = "slurm_nodes"\nfiles = "nodes.txt"\ncluster = "c"\n'
    line = "|".join(job(1, 0, 1, "cpu=8").get(name, "") for name in COLUMNS)
    site = make_site(toml, {"jobs.psv": f"{'|'.join(COLUMNS)}\n{line}\n", "nodes.txt": node})
    outcomes = build(site, "core.node_gres", "core.node_snapshots")
    (check,) = [each for each in outcomes["core.node_gres"].checks if each.name == "accelerators_are_accounted"]
    assert (check.is_blocking, check.has_passed, check.failed_rows) == (True, False, 1)


@pytest.mark.case("P30")
def test_accelerators_that_are_not_consumed_are_flagged(built, query) -> None:
    site = built(job(1, 0, 1, "cpu=1,gres/gpu=0", ReqTRES="cpu=1,gres/gpu=1"), job(2, 0, 1, "cpu=1"))
    rows = query(site, "select is_no_consume, accelerator_units from mart.attempts order by job_id")
    assert rows == [
        (True, 0),
        (False, 0),
    ]


@pytest.mark.case("P32")
def test_units_of_memory_are_binary(built, query) -> None:
    site = built(job(1, 0, 1, "cpu=1,gres/gpu=1,mem=64G"), job(2, 0, 1, "cpu=1,mem=65536M"), job(3, 0, 1, "cpu=1"))
    assert query(site, "select memory_mib from mart.attempts order by job_id") == [(65_536,), (65_536,), (None,)]


def test_a_slice_and_a_whole_device_share_a_node(built, query) -> None:
    site = built(
        job(1, 0, 1, "gres/gpu:nvidia_h100=1,gres/gpu:nvidia_h100_3g.40gb=1,gres/gpu=2"),
        inventory=INVENTORY + "c,n1,p,h100,2,2026-01-01,,3g.40gb=2\n",
    )
    assert held_hours(query, site) == {"1": Decimal("1.5")}
