-- The hours of the cluster that reports cover, each resource with its model; a resource without a type is of all models.
with windows as (
    select distinct
        cluster,
        resource,
        window_start_at,
        window_end_at
    from core.scheduler_usage
    where subject_kind = 'cluster' and (resource = 'gres/gpu' or resource like 'gres/gpu:%')
),

window_hours as (
    select
        cluster,
        resource,
        unnest(generate_series(
            date_trunc('hour', window_start_at), window_end_at - interval 1 second, interval 1 hour
        )) as hour_at
    from windows
)

select distinct
    cluster_hours.usage_date,
    cluster_hours.hour_at,
    cluster_hours.cluster,
    window_hours.resource,
    case
        when window_hours.resource <> 'gres/gpu'
            then coalesce(aliases.accelerator_model, substr(window_hours.resource, 10))
    end as accelerator_model,
    cluster_hours.starts_at,
    cluster_hours.ends_at
from window_hours
inner join core.cluster_hours as cluster_hours
    on window_hours.cluster = cluster_hours.cluster and window_hours.hour_at = cluster_hours.hour_at
left join site.accelerators as aliases on substr(window_hours.resource, 10) = aliases.alias
