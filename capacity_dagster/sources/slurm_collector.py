"""Collects what Slurm knows into the landing: asks its commands, checks each answer, gives it its name.

What belongs here: running commands, which days need to be asked for, whether an answer is of use. What does not: the
commands themselves (`slurm_commands`), the names of files (`collected_files`), reading what was landed (`reader`).

A site's records speak until the newest time of collection that a file declares. So nothing of a cluster is landed
unless its jobs since the collection before are, and all its files of one run declare one instant, at which the run came
to it.
"""

import filecmp
import os
import pwd
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO

from capacity_dagster.errors import CollectionError
from capacity_dagster.site_file import Site
from capacity_dagster.sources import collected_files, slurm_commands
from capacity_dagster.sources.running import Runner
from capacity_dagster.sources.slurm_commands import Pull, Version
from capacity_dagster.wording import counted

COMMANDS = ("sacct", "sacctmgr", "scontrol", "squeue", "sreport")
STEERING = re.compile(r"SACCT_|SQUEUE_|SCONTROL_|SLURM_(TIME_FORMAT|CLUSTERS|BITSTR_LEN)$|TZ$")
"""Variables that change what the commands ask for or print: whoever exported them, they are not passed on."""


@dataclass(frozen=True)
class Landed:
    """A file that was collected.

    Attributes:
        is_new: whether it was landed now; otherwise a file with the same content was there.
    """

    pull: Pull
    file: Path
    size_bytes: int
    records: int
    seconds: float
    is_new: bool


@dataclass
class Collected:
    """What came of one run."""

    landed: list[Landed] = field(default_factory=list)
    superseded: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """What came of it, in a line."""
        new = sum(landed.is_new for landed in self.landed)
        told = f"{counted(new, 'file')} landed, {len(self.landed) - new:,} as before"
        return f"{told}, {len(self.superseded):,} superseded and removed" if self.superseded else told


@dataclass(frozen=True)
class Plan:
    """What is to be asked of one cluster: what is new, landed together or not at all, and the days before."""

    present: list[Pull]
    past: list[Pull]


def collect_slurm(
    site: Site,
    clusters: Iterable[str],
    days: int | None = None,
    since: date | None = None,
    at: datetime | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Collected:
    """Asks Slurm about some of the site's clusters and lands the answers; what fails leaves the files before.

    Args:
        days: how many days before today are asked for again; by default, what the site file says.
        since: from this UTC day on, everything is asked for again.
        at: when the collection of each cluster begins, UTC; by default, now.
        tell: hears of each command.

    Raises:
        CollectionError: the landing is no folder, Slurm's commands are absent, or the accounting database does not
            answer.
    """
    if site.landing_url:
        raise CollectionError(
            f"{site.path}: [site] landing is {site.landing_url}; expected a folder to collect into. Collect into the "
            "folder of another site file and copy that to the store, or land what the commands of --print give"
        )
    missing = missing_commands()
    if "sacct" in missing or "sacctmgr" in missing:
        raise CollectionError(how_to_go_on(missing, site))
    runner = _runner(site)
    tell("asking which Slurm this is")
    version = ask_version(runner)
    known = runner.lines(("sacctmgr", "-n", "-P", "show", "cluster", "format=Cluster"))
    collected = Collected()
    if missing:
        collected.problems.append(how_to_go_on(missing, site))
    if not version.resources:
        collected.warnings.append(
            "the accounting database tracks no gres/gpu (AccountingStorageTRES in slurm.conf): jobs hold no "
            "accelerators in it, and it has no totals of them to reconcile with"
        )
    collected.warnings.extend(_hidden_from_us(runner))
    for cluster in clusters:
        if cluster.lower() not in (name.lower() for name in known):
            collected.problems.append(
                f"cluster '{cluster}': Slurm's accounting does not know it; "
                f"expected one of {', '.join(repr(name) for name in sorted(known))}"
            )
            continue
        begun = (at or datetime.now(UTC)).replace(microsecond=0)
        planned = plan(site, cluster, version, begun, days, since, missing)
        _Collection(site, cluster, runner, begun, collected, tell).carry_out(planned)
    return collected


def plan(
    site: Site,
    cluster: str,
    version: Version,
    at: datetime,
    days: int | None = None,
    since: date | None = None,
    missing: Iterable[str] = (),
) -> Plan:
    """Which commands are to be run for a cluster, given what its folder holds.

    A day is asked for while it is one of the last `days` before today, while no file of it is there, and while its file
    was collected before it was over.

    Args:
        missing: commands that cannot be run.
    """
    landed = collected_files.landed(landing_folder(site, cluster))
    today = at.date()
    # Somewhere, the first reporting day begins before its UTC day does.
    first = since or site.content.site.first_day - timedelta(days=1)
    again_from = since or today - timedelta(days=site.content.collect.slurm.days if days is None else days)

    def of_day(day: date) -> list[Pull]:
        found = [
            slurm_commands.jobs(cluster, version, day, at),
            slurm_commands.node_events(cluster, day, at),
            slurm_commands.reservations(cluster, day, at),
        ]
        if day < today and version.resources:
            found.append(slurm_commands.account_usage(cluster, version, day))
            found.append(slurm_commands.cluster_usage(cluster, version, day))
        return found

    def is_wanted(pull: Pull, day: date) -> bool:
        collected_at = [each for each, _ in landed.get((pull.kind, pull.period), [])]
        return day >= again_from or not collected_at or max(collected_at).date() <= day

    last = max((period for kind, period in landed if kind == "jobs"), default=today.isoformat())
    days_before = [today - timedelta(days=back) for back in range(1, (today - first).days + 1)]
    since_last = [slurm_commands.jobs(cluster, version, day, at) for day in days_before if day.isoformat() >= last]
    # The queue comes first: a job that ends meanwhile is then in it, instead of seeming to be gone while it ran.
    present = [
        slurm_commands.queue(cluster),
        *of_day(today),
        *since_last,
        slurm_commands.nodes(cluster, at),
        slurm_commands.associations(cluster),
        slurm_commands.qos(),
    ]
    past = [pull for day in days_before for pull in of_day(day) if is_wanted(pull, day) and pull not in since_last]
    absent = set(missing)
    return Plan(
        [pull for pull in present if pull.command[0] not in absent],
        [pull for pull in past if pull.command[0] not in absent],
    )


def landing_folder(site: Site, cluster: str) -> Path:
    """The folder in which the collector lands a cluster's files."""
    if cluster.startswith((".", "-")):
        raise CollectionError(f"cluster '{cluster}': expected a name that begins with a letter or a digit")
    return site.landing / "slurm" / cluster


def missing_commands() -> list[str]:
    """Slurm's commands that are not on the PATH."""
    return [name for name in COMMANDS if shutil.which(name) is None]


def how_to_go_on(missing: list[str], site: Site) -> str:
    """What to do where commands are absent."""
    return (
        f"not found on the PATH: {', '.join(missing)}. Either install Slurm's client commands "
        f"({slurm_commands.PACKAGES}) in the version that the cluster runs, with its slurm.conf and its munge key; or "
        f"land files by hand: `capacity collect slurm --site {shlex.quote(str(site.path))} --print` prints the "
        "commands to run where Slurm is. docs/sources/collecting.md has both."
    )


def ask_version(runner: Runner) -> Version:
    """What the Slurm on the PATH can be asked for.

    Raises:
        CollectionError: `sacct` or the accounting database does not answer, or `sacct` lacks a column that is needed.
    """
    # Even this asks the database, so that a database that is down shows here.
    fields = {name.lower() for line in runner.lines(("sacct", "--helpformat")) for name in line.split()}
    lacking = sorted(name for name in slurm_commands.NEEDED_JOB_COLUMNS if name.lower() not in fields)
    if lacking:
        raise CollectionError(f"`sacct --helpformat` lists no {', '.join(lacking)}; expected a Slurm that has them")
    options = "\n".join(runner.lines(("sacct", "--help")))
    tracked = runner.lines(("sacctmgr", "-n", "-P", "show", "tres", "format=Type,Name"))
    return Version(
        tuple(name for name in slurm_commands.JOB_COLUMNS.split(",") if name.lower() in fields),
        has_array=re.search(r"--array\b", options) is not None,
        resources=tuple(sorted(line.replace("|", "/", 1) for line in tracked if re.match(r"gres\|gpu(:|$)", line))),
    )


def printed_commands(site: Site, clusters: Iterable[str], days: int | None, since: date | None) -> list[str]:
    """The commands as lines to paste into a shell, for the Slurm that is found here, or for any."""
    version, at = Version(), datetime.now(UTC)
    if not missing_commands():
        with suppress(CollectionError):
            version = ask_version(_runner(site))
    lines: list[str] = []
    for cluster in clusters:
        planned = plan(site, cluster, version, at, days, since)
        # Where Slurm or the landing is elsewhere, so is this folder.
        is_elsewhere = missing_commands() or site.landing_url
        folder = Path("landing", "slurm", cluster) if is_elsewhere else landing_folder(site, cluster)
        lines.append(f"mkdir -p {shlex.quote(str(folder))}")
        temporary = shlex.quote(str(folder / ".part"))
        for pull in [*planned.present, *planned.past]:
            # squeue -M says above its header of which cluster it tells.
            less = " | sed '1{/^CLUSTER: /d;}'" if pull.kind == "queue" else ""
            target = shlex.quote(str(folder / pull.file_name(at)))
            lines.append(f"{pull.shown()}{less} > {temporary} && mv {temporary} {target}")
    return lines


@dataclass(frozen=True)
class _Answer:
    """What a command printed, under a temporary name."""

    pull: Pull
    file: Path
    seconds: float


@dataclass(frozen=True)
class _Collection:
    """The collection of one cluster."""

    site: Site
    cluster: str
    runner: Runner
    at: datetime
    collected: Collected
    tell: Callable[[str], None]

    @property
    def folder(self) -> Path:
        return landing_folder(self.site, self.cluster)

    def carry_out(self, planned: Plan) -> None:
        """Lands what is new, then the days before; tidies up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        collected_files.remove_abandoned(self.folder)
        answers: list[_Answer] = []
        try:
            answers.extend(answer for pull in planned.present if (answer := self._asked(pull)))
            answered = [answer.pull for answer in answers]
            if any(pull.kind == "jobs" and pull not in answered for pull in planned.present):
                self.collected.problems.append(
                    f"cluster '{self.cluster}': nothing was landed, because its newest jobs could not be: the other "
                    "files would say that its records speak until now"
                )
                return
            for answer in sorted(answers, key=lambda answer: answer.pull.kind != "jobs"):
                self._land(answer)
        finally:
            for answer in answers:
                answer.file.unlink(missing_ok=True)
        for pull in planned.past:
            if answer := self._asked(pull):
                self._land(answer)
        self.collected.superseded.extend(collected_files.supersede(self.site, self.folder, self.cluster))

    def _asked(self, pull: Pull) -> _Answer | None:
        """Runs a command; where its answer is of no use, tells a problem and returns None."""
        self.tell(f"{self.cluster}: {pull.what}")
        file = collected_files.temporary_name(self.folder / pull.file_name(self.at))
        started = time.monotonic()
        try:
            with file.open("w+b") as output:
                complaints = self.runner.run(pull.command, output, pull.environment)
                if pull.kind == "queue":
                    _drop_cluster_line(output)
                _refuse_unlike(pull, output)
                output.flush()
                os.fsync(output.fileno())
        except CollectionError as error:
            file.unlink(missing_ok=True)
            self.collected.problems.append(f"cluster '{self.cluster}': no new {pull.what}: {error}")
            return None
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        if complaints:
            self.collected.warnings.append(f"cluster '{self.cluster}': `{pull.shown()}` says:{complaints}")
        return _Answer(pull, file, time.monotonic() - started)

    def _land(self, answer: _Answer) -> None:
        """Gives an answer its name, unless a file that was collected after its period says the same already."""
        pull, target = answer.pull, self.folder / answer.pull.file_name(self.at)
        is_new = True
        if pull.kind not in slurm_commands.OBSERVATIONS:
            files = collected_files.landed(self.folder).get((pull.kind, pull.period), [])
            collected_at, before = max(files, default=(self.at, target))
            is_new = pull.period >= f"{collected_at:%Y-%m-%d}" or not _are_same(before, answer.file)
            target = target if is_new else before
        if is_new:
            collected_files.give_name(answer.file, target)
        else:
            answer.file.unlink()
        records = collected_files.count_records(target, pull.kind, self.cluster)
        size = target.stat().st_size
        self.collected.landed.append(Landed(pull, target, size, records, answer.seconds, is_new))


def _runner(site: Site) -> Runner:
    return Runner(site.content.collect.slurm.timeout_seconds, STEERING)


def _hidden_from_us(runner: Runner) -> list[str]:
    """Whether Slurm keeps others' records from the account that collects, which it does without a word."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    try:
        settings = runner.lines(("sacctmgr", "show", "configuration"))
        level = runner.lines(("sacctmgr", "-n", "-P", "show", "user", user, "format=AdminLevel"))
    except CollectionError as error:
        return [f"it is not known whether others' records are visible to {user}: {error}"]
    private = {
        name
        for line in settings
        if (match := re.match(r"PrivateData\s*=\s*(\S+)", line))
        for name in match[1].lower().split(",")
    }
    hidden = sorted(private & {"jobs", "usage", "accounts", "users", "events", "reservations", "nodes"})
    if not hidden or os.geteuid() == 0 or level[:1] in (["Operator"], ["Administrator"]):
        return []
    return [
        f"Slurm keeps {', '.join(hidden)} of others from {user} (PrivateData), so files may hold a part of the truth; "
        f"`sacctmgr modify user {user} set adminlevel=Operator` lets it see them"
    ]


def _are_same(before: Path, now: Path) -> bool:
    return before.exists() and filecmp.cmp(before, now, shallow=False)


def _drop_cluster_line(output: IO[bytes]) -> None:
    """Takes away the line that says which cluster is told of, where `squeue` has put one above its header."""
    output.seek(0)
    if output.readline().startswith(b"CLUSTER:"):
        rest = output.read()  # one line for each job that waits or runs now: it fits
        output.seek(0)
        output.truncate()
        output.write(rest)


def _refuse_unlike(pull: Pull, output: IO[bytes]) -> None:
    """Raises CollectionError for an answer that is not what was asked for."""
    output.seek(0)
    head = output.read(65_536).decode(errors="replace")
    if not head:
        raise CollectionError(f"`{pull.shown()}` printed nothing; expected {pull.expected}")
    if not pull.begins.match(head):
        begin = head.splitlines()[0][:200]
        raise CollectionError(f"`{pull.shown()}` printed {begin!r} first; expected {pull.expected}")
    output.seek(-1, os.SEEK_END)
    if output.read(1) != b"\n":
        raise CollectionError(f"`{pull.shown()}` stopped in the middle of a line; expected a whole answer")
