"""Files with something wrong in them: how each is made, and what must become of it.

What belongs here: what a reader is given. What does not: what is wrong with the landing or a site (`places`).
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from capacity_dagster.site_sections import SourceKind

T0 = 1_767_225_600  # 2026-01-01T00:00:00Z
HOUR = 3600

JOBS = "Cluster|JobIDRaw|Submit|Start|End|ElapsedRaw|State|NNodes|AllocCPUS|TimelimitRaw|AllocTRES|NodeList|JobName"
EVENTS = "Cluster|NodeName|TimeStart|TimeEnd|State|Reason"
RESERVATIONS = "Cluster|Name|NodeName|TimeStart|TimeEnd|TRES"
INVENTORY = "cluster,node,pool,accelerator_model,accelerators,in_service_at,retired_at"
TEAMS = "cluster,account,user,team,valid_from,valid_to"
LOTS = "lot_id,cluster,pool,accelerator_model,accelerators,price,residual,currency,in_service_at,life_months"
COSTS = "cluster,pool,cost_component,amount,currency,period_start_at,period_end_at"
POWER = "cluster,pool,kilowatts,pue,price_per_kwh,currency,valid_from,valid_to"
RATES = "from_currency,to_currency,rate,valid_from,valid_to"
BILL = (
    "ProviderName,BillingAccountId,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,"
    "ChargeCategory,BillingCurrency,BilledCost,EffectiveCost,ResourceId"
)
REPORT = f"""{"-" * 80}
Cluster/Account/User Utilization 2026-01-01T00:00:00 - 2026-01-01T00:59:59 (3600 secs)
Usage reported in TRES Seconds
{"-" * 80}
Cluster|Account|Login|Proper Name|TRES Name|Used
alpha|root|||gres/gpu|3600
"""


@dataclass(frozen=True)
class Content:
    """A file with something wrong in it.

    Attributes:
        id: names it, in words.
        what: what is wrong, for the page.
        make: its bytes.
        refused: a part of the message with which the whole file is refused; None: it is read.
        rejected: how many records are rejected, by reason.
        accepted: how many records are accepted.
        source: further keys of its source in the site file.
        is_large: it takes seconds, and is read by `make faults` alone.
    """

    id: str
    what: str
    kind: SourceKind
    make: Callable[[], bytes]
    refused: str | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)
    is_large: bool = False


def job(job_id: int | str = 7, **changed: str | int) -> str:
    """A record of a job that held two accelerators for an hour, with some columns changed."""
    values: dict[str, str | int] = {
        "Cluster": "alpha",
        "JobIDRaw": job_id,
        "Submit": T0,
        "Start": T0,
        "End": T0 + HOUR,
        "ElapsedRaw": HOUR,
        "State": "COMPLETED",
        "NNodes": 1,
        "AllocCPUS": 4,
        "TimelimitRaw": 60,
        "AllocTRES": "cpu=4,gres/gpu=2,node=1",
        "NodeList": "h1",
        "JobName": "train",
    }
    assert changed.keys() <= values.keys()
    return "|".join(str(value) for value in (values | changed).values())


def charge(**changed: str) -> str:
    """A charge of an hour on a bill, with some columns changed."""
    values = {
        "ProviderName": "P",
        "BillingAccountId": "1",
        "BillingPeriodStart": "2026-01-01T00:00:00Z",
        "BillingPeriodEnd": "2026-02-01T00:00:00Z",
        "ChargePeriodStart": "2026-01-01T00:00:00Z",
        "ChargePeriodEnd": "2026-01-01T01:00:00Z",
        "ChargeCategory": "Usage",
        "BillingCurrency": "USD",
        "BilledCost": "1.5",
        "EffectiveCost": "1.5",
        "ResourceId": "r",
    }
    assert changed.keys() <= values.keys()
    return ",".join((values | changed).values())


def lines(*text: str) -> Callable[[], bytes]:
    """Lines of text, each ended."""
    return lambda: "".join(f"{line}\n" for line in text).encode()


def text(content: str, encoding: str = "utf-8") -> Callable[[], bytes]:
    """Text as it is, in an encoding."""
    return lambda: content.encode(encoding)


def jobs(*records: str) -> Callable[[], bytes]:
    """A file of job records between two good ones."""
    return lines(JOBS, job(1), *records, job(2))


def gz(make: Callable[[], bytes], keep: float = 1.0, add: bytes = b"") -> Callable[[], bytes]:
    """A gz file of which a part is kept, and something is added."""

    def made() -> bytes:
        whole = gzip.compress(make(), mtime=0)
        return whole[: int(len(whole) * keep)] + add

    return made


def parquet(columns: Mapping[str, Any], keep: float = 1.0) -> Callable[[], bytes]:
    """A Parquet file of which a part is kept."""

    def made() -> bytes:
        stored = io.BytesIO()
        pq.write_table(pa.table(dict(columns)), stored)
        return stored.getvalue()[: int(len(stored.getvalue()) * keep)]

    return made


def bomb(unit: bytes, megabytes: int) -> Callable[[], bytes]:
    """A small gz file of very much text."""

    def made() -> bytes:
        packer = zlib.compressobj(9, wbits=31)
        block = unit * ((1 << 20) // len(unit))
        return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()

    return made


def answer(*elements: Any, array: str = "jobs") -> Callable[[], bytes]:
    """An answer in JSON."""
    return lambda: json.dumps({array: list(elements)}).encode()


JSON_JOB = {
    "job_id": 7,
    "cluster": "alpha",
    "state": {"current": ["COMPLETED"]},
    "time": {"submission": T0, "start": T0, "end": T0 + HOUR, "elapsed": HOUR},
    "nodes": "h1",
    "tres": {"allocated": [{"type": "cpu", "count": 4}, {"type": "gres", "name": "gpu", "count": 2}]},
}
GOOD_LOT = "lot-1,alpha,train,h100,8,100000,0,USD,2026-01-01T00:00:00Z,48"


def lot(**changed: str) -> str:
    """A purchase, with some columns changed."""
    values = dict(zip(LOTS.split(","), GOOD_LOT.split(","), strict=True))
    assert changed.keys() <= values.keys()
    return ",".join((values | changed).values())


ALPHA = {"cluster": "alpha"}
UTC = {"time_zone": "UTC"}
