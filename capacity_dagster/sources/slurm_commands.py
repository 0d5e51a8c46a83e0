"""What Slurm is asked for, and how its answers look: one command line for each file that is landed.

What belongs here: commands, their environment, the names of the files and what an answer must begin with. What does
not: running anything, and the landing folder (`slurm_collector`).
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

STAMP = "%Y%m%dT%H%M%SZ"
"""How a file's name says when it was collected; the site file reads it back with `collected_at`."""

JOB_COLUMNS = (
    "Cluster,DBIndex,JobIDRaw,JobID,Submit,Eligible,Start,End,ElapsedRaw,Suspended,State,ExitCode,Restarts,Partition,"
    "QOS,Account,User,Reservation,NNodes,AllocCPUS,ReqTRES,AllocTRES,TimelimitRaw,NodeList,Reason,Flags,FailedNode,"
    "JobName"
)
"""What is asked of `sacct`, where its version has it. The job's name is last, because nothing in it is escaped."""

NEEDED_JOB_COLUMNS = frozenset({"Cluster", "JobIDRaw", "Submit", "Start", "End", "State", "AllocTRES", "NodeList"})
NEWER_JOB_COLUMNS = frozenset({"Restarts", "FailedNode"})
"""Columns that Slurm 22.05 does not have: they are left out of commands for a version that is not known."""

EVENT_COLUMNS = "Cluster,ClusterNodes,NodeName,Start,End,StateRaw,State,TRES,User,Reason"
RESERVATION_COLUMNS = "Cluster,ID,Name,NodeNames,Start,End,Flags,TRES,Assoc"
ASSOCIATION_COLUMNS = "Cluster,Account,User,ParentName"
QOS_COLUMNS = "Name,Priority,Preempt,PreemptMode"

QUEUE_FORMAT = "%i|%T|%V|%S|%P|%a|%u|%q|%D|%C|%b|%l|%r"
"""JOBID (with array tasks), STATE, SUBMIT_TIME, START_TIME, PARTITION, ACCOUNT, USER, QOS, NODES, CPUS, TRES_PER_NODE,
TIME_LIMIT, REASON: the header that `squeue` writes. Without the job's name, which may hold anything."""

PACKAGES = "Debian and Ubuntu: slurm-client; RHEL and its kin: slurm (EPEL, or the vendor's packages)"

UTC_CLOCK = {"TZ": "UTC"}
EPOCH_CLOCK = {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}
"""Times as seconds since 1970: no zone can be mistaken."""


@dataclass(frozen=True)
class Version:
    """What the Slurm that was found can be asked for; the defaults suit every version since 22.05.

    Attributes:
        job_columns: those of `JOB_COLUMNS` that its `sacct` has.
        has_array: whether `sacct` can give each pending array task a line of its own.
        resources: the accelerators that the accounting database tracks, such as `gres/gpu` and `gres/gpu:h100`.
    """

    job_columns: tuple[str, ...] = tuple(name for name in JOB_COLUMNS.split(",") if name not in NEWER_JOB_COLUMNS)
    has_array: bool = False
    resources: tuple[str, ...] = ("gres/gpu",)


@dataclass(frozen=True)
class Pull:
    """One command, whose answer becomes one file.

    Attributes:
        kind: the first part of the file's name.
        period: the UTC day that it is about; empty for what has none. A later file of the same kind and period
            supersedes an earlier one.
        begins: what the answer must begin with.
        expected: the same in words.
    """

    kind: str
    period: str
    command: tuple[str, ...]
    begins: re.Pattern[str]
    expected: str
    environment: Mapping[str, str] = field(default_factory=lambda: UTC_CLOCK)
    suffix: str = "psv"

    @property
    def what(self) -> str:
        """`jobs of 2026-11-21`, `queue`."""
        return f"{self.kind} of {self.period}" if self.period else self.kind

    def file_name(self, at: datetime) -> str:
        """`jobs-2026-11-21-collected-20261122T034500Z.psv`."""
        period = f"-{self.period}" if self.period else ""
        return f"{self.kind}{period}-collected-{at.strftime(STAMP)}.{self.suffix}"

    def shown(self) -> str:
        """The command as one pastes it into a shell."""
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), shlex.join(self.command)])


OBSERVATIONS = frozenset({"queue"})
"""Kinds of which each file tells of its own instant: none supersedes another."""

MAY_SHRINK = frozenset({"associations", "qos"})
"""Kinds of which a later answer with fewer records is as good as an earlier one."""

FILE_NAME = re.compile(
    r"(?P<kind>[a-z_]+?)(-(?P<period>\d{4}-\d{2}-\d{2}))?-collected-(?P<at>\d{8}T\d{6}Z)\.(psv|txt)(\.\w+)?"
)
"""Names that `Pull.file_name` gives, compressed since or not."""


def first_of_record(kind: str, cluster: str) -> re.Pattern[bytes]:
    """Which lines of a landed file begin a record; others are titles, headers and the rest of a job's name."""
    match kind:
        case "nodes":
            return re.compile(rb"NodeName=")
        case "queue":
            return re.compile(rb"[0-9]")
        case "qos":
            return re.compile(rb"[^|\n]+\|[0-9]*\|")
        case _:
            return re.compile(re.escape(cluster).encode() + rb"\|", re.IGNORECASE)


def jobs(cluster: str, version: Version, day: date, at: datetime) -> Pull:
    """All records that overlap a UTC day, up to now: both ends are named, as `sacct` changes its defaults otherwise."""
    columns = ",".join(version.job_columns)
    return Pull(
        "jobs",
        day.isoformat(),
        (
            *("sacct", "-a", "-X", "-D", "-P", "--noconvert", *(["--array"] if version.has_array else [])),
            *("-M", cluster, "-S", _instant(day), "-E", _end(day, at), "-o", columns),
        ),
        begins=re.compile(rf"{re.escape(columns.replace(',', '|'))}\n", re.IGNORECASE),
        expected="the header of the columns that were asked for",
        environment={**EPOCH_CLOCK, "SLURM_BITSTR_LEN": "0"},  # array tasks are listed whole, never cut with dots
    )


def node_events(cluster: str, day: date, at: datetime) -> Pull:
    """What happened to nodes on a UTC day, with everything that was still open."""
    return _listed("node_events", "event", cluster, EVENT_COLUMNS, day, at)


def reservations(cluster: str, day: date, at: datetime) -> Pull:
    """Reservations that overlap a UTC day."""
    return _listed("reservations", "reservation", cluster, RESERVATION_COLUMNS, day, at)


def associations(cluster: str) -> Pull:
    """The tree of accounts as it is now, with accounts that were deleted, as their usage was not."""
    command = ("sacctmgr", "-P", "show", "assoc", f"clusters={cluster}", "withdeleted", f"format={ASSOCIATION_COLUMNS}")
    return Pull(
        "associations",
        "",
        command,
        begins=_header(ASSOCIATION_COLUMNS),
        expected=f"a header of the columns {ASSOCIATION_COLUMNS}",
    )


def qos() -> Pull:
    """Which qualities of service may preempt which others; the same for all clusters of the accounting database."""
    return Pull(
        "qos",
        "",
        ("sacctmgr", "-P", "show", "qos", f"format={QOS_COLUMNS}"),
        begins=re.compile(rf"{QOS_COLUMNS.replace(',', '[|]')}\n"),
        expected=f"a header of the columns {QOS_COLUMNS}",
    )


def nodes(cluster: str, at: datetime) -> Pull:
    """What nodes have now, those of hidden partitions too. As text: all versions write it alike."""
    return Pull(
        "nodes",
        at.date().isoformat(),
        ("scontrol", "--all", "-M", cluster, "show", "node"),
        begins=re.compile("NodeName="),
        expected="NodeName=…",
        suffix="txt",
    )


def queue(cluster: str) -> Pull:
    """Which jobs wait and run now, and why they wait."""
    return Pull(
        "queue",
        "",
        ("squeue", "-a", "-M", cluster, "-o", QUEUE_FORMAT),
        begins=re.compile(rf"JOBID(\|[A-Z_]+){{{QUEUE_FORMAT.count('|')}}}\n"),
        expected="a header of the columns of its format",
        environment=EPOCH_CLOCK,
    )


def account_usage(cluster: str, version: Version, day: date) -> Pull:
    """Slurm's own totals by account and user, of a whole UTC day."""
    return _report("account_usage", "AccountUtilizationByUser", cluster, version, day)


def cluster_usage(cluster: str, version: Version, day: date) -> Pull:
    """Slurm's own totals of the cluster, of a whole UTC day."""
    return _report("cluster_usage", "Utilization", cluster, version, day)


def _listed(kind: str, entity: str, cluster: str, columns: str, day: date, at: datetime) -> Pull:
    window = (f"start={_instant(day)}", f"end={_end(day, at)}")  # it takes no seconds since 1970
    return Pull(
        kind,
        day.isoformat(),
        ("sacctmgr", "-P", "show", entity, f"clusters={cluster}", *window, f"format={columns}"),
        begins=_header(columns),
        expected=f"a header of the columns {columns}",
        environment=EPOCH_CLOCK,
    )


def _report(kind: str, report: str, cluster: str, version: Version, day: date) -> Pull:
    window = (f"start={_instant(day)}", f"end={_instant(day + timedelta(days=1))}")
    return Pull(
        kind,
        day.isoformat(),
        # Without SLURM_TIME_FORMAT, so that the title says its window in ISO 8601.
        (
            *("sreport", "-P", "-t", "seconds", "-T", ",".join(version.resources)),
            *("cluster", report, f"clusters={cluster}", *window),
        ),
        begins=re.compile(r"-+\n.*Utilization .*\n.*TRES Seconds.*\n-+\nCluster\|"),
        expected="a title with the window, in TRES seconds, above a header",
    )


def _header(columns: str) -> re.Pattern[str]:
    """As many columns as were asked for; `sacctmgr` heads some of them differently (TimeStart for Start)."""
    return re.compile(rf"Cluster(\|[^|\n]+){{{columns.count(',')}}}\n")


def _instant(day: date) -> str:
    return f"{day.isoformat()}T00:00:00"


def _end(day: date, at: datetime) -> str:
    end = min(datetime.combine(day, time(), UTC) + timedelta(days=1), at)
    return end.strftime("%Y-%m-%dT%H:%M:%S")
