"""A university's cluster as Jobanalyzer exports it: cells `Key=value`, and an inventory that disagrees with the jobs.

Expectations are computed here from the delivered files.
"""

import csv
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from capacity_dagster.site_file import Site, load_site

MIG_NODE = "gpu-10"
DOCUMENTED = Path(__file__).parents[2] / "docs" / "sources" / "inventory.md"

SITE = """
[site]
name = "fox"
first_day = 2025-05-02

[clusters.fox]
domain = "fox"
node_aliases = { gpu-4-ib = "gpu-4", gpu-5-ib = "gpu-5", gpu-6-ib = "gpu-6" }

[accelerators.a100]
aliases = ["NVIDIA A100-PCIE-40GB", "NVIDIA A100 80GB PCIe"]
[accelerators.h100]
aliases = ["NVIDIA H100 PCIe"]
[accelerators.rtx3090]
aliases = ["rtx30", "NVIDIA GeForce RTX 3090"]
[accelerators.a40]
aliases = ["NVIDIA A40"]

[[sources]]
kind = "slurm_jobs"
cluster = "fox"
files = "slurm-sacct.csv"

[[sources]]
kind = "inventory"
files = "inventory.csv"
"""


def records(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "fox" / "slurm-sacct.csv").open(newline="", encoding="utf-8") as stream:
        return [dict(cell.split("=", 1) for cell in row) for row in csv.reader(stream)]


def held(record: dict[str, str]) -> tuple[int, datetime, datetime]:
    """How many GPUs a record held, from when to when, UTC."""
    match = re.search(r"gres/gpu=([0-9]+)", record.get("AllocTRES", ""))
    start, end = (datetime.fromisoformat(record[name]).astimezone(UTC) for name in ("Start", "End"))
    return int(match[1]) if match else 0, start, end


@pytest.fixture(scope="module")
def fox(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, build) -> Site:
    """The site, its inventory made from the cluster's configuration by the query of the documentation, and completed:
    one node is in MIG mode, and nobody says with which profiles."""
    folder = tmp_path_factory.mktemp("fox")
    landing = folder / "landing"
    landing.mkdir()
    (landing / "slurm-sacct.csv").write_bytes((shared_data / "fox" / "slurm-sacct.csv").read_bytes())
    (query,) = re.findall(r"```sql\n(copy \(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), re.DOTALL)
    query = query.replace("'fox.educloud", f"'{shared_data}/fox/fox.educloud")
    query = query.replace("'inventory.csv'", f"'{landing}/inventory.csv'")
    with duckdb.connect() as connection:
        connection.execute(query)
    lines = (landing / "inventory.csv").read_text(encoding="utf-8").splitlines()
    completed = [
        lines[0] + ",sharing",
        *(line + (",mig" if f",{MIG_NODE}.fox," in line else ",") for line in lines[1:]),
    ]
    (landing / "inventory.csv").write_text("\n".join(completed) + "\n", encoding="utf-8")
    (folder / "site.toml").write_text(SITE, encoding="utf-8")
    site = load_site(folder)
    build(site)
    return site


def test_the_documented_query_makes_the_inventory(fox: Site) -> None:
    with (fox.landing / "inventory.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    named = {row["node"]: (row["accelerator_model"], int(row["accelerators"])) for row in rows}
    assert len(named) == len(rows) == 3 + 3 * 3 + 2 + 2 + 3
    assert named["gpu-9.fox"] == named["gpu-10.fox"] == ("NVIDIA H100 PCIe", 2)
    assert named["gpu-4"] == named["gpu-4.fox"] == named["gpu-4-ib.fox"] == ("NVIDIA GeForce RTX 3090", 4)
    assert named["gpu-8.fox"] == ("NVIDIA A100 80GB PCIe", 4)
    assert named["gpu-12.fox"] == ("NVIDIA A40", 4)


def test_every_record_is_read_and_steps_are_known_as_steps(fox: Site, query, shared_data: Path) -> None:
    delivered = records(shared_data)
    steps = sum("." in each["JobIDRaw"] for each in delivered)
    assert (len(delivered), len(delivered) - steps) == (876, 294)
    assert query(fox, "select count(*), count(*) filter (where is_step) from raw.slurm_jobs") == [(876, steps)]
    assert query(
        fox, "select state, count(*) from raw.slurm_jobs where not is_step group by all order by all"
    ) == sorted(Counter(each["State"] for each in delivered if "." not in each["JobIDRaw"]).items())
    assert query(
        fox,
        "select distinct rows_received - rows_accepted - rows_rejected - rows_superseded from report.data_trust_daily",
    ) == [(0,)]


def test_gpu_seconds_held_are_those_of_the_records(fox: Site, query, shared_data: Path) -> None:
    total = 0
    days: dict[datetime, int] = defaultdict(int)
    for record in records(shared_data):
        if "." not in record["JobIDRaw"]:
            gpus, start, end = held(record)
            total += gpus * round((end - start).total_seconds())
            day = start.replace(hour=0, minute=0, second=0)
            while day < end:
                following = day + timedelta(days=1)
                days[day] += gpus * round((min(end, following) - max(start, day)).total_seconds())
                day = following
    assert (total, sorted(days.values())) == (140_399, [42_608, 97_791])
    relation = """
        (
            select
                jobs.started_at,
                jobs.ended_at,
                (select coalesce(sum(tres.accelerators_counted), 0) from core.tres as tres
                 where tres.tres = jobs.allocated_tres) as accelerators
            from raw.slurm_jobs as jobs
            where not jobs.is_step
        )
    """
    assert query(fox, f"select sum(accelerators * seconds_between(started_at, ended_at)) from {relation}") == [(total,)]
    assert query(
        fox,
        f"""
        select day, sum(accelerators * greatest(0, seconds_between(
            greatest(started_at, day), least(ended_at, day + interval 1 day))))
        from {relation}
        cross join (values (timestamp '2025-05-02'), (timestamp '2025-05-03')) as days (day)
        group by day order by day
        """,
    ) == [(day.replace(tzinfo=None), seconds) for day, seconds in sorted(days.items())]


def test_what_was_held_outside_the_mig_node_is_placed_on_the_schedulers_names(
    fox: Site, query, shared_data: Path
) -> None:
    expected: dict[str, int] = defaultdict(int)
    for record in records(shared_data):
        if "." not in record["JobIDRaw"]:
            gpus, start, end = held(record)
            expected[record["NodeList"]] += gpus * round((end - start).total_seconds())
    assert expected.pop(MIG_NODE) == 14_388
    assert sum(expected.values()) == 126_011
    placed = query(
        fox,
        "select nodes.node, sum(nodes.accelerator_units * attempts.held_seconds) // 84000 "
        "from mart.attempt_nodes as nodes inner join mart.attempts as attempts using (attempt_id) "
        f"where nodes.node <> '{MIG_NODE}' group by all",
    )
    assert dict(placed) == {node: seconds for node, seconds in expected.items() if seconds}


@pytest.mark.case("P26")
def test_what_the_mig_node_held_is_rejected_and_valued(fox: Site, query) -> None:
    assert query(
        fox,
        "select distinct node_list, reject_reason, sum(accelerator_seconds_counted) over () "
        "from core.rejected_attempts",
    ) == [(MIG_NODE, "undeclared_profile", 14_388)]
    assert query(fox, f"select count(*) from mart.attempt_nodes where node = '{MIG_NODE}'") == [(0,)]
    assert query(
        fox, "select round(sum(rejected_hours) * 3600) from report.data_trust_daily where source = 'slurm_jobs'"
    ) == [(14_388,)]
    assert query(fox, "select sum(held_unit_seconds) from mart.attempt_hours") == [(126_011 * 84_000,)]


def test_the_inventorys_disagreements_are_reported_not_resolved(fox: Site, query, shared_data: Path) -> None:
    on_gpu_9 = {each["AllocTRES"] for each in records(shared_data) if each.get("NodeList") == "gpu-9"}
    assert all("gres/gpu:a100=1" in tres for tres in on_gpu_9), "the jobs say a100"
    conflicts = query(
        fox,
        "select node, accelerator_model, conflict, conflict_detail, inventory_accelerators, scheduler_accelerators "
        "from core.inventory_conflicts order by all",
    )
    assert conflicts == [
        *(
            (
                f"gpu-{number}",
                "rtx3090",
                "several_names",
                f"gpu-{number}, gpu-{number}-ib.fox, gpu-{number}.fox",
                4,
                None,
            )
            for number in (4, 5, 6)
        ),
        ("gpu-9", "a100", "allocated_model", "the inventory has 2 h100", 0, 1),
    ]
    # The inventory rules: what was held on gpu-9 counts as h100; a node with three names counts once.
    assert query(fox, "select distinct accelerator_model from mart.attempt_nodes where node = 'gpu-9'") == [("h100",)]
    assert query(
        fox,
        "select count(*), cast(sum(installed_accelerators) as bigint) from core.inventory where node like 'gpu-4%'",
    ) == [(1, 4)]


def test_without_the_site_files_keys_no_name_is_matched(make_site, build, query, fox: Site, shared_data: Path) -> None:
    plain = re.sub(r"(domain|node_aliases) = .*\n", "", SITE)
    files = {name: (fox.landing / name).read_bytes() for name in ("slurm-sacct.csv", "inventory.csv")}
    site = make_site(plain, files)
    build(site, "core.inventory_conflicts", "core.inventory")
    assert query(site, "select node from core.inventory where node like 'gpu-9%'") == [("gpu-9.fox",)]
    assert query(site, "select distinct conflict, conflict_detail from core.inventory_conflicts order by all") == [
        ("several_names", f"gpu-{number}, gpu-{number}.fox") for number in (4, 5, 6)
    ]
