"""Alerts: what needs somebody, said once when it begins, once a day while it lasts, and once when it is over.

What belongs here: which occasions there are, what a message says, and what was told already. What does not: sending
(`receivers`), what a build left (`health`), Dagster's runs (`defs/alerts.py`).
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from capacity_dagster.durable import write_whole
from capacity_dagster.health import Arrival, FailedCheck, Health, read_health
from capacity_dagster.locks import alone
from capacity_dagster.receivers import Message, Sent, plain, send
from capacity_dagster.site_file import Site
from capacity_dagster.tables.catalogue import load_catalogue
from capacity_dagster.tables.checks import DELIVERIES_CHECK
from capacity_dagster.versions import current
from capacity_dagster.wording import counted, lasted

Kind = Literal["run_failed", "publishing_blocked", "source_stale"]
Phase = Literal["begun", "reminder", "over"]

REMINDER = timedelta(days=1)
AGAIN = timedelta(minutes=10)
"""After which what no receiver took is sent again."""
REGULAR_DELIVERIES = 3
"""From so many on a source has a rhythm that it can miss."""
SHOWN_CHARACTERS = 500
SHOWN_ALERTS = 10
PATIENCE_SECONDS = 120.0
MEMORY_FILE = "alerts.json"
RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Alert:
    """One thing that needs somebody, for as long as it lasts.

    Attributes:
        key: the same for as long as it is the same thing.
        what: one sentence.
        since: when it began, or was first seen.
        affected: the tables of the report whose numbers it concerns.
        next_step: what to do first.
        details: the same for programs.
    """

    key: str
    kind: Kind
    what: str
    since: datetime
    affected: list[str]
    next_step: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Told:
    """What is remembered of an alert; it was told if some receiver took it.

    Attributes:
        failed_at: of a run that failed, when one of its job did last; `since` is when the first did.
    """

    alert: Alert
    told_at: datetime | None = None
    tried_at: datetime | None = None
    failed_at: datetime | None = None

    def is_mended(self, ended_well: Mapping[str, datetime]) -> bool:
        """Whether a run of its job ended well after the last one that failed."""
        ended_at = ended_well.get(str(self.alert.details.get("job")))
        return ended_at is not None and ended_at > (self.failed_at or self.alert.since)

    def is_due(self, now: datetime) -> bool:
        if self.told_at is None:
            return self.tried_at is None or now - self.tried_at >= AGAIN
        return now - self.told_at >= REMINDER and (self.tried_at is None or now - self.tried_at >= AGAIN)


SUBJECTS: dict[Kind, str] = {
    "run_failed": "a run failed",
    "publishing_blocked": "publishing is blocked",
    "source_stale": "a source is stale",
}


# What needs somebody.


def failing_checks(site: Site, health: Health) -> list[Alert]:
    """An alert for each blocking check that has not passed."""
    return [_failing_check(site, each, health.at) for each in health.failed]


def _failing_check(site: Site, failed: FailedCheck, at: datetime) -> Alert:
    sample = failed.sample
    if failed.check == DELIVERIES_CHECK:
        what = f"{failed.table}: {sample.get('problem', failed.description)}"
        next_step = (
            f"run `capacity check --site {site.path}`, which tells all that is wrong with what is delivered; "
            "have it delivered again, and build"
        )
    else:
        what = (
            f"{failed.table}: blocking check '{failed.check}' fails on {counted(failed.failed_rows, 'row')}. "
            f"{failed.description}"
        )
        if sample and site.content.alerts.sample_rows:
            what += f" First row: {json.dumps(sample, ensure_ascii=False)}"
        next_step = "read the check and mend the delivered file that breaks it, then build; do not weaken the check"
    return Alert(
        key=f"publishing_blocked {failed.table} {failed.check}",
        kind="publishing_blocked",
        what=what,
        since=at,
        affected=reports_after({failed.table}),
        next_step=next_step,
        details={
            "table": failed.table,
            "check": failed.check,
            "failed_rows": failed.failed_rows,
            "sample": sample if site.content.alerts.sample_rows else {},
        },
    )


def stale_sources(site: Site, health: Health, now: datetime) -> list[Alert]:
    """An alert for each source that delivered regularly, or has a limit of its own, and delivers nothing any more."""
    found = []
    for arrival in health.arrivals:
        limit = limit_hours(site, arrival)
        silence = now - arrival.newest_at
        if limit is not None and silence > timedelta(hours=min(limit, 1e6)):
            found.append(_stale_source(site, health, arrival, limit, silence))
    return found


def limit_hours(site: Site, arrival: Arrival) -> float | None:
    """After how many hours without a delivery a source is stale; None: it ended, or has neither rhythm nor limit."""
    if any((each.kind, each.cluster) == (arrival.source, arrival.cluster) for each in site.content.ended_sources):
        return None
    alerts = site.content.alerts
    for rule in alerts.sources:
        if rule.kind == arrival.source and rule.cluster in (None, arrival.cluster):
            return rule.stale_after_hours
    if arrival.deliveries < REGULAR_DELIVERIES:
        return None
    return max(alerts.stale_after_hours, 2 * (arrival.usual_gap_hours or 0))


def _stale_source(site: Site, health: Health, arrival: Arrival, limit: float, silence: timedelta) -> Alert:
    of_cluster = f" of {arrival.cluster}" if arrival.cluster else ""
    usually = ""
    if arrival.usual_gap_hours:
        usually = f"usually it comes every {lasted(timedelta(hours=arrival.usual_gap_hours))}, and "
    patterns = ", ".join(
        f"'{source.files}'"
        for source in site.content.sources
        if source.kind == arrival.source and source.cluster in (None, arrival.cluster)
    )
    collected = arrival.source.startswith("slurm_")
    return Alert(
        key=f"source_stale {arrival.source} {arrival.cluster}",
        kind="source_stale",
        what=(
            f"{arrival.source}{of_cluster}: nothing was delivered for {lasted(silence)}; {usually}it is stale after "
            f"{lasted(timedelta(hours=limit))}. The last build looked at {_stamp(health.at)}."
        ),
        since=arrival.newest_at,
        affected=reports_after({f"raw.{arrival.source}"}),
        next_step=(
            f"look whether files that match {patterns} still land in {site.landing}"
            + (", and whether `capacity collect slurm` or what else exports them still runs" if collected else "")
            + "; if they land, look whether builds still run"
        ),
        details={
            "source": arrival.source,
            "cluster": arrival.cluster,
            "newest_at": _stamp(arrival.newest_at),
            "usual_gap_hours": arrival.usual_gap_hours,
            "stale_after_hours": limit,
        },
    )


def failed_run(
    site: Site, job: str, errors: list[str], at: datetime, run_id: str | None = None, tables: Collection[str] = ()
) -> Alert:
    """An alert for a run that did not end well, for another reason than a check.

    Args:
        tables: those that it was at work on; empty: not known, so that any may be concerned.
    """
    kinds = {table.full_name for table in load_catalogue().of_layer("raw")}
    concerned = set(tables) or {name for name in kinds if job != "collect_slurm" or name.startswith("raw.slurm_")}
    where = f"run {run_id} in the Dagster UI" if run_id else f"`capacity build --site {site.path}`"
    return Alert(
        key=f"run_failed {job}",
        kind="run_failed",
        what=f"{job}: {'; '.join(errors) or 'failed; its log says why'}",
        since=at,
        affected=reports_after(concerned),
        next_step=f"look at {where}, mend what the message names, and run {job} again: it goes on where it was",
        details={"job": job, "run_id": run_id, "errors": errors, "tables": sorted(tables)},
    )


def reports_after(tables: set[str]) -> list[str]:
    """The tables of the report that are computed from some tables."""
    return [name for name in load_catalogue().downstream_of(tables) if name.startswith("report.")]


# What is told, and when.


def watch(
    site: Site,
    now: datetime,
    failed: Collection[Alert] = (),
    ended_well: Mapping[str, datetime] | None = None,
    sender: Callable[..., list[Sent]] = send,
) -> list[Sent]:
    """Tells what began, what lasts for another day and what is over; says what became of each message.

    Args:
        failed: runs that failed, `since` the end of each; they last until a later run of the same job ends well.
        ended_well: when the last run of a job that did so ended, by job.
    """
    alerts = site.content.alerts
    if not alerts.has_receiver:
        return []
    health = read_health(site)
    with _memory(site) as memory:
        lasting = list(failed)
        over: set[str] = set()
        if health is not None:
            judged = [*failing_checks(site, health), *stale_sources(site, health, now)]
            lasting += judged
            over |= {key for key, told in memory.items() if told.alert.kind != "run_failed"}
        for alert in lasting:
            over.discard(alert.key)
            known = memory.setdefault(alert.key, Told(alert))
            known.alert = replace(alert, since=known.alert.since)
        for alert in failed:
            known = memory[alert.key]
            known.failed_at = max(alert.since, known.failed_at or alert.since)
        over |= {
            key for key, told in memory.items() if told.alert.kind == "run_failed" and told.is_mended(ended_well or {})
        }
        for key in over.intersection(memory):
            if memory[key].told_at is None:  # nobody heard of it
                del memory[key]
        sent: list[Sent] = []
        for (kind, phase), keys in _due(memory, over, now).items():
            if sent and all(each.problem for each in sent):
                break  # nobody listens: later
            remaining = [told.alert for key, told in memory.items() if told.alert.kind == kind and key not in over]
            told = [memory[key] for key in keys]
            results = sender(alerts, message(site, kind, phase, [each.alert for each in told], remaining, now), now)
            sent += results
            for key in keys:
                memory[key].tried_at = now
                if not all(each.problem for each in results):
                    memory[key].told_at = now
                    if phase == "over":
                        del memory[key]
    return sent


def _due(memory: dict[str, Told], over: Collection[str], now: datetime) -> dict[tuple[Kind, Phase], list[str]]:
    """What must be told now, as one message for what is of one kind."""
    due: dict[tuple[Kind, Phase], list[str]] = {}
    for key, told in memory.items():
        if key in over:
            if told.tried_at is None or told.tried_at == told.told_at or now - told.tried_at >= AGAIN:
                due.setdefault((told.alert.kind, "over"), []).append(key)
        elif told.is_due(now):
            phase: Phase = "begun" if told.told_at is None else "reminder"
            due.setdefault((told.alert.kind, phase), []).append(key)
    return due


@contextmanager
def _memory(site: Site) -> Iterator[dict[str, Told]]:
    """What was told, kept in a file; one process at a time, so that a command and a sensor tell nothing twice."""
    path = site.work / MEMORY_FILE
    with alone(path.with_suffix(".lock"), PATIENCE_SECONDS):
        memory = _remembered(path.read_text(encoding="utf-8") if path.exists() else "{}")
        try:
            yield memory
        finally:
            kept = {key: asdict(told) for key, told in memory.items()}
            write_whole(path, json.dumps(kept, default=datetime.isoformat, indent=1) + "\n")


def _remembered(text: str) -> dict[str, Told]:
    try:
        return {
            key: Told(
                Alert(**{**told["alert"], "since": datetime.fromisoformat(told["alert"]["since"])}),
                *(told[at] and datetime.fromisoformat(told[at]) for at in ("told_at", "tried_at", "failed_at")),
            )
            for key, told in json.loads(text).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # cut off, or of another version: all is told once more
        return {}


# What a message says.


def message(
    site: Site, kind: Kind, phase: Phase, alerts: list[Alert], remaining: list[Alert], now: datetime
) -> Message:
    """What is said of alerts of one kind that are in the same phase.

    Args:
        remaining: what lasts of this kind.
    """
    headline = {"begun": "", "reminder": "still: ", "over": "over: "}[phase] + SUBJECTS[kind]
    more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    named = alerts[0].key.partition(" ")[2].strip()
    subject = f"[capacity {site.content.site.name}] {headline[0].upper()}{headline[1:]}: {named}{more}"
    affected = sorted({name for alert in alerts for name in alert.affected})
    published = current(site.published)
    runbook = f"{site.content.alerts.runbook_url or RUNBOOK}#alert-{kind.replace('_', '-')}"
    paragraphs: list[str] = []
    for alert in alerts[:SHOWN_ALERTS]:
        ended = f", over at {_stamp(now)}" if phase == "over" else ""
        span = lasted(now - alert.since)
        paragraphs.append(
            f"What:  {_shown(alert.what)}\n"
            f"Since: {_stamp(alert.since)} ({span}){ended}"
            + ("" if phase == "over" else f"\nNext:  {_shown(alert.next_step)}")
        )
    if len(alerts) > SHOWN_ALERTS:
        paragraphs.append(f"And {len(alerts) - SHOWN_ALERTS} more.")
    if phase == "over" and remaining:
        paragraphs.append("Not over: " + "; ".join(_shown(alert.key.partition(" ")[2]) for alert in remaining))
    if published is None:
        readers = "Nothing is published yet."
    else:
        at = datetime.fromisoformat(published.manifest["published_at"])
        as_of = ", ".join(f"{cluster} {until or 'never'}" for cluster, until in published.manifest["as_of"].items())
        readers = (
            f"Readers have version {published.manifest['version']}, published {_stamp(at)} ({lasted(now - at)} ago), "
            f"as of {_shown(as_of)}."
        )
    paragraphs.append(f"Numbers: {', '.join(affected) or 'none'}\n{readers}")
    paragraphs.append(f"Runbook: {runbook}")
    fields = {
        "site": site.content.site.name,
        "kind": kind,
        "phase": phase,
        "subject": subject,
        "alerts": [
            {
                "what": alert.what,
                "since": _stamp(alert.since),
                "affected": alert.affected,
                "next_step": alert.next_step,
                **alert.details,
            }
            for alert in alerts[:SHOWN_ALERTS]
        ],
        "affected": affected,
        "published_version": published and published.manifest["version"],
        "published_at": published and published.manifest["published_at"],
        "runbook": runbook,
        "sent_at": _stamp(now),
    }
    return Message(_shown(subject)[:200], "\n\n".join(paragraphs) + "\n", _harmless(fields))


def test_message(site: Site, now: datetime) -> Message:
    """What is sent to see whether messages arrive."""
    name = site.content.site.name
    subject = _shown(f"[capacity {name}] Test: alerts of this site arrive")
    text = f"Somebody asked for this message at {_stamp(now)}. Nothing is wrong.\n\nRunbook: {RUNBOOK}#alerts\n"
    return Message(subject, text, _harmless({"site": name, "kind": "test", "subject": subject, "sent_at": _stamp(now)}))


def _harmless(value: Any) -> Any:
    """The same, with texts as they are shown."""
    if isinstance(value, dict):
        return {_shown(key): _harmless(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_harmless(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else _shown(value)


def _shown(text: object) -> str:
    told = plain(" ".join(str(text).split()))
    return told if len(told) <= SHOWN_CHARACTERS else f"{told[: SHOWN_CHARACTERS - 1]}…"


def _stamp(instant: datetime) -> str:
    return instant.isoformat("T", "seconds").replace("+00:00", "Z")
