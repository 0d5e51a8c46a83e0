"""The kinds of values in a site file: names, zones, patterns, addresses; each refuses what it is not.

What belongs here: what one value may be. What does not: sections, and rules over several values (`site_sections`).
"""

import re
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("expected a time zone of the IANA database, such as 'UTC' or 'Europe/Oslo'") from error
    return name


def _valid_pattern(pattern: str) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from error
    if "at" not in compiled.groupindex:
        raise ValueError("expected a named group (?P<at>…) around the time in the file's name")
    return pattern


def _inside_landing(pattern: str) -> str:
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts or "://" in pattern:
        raise ValueError("expected a path or pattern relative to the landing folder, without '..'")
    if not Path(pattern).parts or any("**" in part and part != "**" for part in Path(pattern).parts):
        raise ValueError("expected a path or pattern such as '*/jobs-*.psv'; '**' stands for whole folders")
    return pattern


def _folder_or_store(landing: str) -> str:
    if "://" not in landing:
        return landing
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/@]+)*/?", landing):
        raise ValueError("expected a folder, or a store such as 's3://bucket/prefix', without keys or passwords")
    if {".", ".."}.intersection(landing.split("/")):
        raise ValueError("expected a prefix without '.' and '..'")
    return landing


def _endpoint(url: str) -> str:
    if not re.fullmatch(r"https?://[^/@?#\s]+/?", url):
        raise ValueError("expected a scheme, a host and perhaps a port, such as 'https://store.example.org:9000'")
    return url


def _domain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", name):
        raise ValueError("expected what stands behind the dot after a node's name, such as 'fox' or 'example.org'")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200)]
TimeZone = Annotated[str, AfterValidator(_known_zone)]
TimePattern = Annotated[str, AfterValidator(_valid_pattern)]
LandingPattern = Annotated[str, AfterValidator(_inside_landing)]
FolderOrStore = Annotated[str, AfterValidator(_folder_or_store)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Domain = Annotated[str, AfterValidator(_domain)]


CHARGE_COLUMNS = {
    "ProviderName": "provider_name",
    "BillingAccountId": "billing_account_id",
    "SubAccountId": "sub_account_id",
    "RegionId": "region_id",
    "AvailabilityZone": "availability_zone",
    "ChargeCategory": "charge_category",
    "ChargeDescription": "charge_description",
    "CommitmentDiscountId": "commitment_discount_id",
    "CapacityReservationId": "capacity_reservation_id",
    "ResourceId": "resource_id",
    "ResourceName": "resource_name",
    "ResourceType": "resource_type",
    "ServiceCategory": "service_category",
    "ServiceName": "service_name",
    "SkuId": "sku_id",
    "SkuPriceId": "sku_price_id",
}
"""The columns of a bill that rules may look at."""


def _charge_column(name: str) -> str:
    if name not in CHARGE_COLUMNS and not re.fullmatch(r"Tags\..+", name):
        raise ValueError(f"expected one of {listed([*CHARGE_COLUMNS, 'Tags.<key>'])}")
    return name


ChargeColumn = Annotated[str, AfterValidator(_charge_column)]
Pattern = Annotated[str, Field(min_length=1, max_length=400)]


ClusterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
"""Names a folder and is an argument of commands, so that it begins neither with a dot nor with a dash."""

Address = Annotated[str, Field(pattern=r"^[^\s@<>()\[\],;:\"\\]+@[^\s@<>()\[\],;:\"\\]+$", max_length=254)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A secret is named by the environment variable that holds it, and never written into a site file."""


def listed(names: Any) -> str:
    """Names in a sentence."""
    return ", ".join(f"'{name}'" for name in sorted(names))
