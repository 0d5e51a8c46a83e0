"""The sections of a site file: each key with its type, its default and what it means.

What belongs here: the shape of `site.toml` and the rules within it. What does not: reading it, the site's folders.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from capacity_dagster.site_values import (
    Address,
    ChargeColumn,
    ClusterName,
    Domain,
    Endpoint,
    FolderOrStore,
    LandingPattern,
    Name,
    Pattern,
    TimePattern,
    TimeZone,
    VariableName,
    listed,
)

SourceKind = Literal[
    "slurm_jobs",
    "slurm_queue",
    "slurm_nodes",
    "slurm_node_events",
    "slurm_reservations",
    "slurm_associations",
    "slurm_account_usage",
    "slurm_suspensions",
    "slurm_qos",
    "slurm_cluster_usage",
    "inventory",
    "org_mapping",
    "entitlements",
    "purchase_lots",
    "flat_costs",
    "power_rates",
    "exchange_rates",
    "focus_charges",
]

CLUSTER_SOURCES = frozenset({"slurm_nodes", "slurm_queue"})
"""Kinds whose files never say which cluster they describe, so that the site file must."""

UNASSIGNED = "unassigned"
"""Cluster, pool and model of what belongs to none that is known."""

SNAPSHOT_SOURCES = frozenset({"slurm_queue"})
"""Kinds that say what was true at one instant: the file's collection time, where its lines do not say."""


class Section(BaseModel):
    """What all sections share: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSection(Section):
    """What is true of the whole site."""

    name: Name
    first_day: date
    """The first reporting day that is accounted for: nothing before it is counted."""
    reporting_time_zone: TimeZone = "UTC"
    landing: FolderOrStore = "landing"
    """A folder, or a prefix of a store that speaks S3 (`s3://bucket/prefix`)."""
    keep_versions: Annotated[int, Field(ge=2)] = 14
    """How many of the newest published versions are kept."""
    keep_days: Annotated[int, Field(ge=0)] = 14
    """Of how many days before that of the newest version the last version of the day is kept besides."""


class Cluster(Section):
    """One scheduler's cluster, or what is rented beside any."""

    scheduler: Literal["slurm", "none"] = "slurm"
    """`none`: known from bills alone."""
    time_zone: TimeZone | None = None
    """The zone of times that a delivery writes without one; a source may override it."""
    domain: Domain | None = None
    """What an inventory writes behind the scheduler's names of nodes: with `fox`, `gpu-9.fox` is `gpu-9`."""
    node_aliases: dict[Name, Name] = {}
    """Other names that an inventory gives nodes, with the scheduler's name of each."""


class Source(Section):
    """Where one kind of delivery lands, and what its files do not say themselves."""

    kind: SourceKind
    files: LandingPattern
    cluster: Name | None = None
    time_zone: TimeZone | None = None
    columns: tuple[Name, ...] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    collected_at: TimePattern | None = None


class Accelerator(Section):
    """An accelerator model and the names that schedulers and inventories give it."""

    description: str = ""
    aliases: tuple[Name, ...] = ()
    memory_gb: Annotated[int, Field(ge=1)] | None = None
    """Memory of one device; from it and `compute_slices` follows what a MIG profile weighs."""
    compute_slices: Literal[4, 7] = 7
    """Into how many compute slices MIG cuts a device."""


class Pool(Section):
    """A pool of accelerators that is priced as one."""

    tenure: Literal["owned", "committed", "on_demand"] = "owned"
    """Of what cost sheets say; bills say it themselves."""
    description: str = ""


class WorkloadClass(Section):
    """Attempts of these partitions or qualities of service are of this class; the first rule that fits wins."""

    name: Name
    partitions: tuple[Name, ...] = ()
    qos: tuple[Name, ...] = ()


class ChargeRule(Section):
    """Charges of bills that belong to a pool; the first rule that fits wins, and what none fits is `unassigned`."""

    cluster: Name
    pool: Name
    cost_component: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | None = None
    """What the charge pays for; without it the charge's ServiceCategory says."""
    accelerator_model: Name | None = None
    """The model that it pays for; without it the instance type says, if any."""
    charges: Annotated[dict[ChargeColumn, Pattern], Field(min_length=1)]
    """What a charge's columns must be: `*` stands for any text; `Tags.team` is the tag `team`."""


class EndedAccount(Section):
    """A provider's billing account that charges nothing more, so that no bill of it is missed afterwards."""

    provider: Name
    """As its bills say in `ProviderName`."""
    billing_account_id: Name
    """As its bills say in `BillingAccountId`."""
    last_day: date
    """The last day for which it charged something."""


class EndedSource(Section):
    """A source that tells nothing more of a cluster, so that it is not missed afterwards; what it told stays."""

    kind: SourceKind
    cluster: ClusterName
    last_day: date
    """The last day that it told of."""


class InstanceType(Section):
    """What a rented instance holds, where its bill does not say."""

    accelerator_model: Name
    accelerators: Annotated[int, Field(ge=1)]


class Reconciliation(Section):
    """How far the scheduler's own totals may differ, unexplained, before nothing more is published."""

    tolerance_seconds: Annotated[int, Field(ge=0)] = 0
    """In resource-seconds of one compared total; a total passes that keeps this or the share."""
    tolerance_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """As a share of the scheduler's total."""


class Trust(Section):
    """How much of what is delivered may be rejected before nothing more is published."""

    reject_share_limit: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Of the records of one source, cluster and day that are in use or rejected."""
    reject_rows_tolerated: Annotated[int, Field(ge=0)] = 10
    """As many rejected records of a source, cluster and day never block."""


class Costs(Section):
    """How purchases and bills become costs of a day."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    """The currency into which all costs are converted, by delivered exchange rates; without it each keeps its own."""

    depreciation: Literal["straight_line", "annuity"] = "straight_line"
    """Which of the two is part of the cost; both are shown."""
    cost_of_capital: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What capital costs in a year (WACC), such as 0.1; without it there is no annuity."""
    idle_policy: Literal["central", "proportional", "entitlement", "hybrid"] = "central"
    """Who is charged in `report.focus_charges` for what nobody used; showback has all of them."""

    @model_validator(mode="after")
    def _annuity_has_a_rate(self) -> "Costs":
        if self.depreciation == "annuity" and self.cost_of_capital is None:
            raise ValueError("costs: depreciation is 'annuity'; expected a key 'cost_of_capital', such as 0.1")
        return self


class Privacy(Section):
    """What of people is published. The key is never in the site file, which is copied and shown."""

    pseudonymise_users: bool = False
    """Whether users are named by a keyed hash in all that is published and shown."""
    key_file: Annotated[str, Field(min_length=1)] | None = None
    """The file that holds the key, relative to the site file."""
    key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The environment variable that holds the key, in place of a file."""
    drop_job_names: bool = False
    """Whether jobs are published without their names, in which users may name themselves and others."""

    @model_validator(mode="after")
    def _has_one_key(self) -> "Privacy":
        if self.key_file is not None and self.key_variable is not None:
            raise ValueError("privacy: has 'key_file' and 'key_variable'; expected one of them")
        if self.pseudonymise_users and self.key_file is None and self.key_variable is None:
            raise ValueError("privacy: users are to be pseudonymised; expected a key 'key_file' or 'key_variable'")
        return self


class Resources(Section):
    """What a build may use of the machine."""

    memory_limit: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(MB|GB|MiB|GiB)$")] = "800MB"
    """What the database may hold in memory before it spills to `work/tmp`; a build takes about 600 MB besides."""
    threads: Annotated[int, Field(ge=1)] | None = None


class Landing(Section):
    """How the landing is reached and watched."""

    endpoint: Endpoint | None = None
    """Of a store that speaks S3 and is not Amazon's. Keys come from the environment, never from here."""
    region: Name | None = None
    """Of the store; by default, what the environment says."""
    settle_seconds: Annotated[int, Field(ge=0)] = 60
    """For how long a file must not change before it counts as arrived."""
    longest_wait_seconds: Annotated[int, Field(ge=0)] = 900
    """After which a build is requested although something is still being written."""
    late_after_days: Annotated[int, Field(ge=0)] = 3
    """A new file is late if its day lies further than this before the newest of its kind."""


class SlurmCollection(Section):
    """How `capacity collect slurm` collects."""

    days: Annotated[int, Field(ge=0)] = 14
    """How many days before today are asked for again, for what became known late."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 600
    """After which a single command is stopped."""
    keep_superseded: bool = False
    """Whether every file that was ever collected is kept."""


class Collect(Section):
    """What is collected, by scheduler."""

    slurm: SlurmCollection = SlurmCollection()


class Smtp(Section):
    """The server that takes e-mail."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$")] = "localhost"
    tls: Literal["starttls", "tls", "none"] = "starttls"
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Without it 587 for `starttls`, 465 for `tls`, 25 for `none`."""
    sender: Address = "capacity-dagster@localhost"
    user: Annotated[str, Field(min_length=1)] | None = None
    password_variable: VariableName | None = None

    @model_validator(mode="after")
    def _password_is_hidden(self) -> "Smtp":
        if (self.user is None) != (self.password_variable is None):
            raise ValueError("alerts.smtp: expected both of 'user' and 'password_variable', or neither")
        if self.user and self.tls == "none":
            raise ValueError("alerts.smtp: tls is 'none', which shows the password; expected 'starttls' or 'tls'")
        return self


class StaleRule(Section):
    """After how long without a delivery one source is stale."""

    kind: SourceKind
    cluster: ClusterName | None = None
    stale_after_hours: Annotated[float, Field(gt=0)]
    """`inf`: never."""


class Alerts(Section):
    """Who is told when something needs somebody."""

    recipients: tuple[Address, ...] = ()
    smtp: Smtp = Smtp()
    webhook_variable: VariableName | None = None
    """The environment variable that holds the webhook's URL, which is a secret."""
    webhook_fields: Literal["all", "text"] = "all"
    """`text`: for chat tools that refuse a field that they do not know."""
    stale_after_hours: Annotated[float, Field(gt=0)] = 36
    """After how long a source that delivered regularly is stale, or twice its usual gap where that is longer."""
    sources: tuple[StaleRule, ...] = ()
    """Other limits for some sources; the first that fits wins."""
    sample_rows: bool = True
    """Whether messages quote a row that breaks a check, which may name people."""
    runbook_url: Annotated[str, Field(pattern=r"^https?://[^\s#]+$")] | None = None
    """Where the site's engineers read docs/runbook.md."""

    @property
    def has_receiver(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.recipients or self.webhook_variable)


class SiteFile(Section):
    """The whole of `site.toml`."""

    site: SiteSection
    clusters: Annotated[dict[ClusterName, Cluster], Field(min_length=1)]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    accelerators: dict[Name, Accelerator] = {}
    pools: dict[Name, Pool] = {}
    workload_classes: tuple[WorkloadClass, ...] = ()
    charge_rules: tuple[ChargeRule, ...] = ()
    ended_accounts: tuple[EndedAccount, ...] = ()
    ended_sources: tuple[EndedSource, ...] = ()
    instance_types: dict[Name, InstanceType] = {}
    costs: Costs = Costs()
    reconciliation: Reconciliation = Reconciliation()
    trust: Trust = Trust()
    landing: Landing = Landing()
    privacy: Privacy = Privacy()
    resources: Resources = Resources()
    collect: Collect = Collect()
    alerts: Alerts = Alerts()

    @model_validator(mode="after")
    def _consistent(self) -> "SiteFile":
        for position, source in enumerate(self.sources, start=1):
            where = f"sources[{position}] ({source.kind}, {source.files})"
            self._require_declared(where, source.cluster)
            if source.cluster is None and source.kind in CLUSTER_SOURCES:
                raise ValueError(f"{where}: its files do not name their cluster; expected a key 'cluster'")
        for position, rule in enumerate(self.charge_rules, start=1):
            self._require_declared(f"charge_rules[{position}]", rule.cluster)
        accounts = [(each.provider, each.billing_account_id) for each in self.ended_accounts]
        for position, account in enumerate(accounts, start=1):
            if account in accounts[: position - 1]:
                raise ValueError(
                    f"ended_accounts[{position}]: account '{account[1]}' of '{account[0]}' is there already; "
                    "expected it once"
                )
        ended = [(each.kind, each.cluster) for each in self.ended_sources]
        for position, (kind, cluster_name) in enumerate(ended, start=1):
            self._require_declared(f"ended_sources[{position}]", cluster_name)
            if (kind, cluster_name) in ended[: position - 1]:
                raise ValueError(
                    f"ended_sources[{position}]: {kind} of '{cluster_name}' is there already; expected it once"
                )
        for position, stale_rule in enumerate(self.alerts.sources, start=1):
            self._require_declared(f"alerts.sources[{position}]", stale_rule.cluster)
        if UNASSIGNED in self.clusters:
            raise ValueError(
                f"clusters: '{UNASSIGNED}' is where charges go that no rule assigns; expected another name"
            )
        for name, cluster in self.clusters.items():
            for alias, node in cluster.node_aliases.items():
                if node in cluster.node_aliases:
                    raise ValueError(
                        f"clusters.{name}.node_aliases: '{alias}' stands for '{node}', which is an alias itself; "
                        "expected the scheduler's name"
                    )
        owners: dict[str, str] = {}
        for model, accelerator in self.accelerators.items():
            for alias in (model, *accelerator.aliases):
                other = owners.setdefault(alias.lower(), model)
                if other != model:
                    raise ValueError(f"accelerators: '{alias}' names both '{other}' and '{model}'; expected one model")
        return self

    def _require_declared(self, where: str, cluster: str | None) -> None:
        if cluster is not None and cluster not in self.clusters:
            raise ValueError(f"{where}: cluster '{cluster}' is not declared; expected one of {listed(self.clusters)}")
