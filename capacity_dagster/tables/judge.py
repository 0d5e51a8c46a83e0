"""Great Expectations itself: runs a checkpoint on a batch, and says what it found of each rule.

What belongs here: the one place that imports Great Expectations to judge. What does not: which rules there are
(`expectations`, `suites`), their SQL, pages (`data_docs`).
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SHOWN_VALUES = 5
"""How many unexpected values of a rule are kept."""

import_cpu_seconds: list[float] = []
"""What importing Great Expectations took, where this process did: nothing that a table would answer for."""


@dataclass(frozen=True)
class Verdict:
    """What Great Expectations says of one rule.

    Attributes:
        problem: why the rule could not be evaluated: a defect of ours, never of the data.
        result: its counts and some unexpected values, or the value that it observed, as plain values.
        places: the places in the batch of some rows that break it.
    """

    rule: str
    passes: bool
    problem: str | None
    result: dict[str, Any]
    places: tuple[int, ...] = ()


def great_expectations() -> ModuleType:
    """The package, whose import is timed: it takes seconds, and most processes never judge anything."""
    started = time.process_time()
    import great_expectations as gx

    if not import_cpu_seconds:
        import_cpu_seconds.append(time.process_time() - started)
    return gx


class CpuTime:
    """CPU seconds since it was made, without the import of Great Expectations."""

    def __init__(self) -> None:
        self._started = time.process_time()
        self._imported = sum(import_cpu_seconds)

    @property
    def seconds(self) -> float:
        """So far."""
        return time.process_time() - self._started - (sum(import_cpu_seconds) - self._imported)


def judge(name: str, batch: "pd.DataFrame", expectations: Sequence[dict[str, Any]]) -> dict[str, Verdict]:
    """The verdict on each rule of a batch, by the rule's name.

    Args:
        expectations: Great Expectations' configurations, each with the rule's name in its `meta`.
    """
    gx = great_expectations()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # A context costs milliseconds; one that is kept would collect the results of every run.
    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        ),
    )
    source = context.data_sources.add_pandas("batches")
    data = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("batch")
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(expectations)))
    validation = gx.ValidationDefinition(name=name, data=data, suite=suite)
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(validation)],
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": SHOWN_VALUES},
    )
    with warnings.catch_warnings():
        # Groups are how a contract's pattern says "one of"; nobody wants to extract them.
        warnings.filterwarnings("ignore", message="This pattern is interpreted as a regular expression")
        found = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": batch})
    verdicts = (_verdict(result) for validated in found.run_results.values() for result in validated.results)
    return {verdict.rule: verdict for verdict in verdicts}


def _verdict(result: Any) -> Verdict:
    # Either the information of one exception or, by metric, that of each metric that raised one.
    info = result.exception_info
    infos = [info] if "raised_exception" in info else info.values()
    raised = [str(each["exception_message"]) for each in infos if each["raised_exception"]]
    plain = result.to_json_dict()
    places = plain["result"].pop("partial_unexpected_index_list", None) or ()
    return Verdict(
        rule=plain["expectation_config"]["meta"]["rule"],
        passes=bool(result.success),
        problem="; ".join(raised) or None,
        result=plain["result"],
        places=tuple(places),
    )
