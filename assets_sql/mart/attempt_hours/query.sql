-- Held time split over hours by overlap. Where the attempts on a node hold more of a model than it has, what it has is
-- shared over them in proportion, by largest remainder, and the excess is shown by holder.
with hours as (
    select cluster_hours.*
    from core.cluster_hours as cluster_hours
    inner join days on cluster_hours.usage_date = days.usage_date
),

bounds as (
    select
        cluster,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from hours
    group by cluster
),

-- What has no end is read apart, so that an engine can leave out what it stores of other times.
models as (
    select
        cluster,
        node,
        accelerator_model
    from core.node_capacity
    union
    select
        nodes.cluster,
        nodes.node,
        nodes.accelerator_model
    from mart.attempt_nodes as nodes
    inner join bounds
        on nodes.cluster = bounds.cluster and nodes.started_at < bounds.last_at and nodes.ended_at > bounds.first_at
    union
    select
        cluster,
        node,
        accelerator_model
    from mart.attempt_nodes
    where ended_at is null
),

contested as (
    select
        hours.usage_date,
        hours.hour_at,
        timeline.cluster,
        timeline.pool,
        timeline.node,
        timeline.accelerator_model,
        timeline.installed_units,
        timeline.held_units,
        greatest(timeline.starts_at, hours.starts_at) as starts_at,
        seconds_between(
            greatest(timeline.starts_at, hours.starts_at), least(timeline.ends_at, hours.ends_at)
        ) as seconds
    from mart.node_timeline as timeline
    inner join hours
        on timeline.cluster = hours.cluster
        and timeline.usage_date = hours.usage_date
        and timeline.starts_at < hours.ends_at
        and timeline.ends_at > hours.starts_at
    where timeline.held_units > timeline.installed_units
),

contested_models as (
    select distinct
        cluster,
        node,
        accelerator_model
    from contested
),

-- The pools of each model. What is held of a model in one pool, with no more held than there is, is settled: nothing is
-- left to be summed or shared.
periods as (
    select
        models.cluster,
        models.node,
        models.accelerator_model,
        coalesce(capacity.pool, 'unassigned') as pool,
        greatest(capacity.valid_from_at, bounds.first_at) as starts_at,
        least(capacity.valid_to_at, bounds.last_at) as ends_at,
        contested_models.node is null
        and count(*) over (partition by models.cluster, models.node, models.accelerator_model) = 1 as is_settled
    from models
    inner join bounds on models.cluster = bounds.cluster
    left join core.node_capacity as capacity
        on models.cluster = capacity.cluster
        and models.node = capacity.node
        and models.accelerator_model = capacity.accelerator_model
        and capacity.valid_from_at < bounds.last_at
        and capacity.valid_to_at > bounds.first_at
    left join contested_models
        on models.cluster = contested_models.cluster
        and models.node = contested_models.node
        and models.accelerator_model = contested_models.accelerator_model
),

ends as (
    select
        attempt_id,
        cluster,
        node,
        accelerator_model,
        accelerator_units,
        started_at,
        ended_at
    from mart.attempt_nodes
    where ended_at is not null
    union all
    select
        attempt_id,
        cluster,
        node,
        accelerator_model,
        accelerator_units,
        started_at,
        timestamp '9999-01-01' as ended_at
    from mart.attempt_nodes
    where ended_at is null
),

holders as (
    select
        attempt_id,
        team,
        account,
        user_name,
        workload_class,
        started_at,
        ended_at
    from mart.attempts
    where ended_at is not null
    union all
    select
        attempt_id,
        team,
        account,
        user_name,
        workload_class,
        started_at,
        timestamp '9999-01-01' as ended_at
    from mart.attempts
    where ended_at is null
),

pieces as (
    select
        ends.attempt_id,
        ends.cluster,
        periods.pool,
        ends.node,
        ends.accelerator_model,
        ends.accelerator_units,
        holders.team,
        holders.account,
        holders.user_name,
        holders.workload_class,
        periods.is_settled,
        greatest(ends.started_at, periods.starts_at) as starts_at,
        least(ends.ended_at, periods.ends_at) as ends_at
    from ends
    inner join periods
        on ends.cluster = periods.cluster
        and ends.node = periods.node
        and ends.accelerator_model = periods.accelerator_model
        and ends.started_at < periods.ends_at
        and ends.ended_at > periods.starts_at
    inner join holders
        on ends.attempt_id = holders.attempt_id
        and holders.started_at < periods.ends_at
        and holders.ended_at > periods.starts_at
),

-- Not kept: of each, two parts are read that share no row.
piece_hours as not materialized (
    select
        *,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from pieces
    where starts_at < ends_at
),

held as not materialized (
    select
        hours.usage_date,
        hours.hour_at,
        pieces.attempt_id,
        pieces.cluster,
        pieces.pool,
        pieces.node,
        pieces.accelerator_model,
        pieces.team,
        pieces.account,
        pieces.user_name,
        pieces.workload_class,
        pieces.is_settled,
        pieces.accelerator_units * seconds_between(
            greatest(pieces.starts_at, hours.starts_at), least(pieces.ends_at, hours.ends_at)
        ) as held_unit_seconds
    from piece_hours as pieces
    inner join hours
        on pieces.cluster = hours.cluster
        and pieces.hour_at = hours.hour_at
        and pieces.starts_at < hours.ends_at
        and pieces.ends_at > hours.starts_at
),

unsettled as (
    select
        usage_date,
        hour_at,
        attempt_id,
        cluster,
        pool,
        node,
        accelerator_model,
        team,
        account,
        user_name,
        workload_class,
        cast(sum(held_unit_seconds) as bigint) as held_unit_seconds
    from held
    where not is_settled
    group by
        usage_date,
        hour_at,
        attempt_id,
        cluster,
        pool,
        node,
        accelerator_model,
        team,
        account,
        user_name,
        workload_class
),

-- Dividing first keeps every product within 64 bits, up to 36,000 accelerators of a model on a node.
shares as (
    select
        contested.*,
        pieces.attempt_id,
        pieces.accelerator_units * contested.seconds as held_unit_seconds,
        (contested.installed_units * contested.seconds // contested.held_units) * pieces.accelerator_units
        + (contested.installed_units * contested.seconds % contested.held_units) * pieces.accelerator_units
        // contested.held_units as whole_share,
        (contested.installed_units * contested.seconds % contested.held_units) * pieces.accelerator_units
        % contested.held_units as remainder
    from contested
    inner join pieces
        on contested.cluster = pieces.cluster
        and contested.node = pieces.node
        and contested.accelerator_model = pieces.accelerator_model
        and contested.starts_at >= pieces.starts_at
        and contested.starts_at < pieces.ends_at
    where not pieces.is_settled
),

shared as (
    select
        *,
        whole_share + case
            when row_number() over (
                partition by cluster, node, accelerator_model, starts_at order by remainder desc, attempt_id asc
            ) <= installed_units * seconds - sum(whole_share) over (
                partition by cluster, node, accelerator_model, starts_at
            ) then 1
            else 0
        end as share
    from shares
),

excess as (
    select
        usage_date,
        hour_at,
        attempt_id,
        pool,
        node,
        accelerator_model,
        cast(sum(case when installed_units > 0 then held_unit_seconds - share else 0 end) as bigint)
            as overcommit_unit_seconds,
        cast(sum(case when installed_units = 0 then held_unit_seconds else 0 end) as bigint) as unplaced_unit_seconds
    from shared
    group by usage_date, hour_at, attempt_id, pool, node, accelerator_model
)

select
    usage_date,
    hour_at,
    attempt_id,
    cluster,
    pool,
    node,
    accelerator_model,
    team,
    account,
    user_name,
    workload_class,
    held_unit_seconds,
    held_unit_seconds as allocated_unit_seconds,
    cast(0 as bigint) as overcommit_unit_seconds,
    cast(0 as bigint) as unplaced_unit_seconds
from held
where is_settled
union all
select
    unsettled.usage_date,
    unsettled.hour_at,
    unsettled.attempt_id,
    unsettled.cluster,
    unsettled.pool,
    unsettled.node,
    unsettled.accelerator_model,
    unsettled.team,
    unsettled.account,
    unsettled.user_name,
    unsettled.workload_class,
    unsettled.held_unit_seconds,
    unsettled.held_unit_seconds
    - coalesce(excess.overcommit_unit_seconds, 0)
    - coalesce(excess.unplaced_unit_seconds, 0) as allocated_unit_seconds,
    coalesce(excess.overcommit_unit_seconds, 0) as overcommit_unit_seconds,
    coalesce(excess.unplaced_unit_seconds, 0) as unplaced_unit_seconds
from unsettled
left join excess
    on unsettled.usage_date = excess.usage_date
    and unsettled.hour_at = excess.hour_at
    and unsettled.attempt_id = excess.attempt_id
    and unsettled.pool = excess.pool
    and unsettled.node = excess.node
    and unsettled.accelerator_model = excess.accelerator_model
