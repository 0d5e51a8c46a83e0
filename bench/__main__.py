"""Measures the product and other contenders on generated sites: `python -m bench`, from the repository's top.

Contenders, each in a process of its own, one after the other, on the same site:

- product: `capacity build` of everything, with contracts and checks;
- reference: `reference.py`, tuned by hand, which writes the same tables;
- tokenise: splits the same text and nothing else, the floor;
- polars, pandas: the report tables alone.

What they write is compared with what the product published. Then the product alone: one new day, and little memory.
Results go to `bench.json` as they come. Nothing is asserted about time, and figures of two runs are never compared.
"""

import argparse
import fcntl
import hashlib
import json
import math
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from bench.measure import measure
from capacity_dagster.demo.generated_bills import write_bills
from capacity_dagster.demo.generated_fleet import DAY, FIRST_DAY, beginning_of

ROOT = Path(__file__).parent.parent
CONTENDERS = ("product", "reference", "tokenise", "polars", "pandas")
PEERS = ("polars", "pandas")
SCENARIOS = ("new_day", "little_memory", "bills", "killed")
LITTLE_MEMORY = "450MB"
"""DuckDB's limit; the process takes about 600 MB besides."""
KILLS = 10
LARGEST_KILLED = 1_000_000
"""Attempts of the largest site on which builds are killed: each one takes as long as a build."""
CHARGES_PER_ATTEMPT = 0.3
"""On bills: three million a year beside ten million attempts."""
DATED_FILES = ("jobs", "node_events", "reservations")

GX_IMPORT = """
import json, time
import dagster, pandas, capacity_dagster.definitions
before = time.process_time()
import great_expectations
print(json.dumps(time.process_time() - before))
"""
"""What importing GX costs on top of what is imported anyway; the checks need it."""

out = Console(highlight=False, width=120)
Results = dict[str, Any]


class Bench:
    """One run: its folder, its results so far, and how commands are run."""

    def __init__(self, folder: Path, memory_limit: str, threads: int) -> None:
        self.folder = folder
        self.memory_limit = memory_limit
        self.threads = threads
        self.results: Results = {"machine": machine(), "versions": versions(), "sizes": [], "growth": {}}

    def write(self) -> None:
        """Writes what is known so far."""
        text = json.dumps(self.results, indent=1, sort_keys=True) + "\n"
        (self.folder / "bench.json").write_text(text, encoding="utf-8")

    def run(self, label: str, *command: str | Path) -> tuple[Results, str]:
        """(what a Python command used, what it said)."""
        output = self.folder / "last-output.txt"
        environment = {"PYTHONPATH": str(ROOT)}
        used = measure([sys.executable, *map(str, command)], output, label, environment)
        said = output.read_text(encoding="utf-8", errors="replace")
        if used.exit_code:
            out.print(f"{label} ended with exit code {used.exit_code}:\n{said[-2000:]}", markup=False)
        else:
            out.print(f"{label}: {used.cpu_seconds:,.1f} CPU s, {used.peak_bytes / 1e6:,.0f} MB", markup=False)
        return asdict(used), said

    def site(self, attempts: int, days: int) -> Path:
        """A generated site, which is only read; made where it is missing."""
        folder = self.folder / f"site-{attempts}-{days}"
        if not (folder / "site.toml").exists():
            shutil.rmtree(folder, ignore_errors=True)
            generate = ("--generate", "--attempts", str(attempts), "--days", str(days))
            self.run(f"generating {attempts:,} attempts", "-m", "capacity_dagster", "demo", "--dir", folder, *generate)
        return folder

    def build(self, label: str, site: Path) -> Results:
        """What `capacity build` of a site used; data is what its tables say, and the rest is orchestration."""
        before, judged_before = table_seconds(site), judging_seconds(site)
        used, _ = self.run(label, "-m", "capacity_dagster", "build", "--site", site)
        after, judged = table_seconds(site), judging_seconds(site)
        tables = {name: seconds for name, seconds in after.items() if before.get(name) != seconds}
        used["stages"] = dict(sorted(tables.items(), key=lambda item: -item[1]))
        used["data_cpu_seconds"] = round(sum(tables.values()), 3)
        used["gx_import_cpu_seconds"] = self.results["gx_import_cpu_seconds"]
        used["gx_stages"] = {name: seconds for name, seconds in judged.items() if judged_before.get(name) != seconds}
        used["gx_cpu_seconds"] = round(sum(used["gx_stages"].values()), 3)
        used["gx_share"] = round(used["gx_cpu_seconds"] / (used["cpu_seconds"] - used["gx_import_cpu_seconds"]), 4)
        used["orchestration_cpu_seconds"] = round(
            used["cpu_seconds"] - used["data_cpu_seconds"] - used["gx_import_cpu_seconds"], 3
        )
        return used

    # The contenders; each returns what it used, with its stages where it tells them.

    def product(self, size: str, site: Path) -> Results:
        """The product, on a copy of the site that was never built."""
        return self.build(f"{size}: product", copy_site(site, self._output("product", size)))

    def reference(self, size: str, site: Path) -> Results:
        """The script tuned by hand."""
        limits = ("--memory-limit", self.memory_limit, "--threads", str(self.threads))
        used, said = self.run(
            f"{size}: reference", ROOT / "bench/reference.py", site, self._output("reference", size), *limits
        )
        stages = [json.loads(line) for line in said.splitlines() if line.startswith('{"stage"')]
        used["stages"] = {stage["stage"]: stage["cpu_seconds"] for stage in stages}
        return used

    def tokenise(self, size: str, site: Path) -> Results:
        """The floor."""
        limits = ("--memory-limit", self.memory_limit, "--threads", str(self.threads))
        used, said = self.run(f"{size}: tokenise", ROOT / "bench/tokenise.py", site, *limits)
        return used if used["exit_code"] else {**used, **json.loads(said.splitlines()[-1])}

    def peer(self, name: str, size: str, site: Path) -> Results:
        """Another library, for the report tables alone."""
        script = ROOT / "bench" / f"{name}_report.py"
        if not script.exists():
            return {"skipped": f"{script.name} is not there"}
        used, _ = self.run(f"{size}: {name}", script, site, self._output(name, size))
        return used

    def agreement(self, size: str, name: str) -> Results:
        """By table, how what a contender wrote differs from what the product published; empty where it does not."""
        theirs = self._output(name, size)
        published = (self._output("product", size) / "published/current").resolve()
        tables = [f"{folder.parent.name}.{folder.name}" for folder in sorted((theirs / "parquet").glob("*/*"))]
        if not published.exists() or not tables:
            return {}
        # Peers count each rejected line; the product and the reference a record once, whatever files have it.
        chosen = [table for table in tables if table != "report.data_trust_daily"] if name in PEERS else []
        _, said = self.run(f"{size}: comparing {name}", ROOT / "bench/compare.py", "--json", published, theirs, *chosen)
        found: Results = json.loads(said.splitlines()[-1])
        for table, difference in found.items():
            if difference:
                out.print(f"  {table} differs: {difference}", markup=False)
        return found

    # The scenarios of the product.

    def new_day(self, size: str, site: Path) -> Results:
        """All days but the last are built; then the last one's files arrive."""
        folder = copy_site(site, self._output("new-day", size), is_linked=False)
        slurm = folder / "landing/slurm/atlas"
        held_back = [sorted(slurm.glob(f"{kind}-*"))[-1] for kind in DATED_FILES]
        waiting = folder / "held-back"
        waiting.mkdir()
        for file in held_back:
            file.rename(waiting / file.name)
        before = self.build(f"{size}: all days but the last", folder)
        for file in held_back:
            (waiting / file.name).rename(file)
        return {**self.build(f"{size}: the last day", folder), "before": before}

    def little_memory(self, size: str, site: Path) -> Results:
        """Everything, with a memory limit in the site file."""
        folder = copy_site(site, self._output("little-memory", size))
        with (folder / "site.toml").open("a", encoding="utf-8") as file:
            file.write(f'\n[resources]\nmemory_limit = "{LITTLE_MEMORY}"\n')
        return self.build(f"{size}: product within {LITTLE_MEMORY}", folder)

    def bills(self, size: str, site: Path) -> Results:
        """Everything, with bills of rented machines beside; and what their days, summed by hand, should be.

        Then once more without them: a machine that is shared changes its speed by more than bills take, and what lies
        between two builds without them is compared with both.
        """
        folder = copy_site(site, self._output("bills", size), is_linked=False)
        attempts, days = map(int, size.split("-"))
        first_at = beginning_of(FIRST_DAY)
        write_bills(folder, first_at, first_at + days * DAY, round(attempts * CHARGES_PER_ATTEMPT))
        used = self.build(f"{size}: product with bills", folder)
        used["bytes"] = sum(file.stat().st_size for file in (folder / "landing/bills").iterdir())
        used["agrees"] = bills_agree(folder)
        after = copy_site(site, self._output("without-bills", size))
        return {**used, "after": self.build(f"{size}: product without them, again", after)}

    def killed(self, size: str, site: Path) -> Results:
        """Builds killed at random moments, then one that is not: does it publish what an undisturbed one did?"""
        if int(size.partition("-")[0]) > LARGEST_KILLED:
            return {"skipped": f"more than {LARGEST_KILLED:,} attempts"}
        undisturbed = copy_site(site, self._output("undisturbed", size))
        wall_seconds = self.build(f"{size}: undisturbed", undisturbed)["wall_seconds"]
        folder = copy_site(site, self._output("killed", size))
        command = [sys.executable, "-m", "capacity_dagster", "build", "--site", str(folder)]
        moments = random.Random(size)
        kills = locks_left = broken_files = builds_to_the_end = 0
        same_bytes = True
        while kills < KILLS:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                process.wait(moments.uniform(0, wall_seconds))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                out.print(f"{size}: killed {kills} of {KILLS}", markup=False)
            else:  # what the builds before it left was little: once more from the beginning
                builds_to_the_end += 1
                same_bytes &= parquet_digests(folder) == parquet_digests(undisturbed)
                copy_site(site, folder)
            locks_left += is_locked(folder / "work/write.lock")
            broken_files += len(broken(folder / "published/current"))
        used = self.build(f"{size}: after {KILLS} kills", folder)
        used |= {"kills": kills, "locks_left": locks_left, "broken_files": broken_files}
        used["builds_to_the_end"] = builds_to_the_end + 1
        used["same_bytes"] = same_bytes and parquet_digests(folder) == parquet_digests(undisturbed)
        return used

    def _output(self, name: str, size: str) -> Path:
        return self.folder / f"{name}-{size}"


def copy_site(site: Path, folder: Path, is_linked: bool = True) -> Path:
    """A site as it was generated; its landing is the same folder, or links to each file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(site / "site.toml", folder)
    if is_linked:
        (folder / "landing").symlink_to((site / "landing").resolve(), target_is_directory=True)
    else:
        shutil.copytree(site / "landing", folder / "landing", copy_function=os.link)
    return folder


def bills_agree(site: Path) -> bool:
    """Whether the published days of rented machines are what the bills' text sums to, without the product."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"attach '{site}/published/current/capacity.duckdb' as capacity (read_only)")
        newest = max((site / "landing/bills").iterdir(), key=lambda file: file.name).name
        whole = f"filename like '%{newest}' or filename not like '%{newest[:13]}%'"
        differing = connection.execute(
            f"""
            with bills as (
                select *
                from read_csv('{site}/landing/bills/*.csv', header = true, all_varchar = true, filename = true)
                where {whole}
            ),
            expected as (
                select
                    cast(left(ChargePeriodStart, 10) as date) as usage_date,
                    case when SubAccountId = '200' then 'rented' else 'unassigned' end as pool,
                    sum(cast(EffectiveCost as decimal(38, 12))) as cost,
                    sum(case when CommitmentDiscountStatus = 'Unused' then EffectiveCost::decimal(38, 12) else 0 end)
                        as unused,
                    sum(case when PricingUnit = 'Hours' and CommitmentDiscountStatus is distinct from 'Unused'
                        and ChargeClass is null then 8 else 0 end) as hours
                from bills
                where ChargeCategory = 'Usage'
                group by all
            ),
            told as (
                select usage_date, pool, sum(known_cost) as cost, sum(unused_commitment_cost) as unused,
                    cast(sum(rented_hours) as bigint) as hours
                from capacity.report.cost_per_accelerator_hour_daily
                where cluster in ('cloud', 'unassigned')
                group by all
            )
            select usage_date, sum(cost), sum(unused), sum(hours)
            from (from expected union all select usage_date, pool, -cost, -unused, -hours from told)
            group by usage_date
            having sum(cost) <> 0 or sum(unused) <> 0 or sum(hours) <> 0
            """
        ).fetchall()
    for day in differing[:3]:
        out.print(f"  bills differ: {day}", markup=False)
    return not differing


def is_locked(lock: Path) -> bool:
    """Whether somebody still holds the write lock of a site."""
    if not lock.exists():
        return False
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def parquet_digests(site: Path) -> dict[str, str]:
    """The digest of every published Parquet file, as the manifest tells it."""
    manifest = json.loads((site / "published/current/manifest.json").read_text(encoding="utf-8"))
    return {name: file["sha256"] for table in manifest["tables"].values() for name, file in table["files"].items()}


def broken(published: Path) -> list[str]:
    """The files of a published version that are not what its manifest says; none where nothing is published."""
    if not published.exists():
        return []
    digests = parquet_digests(published.parent.parent)
    return [
        name
        for name, digest in digests.items()
        if hashlib.sha256((published / name).read_bytes()).hexdigest() != digest
    ]


def table_seconds(site: Path) -> dict[str, float]:
    """The CPU seconds that each table recorded when it was built last, and publishing."""
    found: dict[str, float] = {}
    for name in ("pipeline", "capacity"):
        database = site / "work" / f"{name}.duckdb"
        if database.exists():
            with duckdb.connect(str(database), read_only=True) as connection:
                rows = connection.execute("select table_name, cpu_seconds from state.tables").fetchall()
            found |= {table: seconds for table, seconds in rows if seconds}
    manifest = site / "published/current/manifest.json"
    if manifest.exists():
        found["published.current"] = json.loads(manifest.read_text(encoding="utf-8"))["cpu_seconds"]
    return found


def judging_seconds(site: Path) -> dict[str, float]:
    """The CPU seconds of suites, by table or suite, and of their pages, as recorded when they were judged last.

    Counting in SQL is in them, the import of GX is not. They are a part of `table_seconds`.
    """
    database = site / "work/pipeline.duckdb"
    if not database.exists():
        return {}
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "select table_name, sum(cast(result ->> 'cpu_seconds' as double)) as seconds from state.checks "
            "group by table_name having seconds > 0 "
            "union all select table_name, cpu_seconds from state.tables where table_name = 'suites.data_docs'"
        ).fetchall()
    return dict(rows)


def growth(results: Results) -> dict[str, dict[str, float]]:
    """By contender: the exponent by which CPU seconds grew with the attempts, from each size to the next."""
    found: dict[str, dict[str, float]] = {}
    sizes = sorted(results["sizes"], key=lambda size: size["attempts"])
    for smaller, larger in pairwise(sizes):
        rows = math.log(larger["attempts"] / smaller["attempts"])
        for name, used in larger["contenders"].items():
            before = smaller["contenders"].get(name, {}).get("cpu_seconds")
            if before and used.get("cpu_seconds") and rows:
                steps = f"{smaller['attempts']} to {larger['attempts']}"
                found.setdefault(name, {})[steps] = round(math.log(used["cpu_seconds"] / before) / rows, 3)
    return found


def machine() -> Results:
    """What this runs on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cores": os.cpu_count(), "architecture": platform.machine(), "memory_bytes": memory}


def versions() -> dict[str, str]:
    """Of Python and of what does the work."""
    found = {"python": platform.python_version()}
    for package in ("capacity-dagster", "dagster", "duckdb", "great-expectations", "pyarrow", "polars", "pandas"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def gx_import_seconds() -> float:
    """CPU seconds for importing GX."""
    ran = subprocess.run([sys.executable, "-c", GX_IMPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    return round(float(ran.stdout.splitlines()[-1]), 3)


def text_of(site: Path) -> Results:
    """How much text a site has."""
    files = sorted((site / "landing").glob("slurm/*/jobs-*"))
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def show(results: Results) -> None:
    """Prints a table for each size; ratios are to the reference and the floor of the same size."""
    for size in results["sizes"]:
        told = Table(title=f"{size['attempts']:,} attempts, {size['days']} days, {size['text']['bytes'] / 1e6:,.0f} MB")
        for heading in ("", "CPU s", "of reference", "of tokenise", "wall s", "peak MB", "agrees"):
            told.add_column(heading, justify="left" if heading in ("", "agrees") else "right")
        contenders = size["contenders"]
        for name, used in [*contenders.items(), *size["scenarios"].items()]:
            if "cpu_seconds" not in used:
                told.add_row(name, *[""] * 5, used.get("skipped", ""))
                continue
            ratios = [
                f"{used['cpu_seconds'] / base['cpu_seconds']:.2f}" if base.get("cpu_seconds") else ""
                for base in (contenders.get("reference", {}), contenders.get("tokenise", {}))
            ]
            differing = [table for table, difference in used.get("agreement", {}).items() if difference]
            agrees = f"no: {', '.join(differing)}" if differing else "yes" if used.get("agreement") else ""
            numbers = (f"{used['wall_seconds']:,.1f}", f"{used['peak_bytes'] / 1e6:,.0f}")
            told.add_row(name, f"{used['cpu_seconds']:,.1f}", *ratios, *numbers, agrees)
        out.print(told)
        if "data_cpu_seconds" in contenders.get("product", {}):
            built = contenders["product"]
            out.print(
                f"product: {built['data_cpu_seconds']:,.1f} CPU s in tables, {built['gx_import_cpu_seconds']:.1f} for "
                f"importing GX, {built['orchestration_cpu_seconds']:,.1f} otherwise"
            )
            out.print(f"of it, {judged_in(built)}")
            bills = size["scenarios"].get("bills", {})
            if bills.get("cpu_seconds"):
                without = (built["cpu_seconds"], bills["after"]["cpu_seconds"])
                more = bills["cpu_seconds"] / mean(without) - 1
                agrees = "as summed by hand" if bills["agrees"] else "NOT AS SUMMED BY HAND"
                out.print(
                    f"with bills of {bills['bytes'] / 1e6:,.0f} MB: {more:+.1%} CPU beside the mean of the builds "
                    f"before ({without[0]:,.1f}) and after ({without[1]:,.1f}); their days are {agrees}"
                )
            day = size["scenarios"].get("new_day", {})
            if day.get("data_cpu_seconds"):
                share = built["data_cpu_seconds"] / day["data_cpu_seconds"]
                out.print(
                    f"one new day: {day['data_cpu_seconds']:.1f} CPU s in tables, 1/{share:.0f} of the full build's; "
                    f"of it, {judged_in(day)}"
                )
        killed = size["scenarios"].get("killed", {})
        if killed.get("kills"):
            same = "the same bytes as" if killed["same_bytes"] else "OTHER BYTES than"
            out.print(
                f"killed {killed['kills']} times, then built: {same} an undisturbed build; locks left "
                f"{killed['locks_left']}, broken published files {killed['broken_files']}"
            )
    for name, steps in results["growth"].items():
        told_steps = ", ".join(f"{exponent:.2f} ({step})" for step, exponent in steps.items())
        out.print(f"CPU of {name} grows with rows to the power of {told_steps}")


def judged_in(built: Results) -> str:
    """What suites cost a build."""
    return f"{built['gx_cpu_seconds']:.2f} CPU s in suites, checkpoints and their pages, {built['gx_share']:.1%} of all"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = {"type": lambda text: tuple(filter(None, text.split(",")))}
    parser.add_argument("--attempts", default=("1000000", "10000000"), **listed, help="sizes, default 1000000,10000000")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="where sites and results are kept")
    parser.add_argument("--contenders", default=CONTENDERS, **listed, help=f"of {','.join(CONTENDERS)}")
    parser.add_argument("--scenarios", default=SCENARIOS, **listed, help=f"of the product: {','.join(SCENARIOS)}")
    parser.add_argument("--memory-limit", default="8GB", help="of the contenders that take one")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the contenders that take them")
    given = parser.parse_args()
    for known, chosen in ((CONTENDERS, given.contenders), (SCENARIOS, given.scenarios)):
        for name in chosen:
            if name not in known:
                parser.error(f"{name!r} is not one of {', '.join(known)}")
    return given


def main() -> None:
    """Runs everything that was asked for, one after the other."""
    given = arguments()
    given.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(given.folder.resolve(), given.memory_limit, given.threads)
    bench.results["gx_import_cpu_seconds"] = gx_import_seconds()
    for attempts in sorted(map(int, given.attempts)):
        site = bench.site(attempts, given.days)
        size = f"{attempts}-{given.days}"
        measured: Results = {
            "attempts": attempts,
            "days": given.days,
            "text": text_of(site),
            "contenders": {},
            "scenarios": {},
        }
        bench.results["sizes"].append(measured)
        for name in given.contenders:
            run: Callable[[str, Path], Results] | None = getattr(bench, name, None)
            used = run(size, site) if run else bench.peer(name, size, site)
            if name not in ("product", "tokenise") and used.get("exit_code") == 0:
                used["agreement"] = bench.agreement(size, name)
            measured["contenders"][name] = used
            bench.write()
        for name in given.scenarios:
            measured["scenarios"][name] = getattr(bench, name)(size, site)
            bench.write()
    bench.results["growth"] = growth(bench.results)
    bench.write()
    show(bench.results)
    out.print(f"written: {bench.folder / 'bench.json'}", markup=False)


if __name__ == "__main__":
    main()
