-- What `sacctmgr show reservation` shows of a window: nodes that are kept for a project, and maintenance.
with reserved as (
    select
        lane * 2 + 1 as id,
        reservation_name as name,
        node_list,
        starts_at,
        ends_at,
        'SPEC_NODES' as flags,
        accelerators
    from lanes
    where reservation_name <> ''
    union all
    select
        lane * 2 + 2,
        'maintenance-' || first_node,
        block_node_list,
        maintained_from,
        starts_at,
        'MAINT,SPEC_NODES',
        0
    from lanes
    where maintained_from is not null
)

select concat_ws(
        '|',
        site.cluster,
        id,
        name,
        node_list,
        strftime(make_timestamp(starts_at * 1000000), '%Y-%m-%dT%H:%M:%S'),
        strftime(make_timestamp(ends_at * 1000000), '%Y-%m-%dT%H:%M:%S'),
        flags,
        case when accelerators > 0 then 'cpu=' || accelerators * 16 || ',gres/gpu=' || accelerators else '' end,
        ''
    ) as line
from reserved
cross join site
where starts_at < $window_end and ends_at > $window_start
order by id
