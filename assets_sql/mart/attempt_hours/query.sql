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

pieces as (
    select
        nodes.attempt_id,
        nodes.cluster,
        nodes.node,
        nodes.accelerator_model,
        nodes.accelerator_units,
        coalesce(capacity.pool, 'unassigned') as pool,
        greatest(nodes.started_at, capacity.valid_from_at, bounds.first_at) as starts_at,
        least(nodes.ended_at, capacity.valid_to_at, bounds.last_at) as ends_at
    from mart.attempt_nodes as nodes
    inner join bounds
        on nodes.cluster = bounds.cluster
        and nodes.started_at < bounds.last_at
        and coalesce(nodes.ended_at, bounds.last_at) > bounds.first_at
    left join core.node_capacity as capacity
        on nodes.cluster = capacity.cluster
        and nodes.node = capacity.node
        and nodes.accelerator_model = capacity.accelerator_model
        and nodes.started_at < capacity.valid_to_at
        and coalesce(nodes.ended_at, bounds.last_at) > capacity.valid_from_at
),

exploded as (
    select
        *,
        unnest(generate_series(
            date_trunc('hour', starts_at), ends_at - interval 1 second, interval 1 hour
        )) as hour_at
    from pieces
    where starts_at < ends_at
),

held as (
    select
        hours.usage_date,
        hours.hour_at,
        exploded.attempt_id,
        exploded.cluster,
        exploded.pool,
        exploded.node,
        exploded.accelerator_model,
        cast(sum(
            exploded.accelerator_units * seconds_between(
                greatest(exploded.starts_at, hours.starts_at), least(exploded.ends_at, hours.ends_at)
            )
        ) as bigint) as held_unit_seconds
    from exploded
    inner join hours
        on exploded.cluster = hours.cluster
        and exploded.hour_at = hours.hour_at
        and exploded.starts_at < hours.ends_at
        and exploded.ends_at > hours.starts_at
    group by
        hours.usage_date,
        hours.hour_at,
        exploded.attempt_id,
        exploded.cluster,
        exploded.pool,
        exploded.node,
        exploded.accelerator_model
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

-- Dividing first keeps every product within 64 bits, up to 36,000 accelerators of a model on a node.
shares as (
    select
        contested.*,
        nodes.attempt_id,
        nodes.accelerator_units * contested.seconds as held_unit_seconds,
        (contested.installed_units * contested.seconds // contested.held_units) * nodes.accelerator_units
        + (contested.installed_units * contested.seconds % contested.held_units) * nodes.accelerator_units
        // contested.held_units as whole_share,
        (contested.installed_units * contested.seconds % contested.held_units) * nodes.accelerator_units
        % contested.held_units as remainder
    from contested
    inner join mart.attempt_nodes as nodes
        on contested.cluster = nodes.cluster
        and contested.node = nodes.node
        and contested.accelerator_model = nodes.accelerator_model
        and contested.starts_at >= nodes.started_at
        and contested.starts_at < coalesce(nodes.ended_at, timestamp '9999-01-01')
),

settled as (
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
    from settled
    group by usage_date, hour_at, attempt_id, pool, node, accelerator_model
)

select
    held.usage_date,
    held.hour_at,
    held.attempt_id,
    held.cluster,
    held.pool,
    held.node,
    held.accelerator_model,
    attempts.team,
    attempts.account,
    attempts.user_name,
    attempts.workload_class,
    held.held_unit_seconds,
    held.held_unit_seconds
    - coalesce(excess.overcommit_unit_seconds, 0)
    - coalesce(excess.unplaced_unit_seconds, 0) as allocated_unit_seconds,
    coalesce(excess.overcommit_unit_seconds, 0) as overcommit_unit_seconds,
    coalesce(excess.unplaced_unit_seconds, 0) as unplaced_unit_seconds
from held
inner join mart.attempts as attempts on held.attempt_id = attempts.attempt_id
left join excess
    on held.usage_date = excess.usage_date
    and held.hour_at = excess.hour_at
    and held.attempt_id = excess.attempt_id
    and held.pool = excess.pool
    and held.node = excess.node
    and held.accelerator_model = excess.accelerator_model
