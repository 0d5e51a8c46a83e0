"""The casebook of the accounting rules, end to end: each case's own numbers, from delivered files to published tables.

One site, a cluster for each case; a few cases that are about the whole site have one of their own.
"""

import re
import shutil
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from capacity_dagster.site_file import Site, load_site
from capacity_dagster.tables.catalogue import assets_folder

REPOSITORY = Path(__file__).parents[2]
HEADER = (
    "Cluster|JobIDRaw|JobID|Submit|Eligible|Start|End|ElapsedRaw|Suspended|State|Account|User|NNodes|AllocCPUS|ReqTRES"
    "|AllocTRES|NodeList|JobName"
)


def at(text: str) -> int:
    """Seconds since 1970 of a UTC time such as 2026-01-31T22:00, or of a day's beginning."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


class Landing:
    """Collects what is delivered."""

    def __init__(self) -> None:
        self.jobs: dict[str, list[str]] = defaultdict(list)
        self.events: list[str] = []
        self.reservations: list[str] = []
        self.inventory: list[str] = []
        self.teams: list[str] = []
        self.as_of: dict[str, str] = {}
        self.others: dict[str, str] = {}

    def installed(
        self, cluster: str, accelerators: int, since: str = "2025-01-01", until: str = "", **more: str
    ) -> None:
        values = {"node": "n1", "pool": "main", "model": "h100"} | more
        self.inventory.append(
            f"{cluster},{values['node']},{values['pool']},{values['model']},{accelerators},{since},{until}"
        )

    def job(
        self,
        cluster: str,
        job_id: int | str,
        start: str | None,
        end: str | None,
        accelerators: int = 0,
        file: str = "jobs.psv",
        **changed: Any,
    ) -> None:
        """A record of sacct, with times since 1970; keywords replace its columns."""
        begins, ends = (None if time is None else at(time) for time in (start, end))
        values = {
            "Cluster": cluster,
            "JobIDRaw": job_id,
            "JobID": job_id,
            "Submit": begins,
            "Eligible": begins,
            "Start": "Unknown" if begins is None else begins,
            "End": "Unknown" if ends is None else ends,
            "ElapsedRaw": (ends - begins) if begins and ends else 0,
            "Suspended": "00:00:00",
            "State": "RUNNING" if ends is None else "COMPLETED",
            "Account": "research",
            "User": "ada",
            "NNodes": 1,
            "AllocCPUS": 8,
            "ReqTRES": f"cpu=8,gres/gpu={accelerators}",
            "AllocTRES": f"cpu=8,gres/gpu:h100={accelerators},gres/gpu={accelerators}" if accelerators else "cpu=8",
            "NodeList": "n1",
            "JobName": "job",
        } | changed
        self.jobs[f"{cluster}/{file}"].append("|".join(map(str, values.values())))

    def event(self, cluster: str, state: str, start: str, end: str, node: str = "n1") -> None:
        self.events.append(f"{cluster}|{node}|{state}|{start}:00|{end}:00|why")

    def files(self) -> dict[str, str]:
        def lines(header: str, records: list[str]) -> str:
            return "\n".join([header, *records]) + "\n"

        return {
            **{path: lines(HEADER, records) for path, records in self.jobs.items()},
            "events.psv": lines("Cluster|NodeName|State|TimeStart|TimeEnd|Reason", self.events),
            "reservations.psv": lines("Cluster|ID|Name|NodeNames|TimeStart|TimeEnd|Flags|TRES", self.reservations),
            "inventory.csv": lines(
                "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at", self.inventory
            ),
            "teams.csv": lines("cluster,account,user,team,valid_from,valid_to", self.teams),
            **{f"{cluster}/as_of.txt": f"{time}\n" for cluster, time in self.as_of.items()},
            **self.others,
        }

    def site(self, folder: Path, first_day: str, zone: str = "UTC", more: str = "") -> Site:
        """Writes the landing and its site file; clusters are those that an as_of is declared for."""
        kinds = (
            ("slurm_jobs", "*/jobs*"),
            ("slurm_node_events", "events.psv"),
            ("slurm_reservations", "reservations.psv"),
            ("inventory", "inventory.csv"),
            ("org_mapping", "teams.csv"),
        )
        toml = "\n".join(
            [
                f'[site]\nname = "casebook"\nfirst_day = {first_day}\nreporting_time_zone = "{zone}"',
                *(f"[clusters.{cluster}]" for cluster in self.as_of),
                "[accelerators.h100]\n[accelerators.a100]",
                *(f'[[sources]]\nkind = "{kind}"\nfiles = "{files}"\ntime_zone = "UTC"' for kind, files in kinds),
                more,
            ]
        )
        for path, content in self.files().items():
            file = folder / "landing" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        (folder / "site.toml").write_text(toml, encoding="utf-8")
        return load_site(folder)


def delivered() -> Landing:
    """Everything of the cases that share a site; its first day is 2026-01-31."""
    land = Landing()
    # Time.
    land.as_of["p01"] = "2026-02-02"
    land.installed("p01", 8)
    land.job("p01", 1, "2026-01-31T22:00", "2026-02-01T04:00", 8)
    land.as_of["p02"] = "2026-03-05"
    land.installed("p02", 1, since="2026-03-03")
    land.job("p02", 1, "2026-03-03T23:00", "2026-03-04T00:00", 1)
    land.as_of["p05"] = "2026-02-12T06:00:00Z"
    land.installed("p05", 64)
    land.job("p05", 1, "2026-02-02T06:00", None, 64)
    land.as_of["p07"] = "2026-02-05"
    land.installed("p07", 8)
    for day in range(2, 6):
        end = "2026-02-04T12:00" if day == 5 else None
        land.job("p07", 1, "2026-02-01T12:00", end, 8, file=f"pull-2026020{day}.psv")
    # Identity and attempts.
    land.as_of["p10"] = "2026-02-03"
    land.installed("p10", 16)
    land.job("p10", 1, "2026-02-01T00:00", "2026-02-01T10:00", 16, State="REQUEUED")
    land.job("p10", 1, "2026-02-01T12:00", "2026-02-01T18:00", 16, Submit=at("2026-02-01T10:00"))
    land.as_of["p11"] = "2026-02-03"
    land.installed("p11", 32)
    land.job("p11", 1, "2026-02-01T00:00", "2026-02-01T04:00", 32, State="RESIZING")
    land.job("p11", 1, "2026-02-01T00:00", "2026-02-01T16:00", 8, Submit=at("2026-02-01T04:00"))
    land.as_of["p13"] = "2026-02-03"
    land.installed("p13", 8)
    land.job("p13", 12728301, "2017-05-01T00:00", "2017-05-01T03:00", 8, State="FAILED")
    land.job("p13", 12728301, "2026-02-01T00:00", "2026-02-01T05:00", 8)
    land.as_of["p14"] = "2026-02-03"
    land.installed("p14", 8)
    for step in ("", ".batch", ".extern", ".0"):
        land.job("p14", f"7{step}", "2026-02-01T00:00", "2026-02-01T10:00", 8)
    land.as_of["p18"] = "2026-02-03"
    land.job("p18", 1, "2026-02-01T00:00", "2026-02-01T01:00", State="CANCELLED by 1234")
    land.job("p18", 2, "2026-02-01T00:00", "2026-02-01T01:00", State="COMPLETED+")
    land.as_of["p19"] = "2026-02-03"
    land.installed("p19", 8)
    land.job("p19", 1, "2026-02-01T10:00", "2026-02-01T09:00", 8, ElapsedRaw=0)
    land.as_of["p20"] = "2026-02-03"
    land.installed("p20", 8)
    land.job("p20", 1, "2026-02-01T00:00", "2026-02-01T01:00", 4, JobName="a|b")
    land.job("p20", 2, "2026-02-01T00:00", "2026-02-01T01:00", 4, JobName="two\nlines")
    land.as_of["p21"] = "2026-02-03"
    land.installed("p21", 4)
    land.job("p21", 1, "2026-02-01T00:00", "2026-02-01T10:00", 4, AllocCPUS=32, ElapsedRaw=21_600, Suspended="04:00:00")
    # Resource strings.
    land.as_of["p22"] = "2026-02-03"
    land.installed("p22", 8)
    land.job("p22", 1, "2026-02-01T00:00", "2026-02-01T01:00", AllocTRES="cpu=8,gres/gpu=8,gres/gpu:h100=8")
    land.as_of["p23"] = "2026-02-03"
    land.installed("p23", 4)
    land.installed("p23", 4, model="a100")
    land.job("p23", 1, "2026-02-01T00:00", "2026-02-01T01:00", AllocTRES="cpu=8,gres/gpu:a100=2,gres/gpu:h100=4")
    land.as_of["p24"] = "2026-02-03"
    land.installed("p24", 8)
    land.job("p24", 1, "2026-02-01T00:00", "2026-02-01T01:00", AllocTRES="cpu=8,gres/gpu=8")
    land.as_of["p31"] = "2026-02-03"
    land.installed("p31", 8)
    land.job("p31", 1, "2026-02-01T00:00", "2026-02-01T01:00", 8, ReqTRES="cpu=1,gres/gpu=1", AllocCPUS=128)
    # Capacity.
    land.as_of["p37"] = "2026-02-02"
    land.installed("p37", 1_000, since="2026-02-01", pool="large")
    land.installed("p37", 10, since="2026-02-01", pool="small", node="n2")
    land.job("p37", 1, "2026-02-01T00:00", "2026-02-02T00:00", 500)
    land.job("p37", 2, "2026-02-01T00:00", "2026-02-02T00:00", 10, NodeList="n2")
    land.as_of["p38"] = "2026-03-03"
    land.installed("p38", 100, since="2026-02-01", until="2026-02-16")
    land.installed("p38", 200, since="2026-02-16")
    land.job("p38", 1, "2026-02-01T00:00", "2026-02-16T00:00", 100)
    land.job("p38", 2, "2026-02-16T00:00", "2026-03-03T00:00", 140)
    land.as_of["p39"] = "2026-02-02"
    land.installed("p39", 90, since="2026-02-01")
    land.installed("p39", 10, since="2026-02-01", node="n2")
    land.event("p39", "DOWN", "2026-02-01T00:00", "2026-02-02T00:00", node="n2")
    land.job("p39", 1, "2026-02-01T00:00", "2026-02-02T00:00", 85)
    land.job("p39", 2, "2026-02-01T00:00", "2026-02-01T12:00", 1)
    land.as_of["p40"] = "2026-02-02"
    land.installed("p40", 8)
    land.job("p40", 1, "2026-02-01T00:00", "2026-02-01T00:01")
    land.event("p40", "DOWN", "2026-02-01T00:00", "2026-02-01T10:00")
    land.event("p40", "DRAIN", "2026-02-01T05:00", "2026-02-01T12:00")
    land.as_of["p41"] = "2026-02-02"
    land.installed("p41", 8)
    land.event("p41", "DRAIN", "2026-02-01T02:00", "2026-02-01T22:00")
    land.job("p41", 1, "2026-02-01T00:00", "2026-02-01T22:00", 1)
    land.as_of["p42"] = "2026-02-01T01:00:00Z"
    land.job("p42", 1, "2026-02-01T00:00", "2026-02-01T01:00", 8, NodeList="n1")
    land.others["p42/nodes.txt"] = "\n".join(
        f"NodeName=n{number} CPUTot=64\n   State=IDLE\n   Partitions=gpu,preempt\n"
        "   CfgTRES=cpu=64,mem=1000G,gres/gpu=8,gres/gpu:h100=8\n"
        for number in range(1, 11)
    )
    land.as_of["p43"] = "2026-02-02"
    land.installed("p43", 64)
    land.reservations.append("p43|1|course|n1|2026-02-01T00:00:00|2026-02-02T00:00:00|SPEC_NODES|cpu=512")
    land.job("p43", 1, "2026-02-01T00:00", "2026-02-01T08:00", 64)
    land.as_of["p44"] = "2026-02-02"
    land.installed("p44", 8)
    land.job("p44", 1, "2026-02-01T00:00", "2026-02-01T01:00", 6)
    land.job("p44", 2, "2026-02-01T00:00", "2026-02-01T01:00", 4)
    # Operations.
    land.as_of["p75"] = "2026-02-02"
    land.installed("p75", 8)
    for file in ("jobs-one.psv", "jobs-two.psv"):
        land.job("p75", 1, "2026-02-01T00:00", "2026-02-01T10:00", 8, file=file)
    land.as_of["p77"] = "2026-02-18"
    land.installed("p77", 10)
    land.teams += ["p77,,ada,a,2026-01-01,2026-02-15", "p77,,ada,b,2026-02-15,"]
    land.job("p77", 1, "2026-02-14T00:00", "2026-02-14T01:00", 10)
    land.job("p77", 2, "2026-02-16T00:00", "2026-02-16T01:00", 10)
    land.as_of["p78"] = "2026-02-02"
    land.installed("p78", 100)
    land.teams.append("p78,research,,science,2026-01-01,")
    land.job("p78", 1, "2026-02-01T00:00", "2026-02-01T01:00", 93)
    land.job("p78", 2, "2026-02-01T00:00", "2026-02-01T01:00", 7, Account="default")
    return land


PULLS = """
[[sources]]
kind = "slurm_jobs"
cluster = "p07"
files = "p07/pull-*"
collected_at = 'pull-(?P<at>[0-9]{8})'
[[sources]]
kind = "slurm_nodes"
cluster = "p42"
files = "p42/nodes.txt"
"""


@pytest.fixture(scope="module")
def casebook(tmp_path_factory: pytest.TempPathFactory, build) -> Site:
    site = delivered().site(tmp_path_factory.mktemp("casebook") / "site", "2026-01-31", more=PULLS)
    outcomes = build(site)
    assert [
        (name, check.name)
        for name, outcome in outcomes.items()
        for check in outcome.checks
        if check.is_blocking and not check.has_passed
    ] == []
    return site


@pytest.fixture(scope="module")
def asked(casebook: Site, query):
    """asked(sql): the rows of a query about the site of the cases."""
    return lambda sql: query(casebook, sql)


def hours(asked, cluster: str, column: str = "allocated_hours", where: str = "true") -> float:
    """A sum over the fleet's daily report."""
    sql = f"select sum({column}) from report.fleet_efficiency_daily where cluster = '{cluster}' and {where}"
    return float(asked(sql)[0][0])


def held_hours(asked, cluster: str) -> dict[str, float]:
    """What attempts held, by how they ended."""
    return {
        end_class: float(held)
        for end_class, held in asked(
            "select end_class, sum(accelerators * held_seconds) / 3600 from mart.attempts "
            f"where cluster = '{cluster}' group by end_class"
        )
    }


def team_hours(asked, cluster: str) -> dict[str, float]:
    """Allocated hours by team."""
    sql = f"select team, sum(allocated_hours) from report.team_efficiency_daily where cluster = '{cluster}' group by 1"
    return {team: float(each) for team, each in asked(sql)}


def states(asked, cluster: str) -> dict[str, float]:
    """Accelerator-hours of the ledger by state; what no queued shape fits is free all the same."""
    return {
        state: float(each)
        for state, each in asked(
            "select case when state = 'stranded' then 'idle_schedulable' else state end, "
            f"sum(accelerator_seconds) / 3600 from mart.capacity_ledger_hourly where cluster = '{cluster}' group by 1"
        )
    }


@pytest.fixture(scope="module")
def published_macros(casebook: Site, tmp_path_factory: pytest.TempPathFactory):
    """The macros that travel with the published file, over a copy of the mart."""
    copy = tmp_path_factory.mktemp("copy") / "capacity.duckdb"
    shutil.copyfile(casebook.work / "capacity.duckdb", copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute((assets_folder() / "published" / "macros.sql").read_text(encoding="utf-8"))
        yield lambda sql: connection.execute(sql).fetchall()


@pytest.mark.case("P01")
def test_a_job_over_a_months_end_is_split_by_overlap(asked) -> None:
    assert hours(asked, "p01", where="usage_date < date '2026-02-01'") == 16
    assert hours(asked, "p01", where="usage_date >= date '2026-02-01'") == 32


@pytest.mark.case("P02")
def test_a_job_that_ends_at_midnight_does_not_run_on_the_next_day(asked) -> None:
    assert hours(asked, "p02", where="usage_date = date '2026-03-03'") == 1
    assert hours(asked, "p02", where="usage_date = date '2026-03-04'") == 0
    assert asked(
        "select usage_date, jobs_started, jobs_ended, wall_hours from report.team_efficiency_daily "
        "where cluster = 'p02'"
    ) == [(date(2026, 3, 3), 1, 1, Decimal(1))]


@pytest.mark.case("P05")
def test_what_still_runs_is_held_until_as_of(asked) -> None:
    assert held_hours(asked, "p05") == {"open": 15_360}
    assert hours(asked, "p05") == 15_360


@pytest.mark.case("P07")
def test_a_job_in_four_daily_pulls_is_one_attempt(asked) -> None:
    assert asked("select state, is_open, held_seconds from mart.attempts where cluster = 'p07'") == [
        ("COMPLETED", False, 3 * 86_400)
    ]
    assert hours(asked, "p07") == 8 * 72


@pytest.mark.case("P08")
def test_the_documented_command_says_from_when_to_when() -> None:
    page = (REPOSITORY / "docs" / "sources" / "slurm_jobs.md").read_text(encoding="utf-8")
    command = re.search(r"sacct (?:[^\n]*\\\n)*[^\n]*", page.partition("```sh")[2])
    assert command is not None
    assert re.search(r" -S \S+", command[0])
    assert re.search(r" -E \S+", command[0])


@pytest.mark.case("P10")
def test_a_requeued_run_held_what_it_held(asked) -> None:
    assert held_hours(asked, "p10") == {"requeued": 160, "completed": 96}
    assert hours(asked, "p10") == 256


@pytest.mark.case("P11")
def test_a_job_that_shrinks_holds_each_size_for_its_time(asked) -> None:
    assert held_hours(asked, "p11") == {"resized_segment": 128, "completed": 96}
    assert hours(asked, "p11") == 224
    assert hours(asked, "p11", "overcommit_hours") == 0


@pytest.mark.case("P13")
def test_a_recycled_job_id_is_another_job(asked) -> None:
    assert asked("select year(submitted_at), state from mart.attempts where cluster = 'p13' order by 1") == [
        (2017, "FAILED"),
        (2026, "COMPLETED"),
    ]
    assert hours(asked, "p13") == 40


@pytest.mark.case("P14")
def test_steps_hold_nothing_besides_their_job(asked) -> None:
    assert held_hours(asked, "p14") == {"completed": 80}
    assert hours(asked, "p14") == 80


@pytest.mark.case("P18")
def test_a_state_is_its_first_word(asked) -> None:
    assert asked("select job_id, state, end_class from mart.attempts where cluster = 'p18' order by 1") == [
        ("1", "CANCELLED", "cancelled"),
        ("2", "COMPLETED", "completed"),
    ]
    assert asked("select state_detail from core.attempts where cluster = 'p18' and job_id = '1'") == [
        ("CANCELLED by 1234",)
    ]


@pytest.mark.case("P19")
def test_an_end_before_the_start_is_rejected_and_valued(asked) -> None:
    assert asked("select count(*) from mart.attempts where cluster = 'p19'") == [(0,)]
    assert asked("select reject_reason from landing.rejected where record_text like 'p19|%'") == [("end_before_start",)]
    assert asked(
        "select sum(rows_received), sum(rows_rejected), sum(rejected_hours), sum(rows_unvaluable) "
        "from report.data_trust_daily where cluster = 'p19' and source = 'slurm_jobs'"
    ) == [(1, 1, Decimal(8), 0)]


@pytest.mark.case("P20")
def test_free_text_may_hold_delimiters_and_line_breaks(asked) -> None:
    assert asked("select job_name from mart.attempts where cluster = 'p20' order by job_id") == [
        ("a|b",),
        ("two\nlines",),
    ]
    assert hours(asked, "p20") == 8


@pytest.mark.case("P21")
def test_suspension_frees_cpus_and_no_accelerators(asked) -> None:
    assert hours(asked, "p21") == 40
    assert asked("select cpu_seconds / 3600 from mart.attempts where cluster = 'p21'") == [(192,)]
    assert asked("select sum(cpu_hours) from report.team_efficiency_daily where cluster = 'p21'") == [(192,)]


@pytest.mark.parametrize(
    ("cluster", "accelerators", "model"),
    [
        pytest.param("p22", 8, "h100", marks=pytest.mark.case("P22")),
        pytest.param("p23", 6, "mixed", marks=pytest.mark.case("P23")),
        pytest.param("p24", 8, "h100", marks=pytest.mark.case("P24")),
    ],
)
def test_typed_and_untyped_counts(asked, cluster: str, accelerators: int, model: str) -> None:
    assert asked(f"select accelerators, accelerator_model from mart.attempts where cluster = '{cluster}'") == [
        (accelerators, model)
    ]
    assert hours(asked, cluster) == accelerators
    assert hours(asked, cluster, "overcommit_hours + unplaced_hours") == 0


@pytest.mark.case("P31")
def test_what_is_allocated_counts_and_not_what_was_asked_for(asked) -> None:
    assert asked("select accelerators, accelerators_requested from mart.attempts where cluster = 'p31'") == [(8, 1)]
    assert hours(asked, "p31") == 8


@pytest.mark.case("P37")
def test_a_rate_of_the_fleet_is_not_a_mean_of_rates(published_macros) -> None:
    told = published_macros(
        "select sum(allocated_hours), sum(installed_hours), any_value(allocation_rate_installed) "
        "from report.grouped_efficiency('all', false) where cluster = 'p37'"
    )
    assert [float(each) for each in told[0]] == pytest.approx([12_240, 24_240, 510 / 1010])
    assert round(float(told[0][2]) * 100, 3) == 50.495


@pytest.mark.case("P38")
def test_a_fleet_that_grows_is_counted_by_the_second(published_macros) -> None:
    told = published_macros(
        "select allocated_hours, installed_hours, allocation_rate_installed from report.efficiency('all') "
        "where cluster = 'p38'"
    )
    assert [tuple(map(float, row)) for row in told] == [(86_400, 108_000, pytest.approx(0.8))]


@pytest.mark.case("P39")
def test_a_rate_names_its_denominator(asked) -> None:
    assert hours(asked, "p39", "down_unplanned_hours") == 240
    assert hours(asked, "p39") == 2_052
    assert asked(
        "select allocation_rate_installed, allocation_rate_available from report.fleet_efficiency_daily "
        "where cluster = 'p39' and installed_hours > 0"
    ) == [(pytest.approx(0.855), pytest.approx(0.95))]


@pytest.mark.case("P40")
def test_overlapping_events_are_united(asked) -> None:
    told = states(asked, "p40")
    assert (told["down_unplanned"], told["draining_unusable"]) == (80, 16)
    assert hours(asked, "p40", "installed_hours - available_hours") == 96


@pytest.mark.case("P41")
def test_what_is_free_on_a_draining_node_cannot_be_used(asked) -> None:
    assert states(asked, "p41")["draining_unusable"] == 140
    assert hours(asked, "p41", "draining_hours") == 140
    assert hours(asked, "p41") == 22


@pytest.mark.case("P42")
def test_a_node_in_two_partitions_is_installed_once(asked) -> None:
    assert hours(asked, "p42", "installed_hours") == 80
    assert asked("select count(distinct node) from mart.node_timeline where cluster = 'p42'") == [(10,)]


@pytest.mark.case("P43")
def test_what_is_reserved_and_not_used_is_not_allocated(asked) -> None:
    told = states(asked, "p43")
    assert (told["reserved_idle"], told["allocated"]) == (1_024, 512)
    assert hours(asked, "p43", "reserved_idle_hours") == 1_024


@pytest.mark.case("P44")
def test_more_than_a_node_has_is_overcommitted(asked) -> None:
    assert hours(asked, "p44") == 8
    assert hours(asked, "p44", "overcommit_hours") == 2
    assert hours(asked, "p44", "allocation_rate_available", "allocated_hours > 0") <= 1


@pytest.mark.case("P75")
def test_a_file_that_is_delivered_twice_counts_once(asked) -> None:
    assert held_hours(asked, "p75") == {"completed": 80}
    assert asked(
        "select sum(rows_received), sum(rows_accepted), sum(rows_superseded) from report.data_trust_daily "
        "where cluster = 'p75' and source = 'slurm_jobs'"
    ) == [(2, 1, 1)]


@pytest.mark.case("P77")
def test_a_user_belongs_to_the_team_of_the_time(asked) -> None:
    assert team_hours(asked, "p77") == {"a": 10, "b": 10}


@pytest.mark.case("P78")
def test_what_belongs_to_nobody_is_shown(asked) -> None:
    assert team_hours(asked, "p78") == {"science": 93, "unattributed": 7}


@pytest.mark.case("P09")
def test_a_job_that_is_learned_of_late_restates_each_of_its_days(tmp_path: Path, build, query) -> None:
    land = Landing()
    land.as_of["late"] = "2026-02-12"
    land.installed("late", 8)
    land.job("late", 1, "2026-02-11T00:00", "2026-02-11T01:00", 1)
    site = land.site(tmp_path / "site", "2026-01-28")
    build(site)
    land.job("late", 2, "2026-02-01T00:00", "2026-02-11T00:00", 4)
    land.site(tmp_path / "site", "2026-01-28")
    outcomes = build(site)
    days = [date(2026, 2, 1) + timedelta(days=number) for number in range(10)]
    for table in ("mart.capacity_ledger_hourly", "report.fleet_efficiency_daily", "report.team_efficiency_daily"):
        assert outcomes[table].days == days
    restated = (
        "select usage_date, allocated_hours from report.fleet_efficiency_daily where allocated_hours > 1 order by 1"
    )
    assert query(site, restated) == [(day, 96) for day in days]


# Days that are not of 24 hours from a UTC midnight.

LOCAL = """
[[sources]]
kind = "slurm_jobs"
cluster = "p04"
files = "p04/local.psv"
time_zone = "America/Los_Angeles"
"""


@pytest.fixture(scope="module")
def pacific(tmp_path_factory: pytest.TempPathFactory, build) -> Site:
    """Reports by days of Los Angeles, over the nights on which its clocks change."""
    land = Landing()
    land.as_of["p03"] = "2026-11-03T08:00:00Z"
    for first, last in (("2026-03-08T08:00", "2026-03-09T07:00"), ("2026-11-01T07:00", "2026-11-02T08:00")):
        land.installed("p03", 100, since=f"{first}:00Z", until=f"{last}:00Z")
    land.job("p03", 1, "2026-03-08T09:00", "2026-11-02T01:00", 10)
    land.as_of["p04"] = "2026-11-03T08:00:00Z"
    land.installed("p04", 8, since="2026-10-31T07:00:00Z")
    land.job("p04", 1, "2026-11-01T08:30", "2026-11-01T09:45", 4)
    local: list[tuple[int, str, str, int | str, str]] = [
        (2, "2026-11-01T01:30:00", "2026-11-01T01:45:00", 4_500, "00:00:00"),  # PDT, PST
        (3, "2026-11-01T01:30:00", "2026-11-01T01:45:00", 900, "00:00:00"),  # both PDT, or both PST
        (4, "2026-11-01T01:45:00", "2026-11-01T01:15:00", 1_800, "00:00:00"),  # PDT, PST: it ends on an earlier clock
        (5, "2026-11-01T01:45:00", "2026-11-01T01:15:00", "", "00:00:00"),
        (6, "2026-11-01T00:30:00", "2026-11-01T01:30:00", 7_200, "00:00:00"),  # PST
        (7, "2026-11-01T00:30:00", "2026-11-01T01:30:00", 3_600, "00:00:00"),  # PDT
        (8, "2026-11-01T01:30:00", "2026-11-01T03:30:00", 7_200, "00:00:00"),  # PST
        (9, "2026-11-01T01:30:00", "2026-11-01T03:30:00", 7_200, "01:00:00"),  # PDT, an hour of it suspended
        (10, "2026-11-01T01:30:00", "2026-11-01T01:45:00", "", "00:00:00"),  # nobody knows
    ]
    land.others["p04/local.psv"] = "\n".join(
        [
            "Cluster|JobIDRaw|Submit|Start|End|ElapsedRaw|Suspended|State|AllocTRES|NodeList",
            *(
                f"p04|{number}|2026-10-31T12:00:00|{start}|{end}|{elapsed}|{suspended}|COMPLETED|gres/gpu=1|n1"
                for number, start, end, elapsed, suspended in local
            ),
        ]
    ) + "\n"  # fmt: skip
    site = land.site(tmp_path_factory.mktemp("pacific") / "site", "2026-03-08", "America/Los_Angeles", LOCAL)
    build(site)
    return site


@pytest.mark.case("P03")
def test_days_on_which_the_clocks_change_have_23_and_25_hours(pacific: Site, query) -> None:
    assert query(
        pacific,
        "select usage_date, installed_hours, allocated_hours from report.fleet_efficiency_daily "
        "where cluster = 'p03' and installed_hours > 0 order by 1",
    ) == [(date(2026, 3, 8), 2_300, 220), (date(2026, 11, 1), 2_500, 180)]


@pytest.mark.case("P04")
def test_a_local_time_that_comes_twice_has_the_meaning_that_the_elapsed_time_allows(pacific: Site, query) -> None:
    minutes = dict(
        query(pacific, "select cast(job_id as integer), held_seconds / 60 from mart.attempts where cluster = 'p04'")
    )
    assert minutes == {1: 75, 2: 75, 3: 15, 4: 30, 5: 30, 6: 120, 7: 60, 8: 120, 9: 180, 10: 15}


@pytest.mark.case("P04")
def test_a_local_time_whose_meaning_nobody_knows_is_reported(pacific: Site, query) -> None:
    check = assets_folder() / "core" / "attempts" / "checks" / "local_times_have_one_meaning.sql"
    sql = check.read_text(encoding="utf-8").replace("records_in_scope", "raw.slurm_jobs")
    found = query(pacific, f"select cast(job_id as integer) from ({sql}) order by 1")
    assert found == [(3,), (10,)]


@pytest.mark.parametrize(
    ("zone", "first_day", "hours_of_days"),
    [
        ("Asia/Kolkata", "2026-02-01", [24, 24, 24]),
        ("America/St_Johns", "2026-03-07", [24, 23, 24]),
        ("Australia/Lord_Howe", "2026-04-04", [24, 24.5, 24]),
        ("America/Havana", "2026-10-31", [24, 25, 24]),
        ("America/Santiago", "2026-09-05", [24, 23, 24]),
    ],
)
def test_the_days_of_a_zone_sum_to_the_whole(
    tmp_path: Path, build, query, zone: str, first_day: str, hours_of_days: list[float]
) -> None:
    """Each of a zone's days is as long as its clocks say, and together they are the time that went by."""
    land = Landing()
    first = datetime.fromisoformat(first_day)
    land.as_of["zone"] = f"{first + timedelta(days=5):%Y-%m-%d}"
    land.installed("zone", 3)
    start = f"{first - timedelta(days=1):%Y-%m-%dT%H:%M}"
    land.job("zone", 1, start, f"{first + timedelta(days=4):%Y-%m-%dT%H:%M}", 2)
    site = land.site(tmp_path / "site", first_day, zone)
    build(site)
    daily = query(
        site, "select installed_hours, allocated_hours from report.fleet_efficiency_daily order by usage_date"
    )
    assert [float(installed) for installed, _ in daily[:3]] == [3 * each for each in hours_of_days]
    assert [float(allocated) for _, allocated in daily[:3]] == [2 * each for each in hours_of_days]
    whole = query(site, "select (epoch_us(as_of_at) - epoch_us(first_at)) // 1000000 from core.clusters")[0][0]
    assert sum(installed for installed, _ in daily) * 3_600 == 3 * whole
    by_hour = "select sum(accelerator_seconds) from mart.capacity_ledger_hourly"
    assert query(site, by_hour) == [(3 * whole,)]
