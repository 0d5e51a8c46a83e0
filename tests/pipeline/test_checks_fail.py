"""Every check of a table finds the damage that it is there for: one that cannot fail says nothing by passing."""

import shutil
from collections.abc import Iterator

import pytest

from capacity_dagster.materialise import Materialiser
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.tables.catalogue import DAYS, SCOPES, load_catalogue
from capacity_dagster.tables.checks import check_sql
from capacity_dagster.warehouse import Warehouse

CHECKS = {f"{table.full_name} {check.name}": check for table in load_catalogue() for check in table.checks}

A_BILL = """
    'cloud' as provider_name, '1' as billing_account_id, timestamp '2026-11-01' as billing_period_start_at,
    1.0 as billed_cost, 1.0 as effective_cost
"""
TWICE = "cross join (values (timestamp '2026-11-01'), (timestamp '2026-11-15')) as twice (since_at)"
UNTIL = "timestamp '9999-01-01' as valid_to_at"

# What is done to the tables of the demonstration site, by check. Where they hold nothing to damage, it is put there.
DAMAGES = [
    (
        "core.bills bills_are_delivered_once",
        f"""
        insert into core.bills by name
            select true as is_current, load_id, load_id as source_file, {A_BILL}
            from (values ('a'), ('b')) as l (load_id);
        create or replace view pipeline.raw.focus_charges as
            select load_id, 's' as subject_id, 1.0 as pricing_quantity, {A_BILL},
                timestamp '2026-11-01' as charge_period_start_at, timestamp '2026-11-02' as charge_period_end_at
            from core.bills
    """,
    ),
    (
        "core.charges bills_do_not_overlap",
        """
        insert into core.charges
            select * replace ('late' as charge_id, starts_at + interval 1 hour as starts_at)
            from core.charges where accelerator_model is null limit 1
    """,
    ),
    (
        "core.exchange_rates one_rate_at_a_time",
        f"""
        insert into core.exchange_rates by name
            select 'EUR' as from_currency, '' as provider_name, since_at as valid_from_at, {UNTIL}
            from (select 1) {TWICE}
    """,
    ),
    (
        "core.accruals every_currency_has_a_rate",
        """
        update core.accruals set currency = 'EUR' where accrual_id in (select charge_id from core.charges limit 1)
    """,
    ),
    (
        "core.attempts local_times_have_one_meaning",
        """
        create or replace temp view records_in_scope as
            select * replace (true as has_ambiguous_time) from raw.slurm_jobs
    """,
    ),
    (
        "core.attempts no_attempt_is_lost",
        """
        delete from core.attempts where attempt_id = (select max(attempt_id) from core.attempts)
    """,
    ),
    (
        "core.attempts one_database_record_per_attempt",
        """
        create or replace temp view records_in_scope as
            from raw.slurm_jobs union all select * replace (db_index + 1 as db_index) from raw.slurm_jobs
    """,
    ),
    ("core.attempts reservations_have_names", "update core.attempts set reservation_name = '#3'"),
    ("core.node_gres accelerators_are_accounted", "update core.node_gres set is_accounted = false, cluster = 'gamma'"),
    (
        "core.inventory one_pool_at_a_time",
        """
        insert into core.inventory select * replace ('another' as pool) from core.inventory limit 1
    """,
    ),
    (
        "core.placements places_exactly_what_was_allocated",
        """
        update core.placements set accelerator_units = accelerator_units + 1
        where rowid = (select max(rowid) from core.placements)
    """,
    ),
    (
        "core.runaway_attempts the_books_hold_nothing_open",
        """
        insert into core.runaway_attempts by name select attempt_id from core.attempts limit 1
    """,
    ),
    (
        "core.rejected_attempts every_share_is_declared",
        """
        insert into core.rejected_attempts by name select attempt_id from core.attempts limit 1
    """,
    ),
    (
        "core.teams one_team_at_a_time",
        f"""
        insert into core.teams by name
            select 'alpha' as cluster, 'a' as account, '' as user_name, 't' as team, since_at as valid_from_at, {UNTIL}
            from (select 1) {TWICE}
    """,
    ),
    ("core.entitlements entitlements_name_what_there_is", "update core.entitlements set team = 'nobody'"),
    (
        "core.entitlements one_entitlement_at_a_time",
        """
        insert into core.entitlements
            select * replace (valid_from_at + interval 1 day as valid_from_at) from core.entitlements limit 1
    """,
    ),
    (
        "core.power_rates one_power_rate_at_a_time",
        f"""
        insert into core.power_rates by name
            select 'alpha' as cluster, 'p' as pool, 'm' as accelerator_model, since_at as valid_from_at, {UNTIL}
            from (select 1) {TWICE}
    """,
    ),
    (
        "core.power_rates power_is_paid_once",
        f"""
        insert into core.power_rates by name
            select cluster, pool, 'm' as accelerator_model, starts_at as valid_from_at, {UNTIL}
            from core.charges where cost_component = 'power' limit 1
    """,
    ),
    (
        "core.rejected_records every_rejected_line_is_kept",
        """
        insert into core.rejected_records by name
            select 'slurm_jobs' as source, 'raw' as rejected_in, 1 as rows_delivered
    """,
    ),
    ("core.day_trust sources_tell_of_each_day", "update core.day_trust set missing_sources = 'slurm_jobs'"),
    (
        "core.inventory_conflicts scheduler_agrees_with_inventory",
        """
        insert into core.inventory_conflicts by name select 'alpha' as cluster, 'n1' as node
    """,
    ),
    (
        "mart.attempt_nodes attempts_are_placed_whole",
        """
        delete from mart.attempt_nodes where attempt_id = (select max(attempt_id) from mart.attempt_nodes)
    """,
    ),
    (
        "mart.attempt_hours held_is_what_attempts_held",
        """
        update mart.attempt_hours set held_unit_seconds = held_unit_seconds - 1
        where rowid = (select max(rowid) from mart.attempt_hours)
    """,
    ),
    (
        "mart.capacity_ledger_hourly conserves_installed",
        """
        update mart.capacity_ledger_hourly set unit_seconds = unit_seconds - 1
        where rowid = (select max(rowid) from mart.capacity_ledger_hourly)
    """,
    ),
    (
        "mart.cost_daily costs_sum_to_the_charges",
        """
        update mart.cost_daily set cost = cost + 0.000000000001 where rowid = (select max(rowid) from mart.cost_daily)
    """,
    ),
    (
        "mart.cost_daily power_has_an_exchange_rate",
        """
        insert into mart.cost_daily
            select * replace ('power' as cost_component, 'EUR' as currency) from mart.cost_daily;
        insert into mart.energy_daily by name
            select usage_date, cluster, pool, currency from mart.cost_daily where currency = 'EUR'
    """,
    ),
    (
        "report.bill_bridge_monthly charges_have_a_pool",
        """
        insert into report.bill_bridge_monthly by name select 1 as unassigned_cost
    """,
    ),
    (
        "report.bill_bridge_monthly kinds_sum_to_the_bills",
        f"""
        insert into report.bill_bridge_monthly by name
            select date '2026-11-01' as billing_month, * exclude (billing_period_start_at) from (select {A_BILL})
    """,
    ),
    (
        "report.commitments_daily commitments_are_paid_back",
        """
        insert into core.billed_charges by name
            select 'cloud' as provider_name, 'c' as commitment_discount_id, 'USD' as currency,
                category as charge_category, cost as billed_cost, cost as effective_cost,
                timestamp '2026-11-01' as starts_at, timestamp '2026-12-01' as ends_at
            from (values ('Purchase', 100), ('Usage', 99)) as l (category, cost)
    """,
    ),
    (
        "report.fleet_efficiency_daily states_sum_to_installed",
        """
        update report.fleet_efficiency_daily set idle_unit_seconds = idle_unit_seconds - 1
        where rowid = (select max(rowid) from report.fleet_efficiency_daily)
    """,
    ),
    (
        "report.cost_per_accelerator_hour_daily components_sum_to_the_cost",
        """
        update report.cost_per_accelerator_hour_daily set power_cost = power_cost + 0.000000000001
        where known_cost is not null
    """,
    ),
    (
        "report.cost_per_accelerator_hour_daily components_sum_to_the_cost",
        """
        insert into report.cost_per_accelerator_hour_daily select * replace ('elsewhere' as pool)
            from report.cost_per_accelerator_hour_daily where known_cost > 0 limit 1
    """,
    ),
    (
        "report.cost_per_accelerator_hour_daily ended_accounts_charge_nothing_more",
        """
        insert into site.ended_accounts by name
            select 'cloud' as provider_name, '1' as billing_account_id, date '2026-11-01' as last_date
    """,
    ),
    (
        "report.cost_per_accelerator_hour_daily installed_accelerators_are_priced",
        """
        update report.cost_per_accelerator_hour_daily set unpriced_hours = 1
    """,
    ),
    (
        "report.cost_per_accelerator_hour_monthly days_sum_to_the_month",
        """
        update report.cost_per_accelerator_hour_monthly set known_cost = known_cost + 0.000000000001
    """,
    ),
    (
        "report.data_trust_daily every_record_is_accounted_for",
        """
        update report.data_trust_daily set rows_accepted = rows_accepted - 1
        where rowid = (select max(rowid) from report.data_trust_daily where rows_accepted > 0)
    """,
    ),
    (
        "report.data_trust_daily rejects_are_within_the_limit",
        """
        insert into core.rejected_records by name
            select usage_date, 'slurm_jobs' as source, 'alpha' as cluster, usage_date as record_at, false as is_released
            from core.cluster_days, range(5000)
    """,
    ),
    (
        "report.team_efficiency_daily teams_sum_to_the_fleet",
        """
        update report.team_efficiency_daily set allocated_unit_seconds = allocated_unit_seconds - 1
        where rowid = (select max(rowid) from report.team_efficiency_daily where allocated_unit_seconds > 0)
    """,
    ),
    (
        "report.team_efficiency_daily teams_sum_to_the_fleet",
        """
        insert into report.team_efficiency_daily select * replace ('elsewhere' as pool)
            from report.team_efficiency_daily where held_unit_seconds > 0 limit 1
    """,
    ),
    (
        "report.showback_daily charges_sum_to_the_cost",
        """
        delete from report.showback_daily
        where rowid = (select max(rowid) from report.showback_daily where total_cost > 0)
    """,
    ),
    (
        "report.showback_daily entitlements_fit_the_pool",
        """
        update report.showback_daily set entitled_unit_seconds = 1000000000000
    """,
    ),
    (
        "report.focus_charges charges_sum_to_the_owned_cost",
        """
        update report.focus_charges set effective_cost = effective_cost + 0.000000000001
        where rowid = (select max(rowid) from report.focus_charges)
    """,
    ),
    (
        "report.focus_conformance bills_are_as_focus_says",
        """
        insert into report.focus_conformance by name select true as is_required
    """,
    ),
    (
        "report.focus_conformance bills_have_no_oddities",
        """
        insert into report.focus_conformance by name select 'Oddity-NegativeUsage' as rule_id
    """,
    ),
    (
        "report.reconciliation_daily nothing_is_unexplained",
        """
        update report.reconciliation_daily set unexplained = 3600, theirs = 3600
    """,
    ),
    (
        "report.restatement_journal closed_and_journal_are_what_is_known",
        """
        insert into site.closed_months by name select date '2026-11-01' as usage_month, 1 as closed_version
    """,
    ),
    (
        "report.showback_monthly adjustments_settle_closed_months",
        """
        insert into site.closed_months by name select date '2026-11-01' as usage_month, 1 as closed_version
    """,
    ),
    (
        "report.showback_monthly charges_sum_to_the_month",
        """
        update report.showback_monthly set charged_cost = charged_cost + 0.01, total_cost = total_cost + 0.01
        where rowid = (select max(rowid) from report.showback_monthly)
    """,
    ),
]


@pytest.fixture(scope="module")
def warehouse(built_demo: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A built site, open, with all days and all attempts to be checked."""
    folder = tmp_path_factory.mktemp("checked") / "site"
    shutil.copytree(built_demo.path.parent, folder)
    warehouse = Warehouse(load_site(folder))
    with warehouse.write("a test"):
        Materialiser(warehouse, load_catalogue())  # makes the relations that stand for closed months
        connection = warehouse.connection
        connection.execute(f"create or replace temp table {DAYS} as select distinct usage_date from core.cluster_days")
        for scope, source in SCOPES.items():
            connection.execute(f"create or replace temp view {scope} as select * from {source}")
        connection.execute("update site.settings set currency = 'USD'")
        yield warehouse


def test_each_check_has_its_damage() -> None:
    assert {name for name, _ in DAMAGES} == CHECKS.keys()


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=[name for name, _ in DAMAGES])
def test_a_check_fails_on_what_it_is_for(warehouse: Warehouse, name: str, damage: str) -> None:
    connection, check = warehouse.connection, CHECKS[name]
    before = check_sql(connection, check)
    assert before.has_passed or not check.blocking
    connection.execute("begin")
    try:
        connection.execute(damage)
        found = check_sql(connection, check)
    finally:
        connection.execute("rollback")
    assert found.failed_rows > before.failed_rows
    assert not found.has_passed
    assert found.sample
    assert check_sql(connection, check) == before
