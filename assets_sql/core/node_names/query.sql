-- A name is the scheduler's unless the site file says otherwise: by the cluster's `domain`, its `node_aliases`, or both.
-- Nothing is matched because it looks alike.
with written as (
    select distinct
        inventory.cluster,
        inventory.node as written_name,
        case
            when domains.domain is null then inventory.node
            else left(inventory.node, length(inventory.node) - length(domains.domain) - 1)
        end as short_name
    from raw.inventory as inventory
    left join site.node_domains as domains
        on inventory.cluster = domains.cluster
        and length(inventory.node) > length(domains.domain) + 1
        and right(inventory.node, length(domains.domain) + 1) = '.' || domains.domain
)

select
    written.cluster,
    written.written_name,
    coalesce(whole_names.node, short_names.node, written.short_name) as node
from written
left join site.node_aliases as whole_names
    on written.cluster = whole_names.cluster and written.written_name = whole_names.alias
left join site.node_aliases as short_names
    on written.cluster = short_names.cluster and written.short_name = short_names.alias
