-- What the product publishes of a generated site, by hand: one script that knows its input, without contracts, checks,
-- state or increments. `reference.py` runs its stages in order. Text that repeats is a number from the moment it is read,
-- instants are whole seconds since 1970, and accelerators are whole devices until they are written.

-- stage: begin
create macro instant_of(seconds) as make_timestamp(cast(seconds as bigint) * 1000000);
create macro on_day(day) as date '1970-01-01' + cast(day as integer);
create macro hours_of(unit_seconds) as
    cast(cast((cast(unit_seconds as bigint) * 10 + 1512) // 3024 as decimal(19, 0)) * cast(0.000001 as decimal(7, 6)) as decimal(38, 6));
create macro hours_of_seconds(seconds) as
    cast(cast((cast(seconds as bigint) * 10000 + 18) // 36 as decimal(19, 0)) * cast(0.000001 as decimal(7, 6)) as decimal(38, 6));
create macro accelerator_seconds_of(unit_seconds) as
    cast(
        cast((cast(unit_seconds as bigint) * 500 + 21) // 42 as decimal(19, 0)) * cast(0.000001 as decimal(7, 6))
        as decimal(38, 6)
    );
create macro share_of(part, whole) as case when whole > 0 then cast(part as double) / cast(whole as double) end;
create macro price_of_hour(cost, unit_seconds) as
    case when unit_seconds > 0 then cast(cost as double) * 302400000 / cast(unit_seconds as double) end;
create macro amount_of(picos) as
    cast(
        cast(picos // 1000000000000 as decimal(25, 0))
        + cast(picos % 1000000000000 as decimal(13, 0)) * cast(0.000000000001 as decimal(13, 12))
        as decimal(38, 12)
    );
create macro picos_of(amount) as cast(cast(amount as decimal(38, 12)) * 1000000000000 as hugeint);
-- What of an amount has accrued after some of its seconds, to the nearest trillionth, so that slices sum.
create macro accrued(amount, elapsed, total) as
    (amount // total) * elapsed + ((amount % total) * elapsed * 2 + total) // (total * 2);

create table files (file_no smallint, path varchar, collected_at integer);
create table partitions (id utinyint, name varchar);
create table qualities (id utinyint, name varchar);
create table accounts (id usmallint, name varchar);
create table users (id usmallint, name varchar);
create table reservation_names (id integer, name varchar);
create table states (id usmallint, name varchar);
create table requests (id integer, name varchar);
create table node_lists (id integer, name varchar);
create table records (
    file_no smallint, line integer, job integer, submitted integer, eligible integer, started integer, ended integer,
    state_id usmallint, partition_id utinyint, quality_id utinyint, account_id usmallint, user_id usmallint,
    reservation_id integer, nodes integer, cpus integer, request_id integer, timelimit integer, list_id integer,
    job_name varchar
);
create table rejected (
    file_no smallint, fact varchar, cluster varchar, record_at integer, accelerator_seconds bigint
);

-- stage: lines
-- Some delivered files; its rows are their lines in order, so that a row's number says which line it is.
create or replace temp table lines as
select
    cast(file_index as smallint) as file_no,
    "Cluster" as cluster,
    "JobIDRaw" as job,
    "Submit" as submitted,
    "Eligible" as eligible,
    "Start" as started,
    "End" as ended,
    "ElapsedRaw" as elapsed,
    "State" as state,
    "Partition" as partition_name,
    "QOS" as quality,
    "Account" as account,
    "User" as user_name,
    "Reservation" as reservation_name,
    "NNodes" as nodes,
    "AllocCPUS" as cpus,
    "ReqTRES" as request,
    "AllocTRES" = 'gres/gpu=eight' as is_unreadable,
    "TimelimitRaw" as timelimit,
    "NodeList" as node_list,
    case when "JobName 2" is null then "JobName" else "JobName" || '|' || "JobName 2" end as job_name,
    -- Without its last columns it is not a whole record; a line without a state is the rest of a job's name.
    "State" is not null
    and "TimelimitRaw" is not null
    and "Cluster" = 'atlas'
    and "JobIDRaw" is not null
    and "Submit" is not null
    and "State" <> 'BOGUS'
    and "NNodes" is not null
    and ("Start" is not null or "NodeList" = 'None assigned')
    and coalesce("Start" <= "End", true)
    and coalesce("AllocTRES" <> 'gres/gpu=eight', true) as is_accepted
from read_csv(
    getvariable('paths'),
    delim = '|', quote = '', escape = '', header = true, auto_detect = false, new_line = '\n', strict_mode = false,
    null_padding = true, nullstr = ['', 'None', 'Unknown', 'many', '2025-13-41T27:61:00'],
    columns = {
        'Cluster': 'VARCHAR', 'DBIndex': 'VARCHAR', 'JobIDRaw': 'INTEGER', 'JobID': 'VARCHAR', 'Submit': 'INTEGER',
        'Eligible': 'INTEGER', 'Start': 'INTEGER', 'End': 'INTEGER', 'ElapsedRaw': 'VARCHAR', 'Suspended': 'VARCHAR',
        'State': 'VARCHAR', 'ExitCode': 'VARCHAR', 'Restarts': 'VARCHAR', 'Partition': 'VARCHAR', 'QOS': 'VARCHAR',
        'Account': 'VARCHAR', 'User': 'VARCHAR', 'Reservation': 'VARCHAR', 'NNodes': 'INTEGER', 'AllocCPUS': 'INTEGER',
        'ReqTRES': 'VARCHAR', 'AllocTRES': 'VARCHAR', 'TimelimitRaw': 'INTEGER', 'NodeList': 'VARCHAR',
        'Reason': 'VARCHAR', 'Flags': 'VARCHAR', 'FailedNode': 'VARCHAR', 'JobName': 'VARCHAR', 'JobName 2': 'VARCHAR'
    }
);

-- stage: dictionary
insert into {dictionary}
select
    (select count(*) from {dictionary}) + row_number() over (),
    name
from (select distinct {column} as name from lines where {column} is not null)
where name not in (select name from {dictionary});

-- stage: records
create or replace temp table firsts as
select
    file_no,
    min(rowid) as first_place
from lines
group by file_no;

insert into records
select
    getvariable('first_file') + lines.file_no,
    lines.rowid - firsts.first_place + 2,
    lines.job,
    lines.submitted,
    lines.eligible,
    lines.started,
    lines.ended,
    states.id,
    partitions.id,
    qualities.id,
    accounts.id,
    users.id,
    reservation_names.id,
    lines.nodes,
    lines.cpus,
    requests.id,
    lines.timelimit,
    node_lists.id,
    case when tails.text is null then lines.job_name else lines.job_name || chr(10) || tails.text end
from lines
inner join firsts on lines.file_no = firsts.file_no
inner join states on lines.state = states.name
inner join partitions on lines.partition_name = partitions.name
inner join qualities on lines.quality = qualities.name
inner join accounts on lines.account = accounts.name
inner join users on lines.user_name = users.name
inner join requests on lines.request = requests.name
inner join node_lists on lines.node_list = node_lists.name
left join reservation_names on lines.reservation_name = reservation_names.name
left join (select rowid - 1 as place, cluster as text from lines where state is null) as tails on lines.rowid = tails.place
where lines.is_accepted;

-- What a record that cannot be understood is about, and would have been worth, where that can be read.
insert into rejected
select
    getvariable('first_file') + file_no,
    coalesce(
        cluster || '/' || job || '/' || submitted,
        concat_ws(
            '|', cluster, job, submitted, eligible, started, ended, elapsed, state, account, user_name, reservation_name, nodes, cpus,
            request, timelimit, node_list, job_name
        )
    ),
    case when cluster = 'atlas' then cluster else '' end,
    coalesce(ended, started, submitted),
    case
        when timelimit is null then null
        when node_list = 'None assigned' then 0
        when request not like '%gres/gpu=%' then 0
        when not is_unreadable then cast(regexp_extract(request, 'gres/gpu=([0-9]+)', 1) as bigint) * abs(ended - started)
    end
from lines
where not is_accepted and state is not null;

-- stage: attempts
-- The words of the dictionaries, understood.
create table shapes as
select
    id,
    coalesce(try_cast(regexp_extract(name, 'gres/gpu=([0-9]+)', 1) as integer), 0) as accelerators,
    cast(regexp_extract(name, ',cpu=([0-9]+)', 1) as integer) as cpus,
    cast(regexp_extract(name, ',mem=([0-9]+)M', 1) as integer) as memory_mib,
    cast(regexp_extract(name, ',node=([0-9]+)', 1) as integer) as nodes
from requests;

create table endings as
select
    states.id,
    split_part(states.name, ' ', 1) as state,
    classes.end_class
from states
inner join (
    values
    ('COMPLETED', 'completed'),
    ('FAILED', 'user_failure'),
    ('OUT_OF_MEMORY', 'user_failure'),
    ('TIMEOUT', 'timeout'),
    ('CANCELLED', 'cancelled'),
    ('NODE_FAIL', 'infra_failure'),
    ('PREEMPTED', 'preempted'),
    ('REQUEUED', 'requeued'),
    ('RESIZING', 'resized_segment'),
    ('RUNNING', 'open'),
    ('PENDING', 'pending')
) as classes (state, end_class) on split_part(states.name, ' ', 1) = classes.state;

create table classes as
select * from (values (0, 'interactive'), (1, 'preemptible'), (2, 'training'), (3, 'unclassified')) as classes (id, name);

create table kinds as
select
    partitions.id as partition_id,
    qualities.id as quality_id,
    case
        when partitions.name = 'interactive' then 0
        when qualities.name = 'low' then 1
        when partitions.name in ('hopper', 'ampere', 'lovelace') then 2
        else 3
    end as class_id
from partitions
cross join qualities;

create table mapping as
select
    account,
    team,
    cast(epoch(valid_from) as bigint) as valid_from,
    coalesce(cast(epoch(valid_to) as bigint), 9999999999) as valid_to
from read_csv(getvariable('landing') || '/teams.csv', header = true, columns = {
    'cluster': 'VARCHAR', 'account': 'VARCHAR', 'user': 'VARCHAR', 'team': 'VARCHAR', 'valid_from': 'TIMESTAMP',
    'valid_to': 'TIMESTAMP'
});

create table teams as
select 0 as id, 'unattributed' as name
union all
select row_number() over (), team from (select distinct team from mapping);

create table memberships as
select
    accounts.id as account_id,
    teams.id as team_id,
    mapping.valid_from,
    mapping.valid_to
from mapping
inner join accounts on mapping.account = accounts.name
inner join teams on mapping.team = teams.name
union all
select id, 0, -9999999999, 9999999999 from accounts where name not in (select account from mapping);

-- A record that was not over when its file was collected may come again; so may an attempt without length, as another one.
create table losers as
select distinct candidates.place
from (
    select
        records.rowid as place,
        records.*
    from records
    inner join files on records.file_no = files.file_no
    where records.ended is null or records.ended >= files.collected_at or records.ended = records.submitted
) as candidates
inner join records as others
    on candidates.job = others.job
    and candidates.submitted = others.submitted
    and (others.file_no, others.ended is not null, coalesce(greatest(others.ended, others.started), 0), others.line)
    > (candidates.file_no, candidates.ended is not null, coalesce(greatest(candidates.ended, candidates.started), 0), candidates.line);

create table followers as
select place
from (
    select
        records.rowid as place,
        lag(endings.state) over (partition by records.job order by records.submitted) as state_before
    from records
    inner join endings on records.state_id = endings.id
    where records.job in (
        select records.job
        from records
        inner join endings on records.state_id = endings.id
        where endings.state = 'RESIZING'
    ) and records.rowid not in (select place from losers)
)
where state_before = 'RESIZING';

-- stage: nodes
create table shown_nodes as
select
    regexp_extract(block, 'NodeName=(\S+)', 1) as name,
    cast(regexp_extract(block, 'CPUTot=(\d+)', 1) as integer) as cpus,
    cast(regexp_extract(block, 'RealMemory=(\d+)', 1) as integer) // 1024 as memory_gib,
    coalesce(try_cast(regexp_extract(block, 'Gres=gpu:[^:]+:(\d+)', 1) as integer), 0) as accelerators
from (
    select unnest(string_split(content, chr(10) || chr(10))) as block
    from read_text(getvariable('landing') || '/slurm/atlas/nodes.txt')
)
where block like 'NodeName=%';

create table inventory as
select
    node,
    pool,
    accelerator_model as model,
    accelerators,
    cast(epoch(in_service_at) as bigint) as starts,
    coalesce(cast(epoch(retired_at) as bigint), 9999999999) as ends
from read_csv(getvariable('landing') || '/inventory.csv', header = true, columns = {
    'cluster': 'VARCHAR', 'node': 'VARCHAR', 'pool': 'VARCHAR', 'accelerator_model': 'VARCHAR',
    'accelerators': 'INTEGER', 'in_service_at': 'TIMESTAMP', 'retired_at': 'TIMESTAMP'
});

create table pools as
select 0 as id, 'unassigned' as name
union all
select row_number() over (order by pool), pool from (select distinct pool from inventory);

create table models as
select 0 as id, 'none' as name
union all
select row_number() over (order by model), model from (select distinct model from inventory);

-- A node has one model for ever, or none.
create table nodes as
select
    row_number() over (order by shown_nodes.name) as id,
    shown_nodes.name,
    shown_nodes.cpus,
    shown_nodes.memory_gib,
    shown_nodes.accelerators,
    coalesce(models.id, 0) as model_id
from shown_nodes
left join (select distinct node, model from inventory) as named on shown_nodes.name = named.node
left join models on named.model = models.name;

-- When a node is whose, and when it is nobody's: before it comes, and after it went.
create table service as
select
    nodes.id as node_id,
    pools.id as pool_id,
    inventory.accelerators,
    inventory.starts,
    inventory.ends
from inventory
inner join nodes on inventory.node = nodes.name
inner join pools on inventory.pool = pools.name
union all
select nodes.id, 0, 0, -9999999999, min(inventory.starts)
from inventory
inner join nodes on inventory.node = nodes.name
group by nodes.id
union all
select nodes.id, 0, 0, max(inventory.ends), 9999999999
from inventory
inner join nodes on inventory.node = nodes.name
group by nodes.id
having max(inventory.ends) < 9999999999;

create table reservation_lines as
select
    "ID" as id,
    "Name" as name,
    "NodeName" as node_list,
    cast(epoch("TimeStart") as bigint) as starts,
    cast(epoch("TimeEnd") as bigint) as ends,
    "Flags" as flags,
    filename
from read_csv(getvariable('landing') || '/slurm/atlas/reservations-*', delim = '|', quote = '', escape = '', header = true, filename = true,
    columns = {
        'Cluster': 'VARCHAR', 'ID': 'BIGINT', 'Name': 'VARCHAR', 'NodeName': 'VARCHAR', 'TimeStart': 'TIMESTAMP',
        'TimeEnd': 'TIMESTAMP', 'Flags': 'VARCHAR', 'TRES': 'VARCHAR', 'Assocs': 'VARCHAR'
    });

create table event_lines as
select
    "NodeName" as node,
    cast(epoch("TimeStart") as bigint) as starts,
    cast(epoch("TimeEnd") as bigint) as ends,
    "State" as state,
    filename
from read_csv(getvariable('landing') || '/slurm/atlas/node_events-*', delim = '|', quote = '', escape = '', header = true, filename = true,
    nullstr = 'Unknown', auto_detect = false, null_padding = true, strict_mode = false,
    columns = {
        'Cluster': 'VARCHAR', 'Cluster Nodes': 'VARCHAR', 'NodeName': 'VARCHAR', 'TimeStart': 'TIMESTAMP',
        'TimeEnd': 'TIMESTAMP', 'StateRaw': 'VARCHAR', 'State': 'VARCHAR', 'TRES': 'VARCHAR', 'User': 'VARCHAR',
        'Reason': 'VARCHAR', 'Reason 2': 'VARCHAR'
    });

-- The names of files sort like the times at which they were collected.
create table events as
select
    nodes.id as node_id,
    event_lines.starts,
    arg_max(coalesce(event_lines.ends, 9999999999), (event_lines.filename, coalesce(event_lines.ends, 9999999999))) as ends,
    event_lines.state like 'DOWN%' as is_down
from event_lines
inner join nodes on event_lines.node = nodes.name
group by nodes.id, event_lines.starts, event_lines.state;

-- Every reservation of a generated site takes whole nodes.
create table reserved_lists as
select
    arg_max(node_list, filename) as node_list,
    starts,
    arg_max(ends, filename) as ends,
    arg_max(flags, filename) like 'MAINT%' as is_maintenance
from reservation_lines
group by id, starts;

insert into node_lists
select
    (select count(*) from node_lists) + row_number() over (),
    node_list
from (select distinct node_list from reserved_lists)
where node_list not in (select name from node_lists);

create table list_nodes as
with parts as (
    select
        id,
        split_part(name, '[', 1) as prefix,
        unnest(string_split(rtrim(split_part(name, '[', 2), ']'), ',')) as part
    from node_lists
    where name <> 'None assigned'
),

ranges as (
    select
        id,
        prefix,
        coalesce(cast(length(nullif(split_part(part, '-', 1), '')) as integer), 0) as digits,
        case
            when part = '' then [null]
            when contains(part, '-')
                then range(try_cast(split_part(part, '-', 1) as integer), try_cast(split_part(part, '-', 2) as integer) + 1)
            else [try_cast(part as integer)]
        end as numbers
    from parts
),

named as (
    select
        id,
        prefix || coalesce(lpad(cast(number as varchar), digits, '0'), '') as name
    from (select id, prefix, digits, unnest(numbers) as number from ranges)
)

select
    named.id as list_id,
    nodes.id as node_id,
    count(*) over (partition by named.id) as nodes
from named
inner join nodes on named.name = nodes.name;

create table list_service as
select
    list_nodes.list_id,
    list_nodes.nodes,
    service.node_id,
    service.pool_id,
    service.starts,
    service.ends
from list_nodes
inner join service on list_nodes.node_id = service.node_id
where service.ends > getvariable('first_at') and service.starts < getvariable('as_of');

-- The pool in which a list has most nodes, from when until when.
create table list_homes as
with edges as (
    select
        list_id,
        starts,
        coalesce(lead(starts) over (partition by list_id order by starts), 9999999999) as ends
    from (select distinct list_id, starts from list_service)
),

pools_then as (
    select
        edges.list_id,
        edges.starts,
        edges.ends,
        list_service.pool_id,
        min(nodes.model_id) as model_id,
        count(*) as nodes
    from edges
    inner join list_service
        on edges.list_id = list_service.list_id and edges.starts >= list_service.starts and edges.starts < list_service.ends
    inner join nodes on list_service.node_id = nodes.id
    group by edges.list_id, edges.starts, edges.ends, list_service.pool_id
)

select
    pools_then.list_id,
    pools_then.starts,
    pools_then.ends,
    arg_min(pools_then.pool_id, (-pools_then.nodes, pools.name)) as pool_id,
    arg_min(pools_then.model_id, (-pools_then.nodes, pools.name)) as model_id
from pools_then
inner join pools on pools_then.pool_id = pools.id
group by pools_then.list_id, pools_then.starts, pools_then.ends;

-- stage: attempts by key
create table attempts as
select
    records.rowid as id,
    'atlas/' || records.job || '/' || records.submitted as attempt_id,
    records.* exclude (started),
    case when followers.place is not null then greatest(records.started, records.submitted) else records.started end as started,
    records.ended is null and records.started is not null as is_open,
    0 as runaway_seconds,
    followers.place is not null as is_follower,
    case when records.started is null then 0 else shapes.accelerators end as accelerators,
    shapes.accelerators as asked,
    case when records.started is not null then shapes.memory_mib end as memory_mib,
    kinds.class_id,
    memberships.team_id,
    case when records.started is null then 0 else coalesce(list_homes.pool_id, 0) end as pool_id,
    case when records.started is null then 0 else coalesce(list_homes.model_id, 0) end as model_id
from records
anti join losers on records.rowid = losers.place
left join followers on records.rowid = followers.place
inner join shapes on records.request_id = shapes.id
inner join kinds on records.partition_id = kinds.partition_id and records.quality_id = kinds.quality_id
inner join memberships
    on records.account_id = memberships.account_id
    and coalesce(records.started, records.submitted) >= memberships.valid_from
    and coalesce(records.started, records.submitted) < memberships.valid_to
left join list_homes
    on records.list_id = list_homes.list_id
    and records.started >= list_homes.starts
    and records.started < list_homes.ends;

-- stage: runaways
-- What the books hold open ends when one of its nodes goes down, or when later attempts need what it holds.
create table open_nodes as
select
    attempts.id,
    attempts.attempt_id,
    attempts.started,
    list_nodes.node_id,
    attempts.accelerators // list_nodes.nodes as accelerators
from attempts
inner join list_nodes on attempts.list_id = list_nodes.list_id
where attempts.is_open;

create table later as
with open_lists as (
    select
        list_nodes.list_id,
        min(open_nodes.started) as first_at
    from open_nodes
    inner join list_nodes on open_nodes.node_id = list_nodes.node_id
    where open_nodes.accelerators > 0
    group by list_nodes.list_id
),

others as (
    select
        attempts.id,
        attempts.attempt_id,
        attempts.started,
        attempts.ended,
        list_nodes.node_id,
        attempts.accelerators // list_nodes.nodes as accelerators
    from attempts
    inner join open_lists on attempts.list_id = open_lists.list_id and attempts.started >= open_lists.first_at
    inner join list_nodes on attempts.list_id = list_nodes.list_id
    where attempts.accelerators > 0 and coalesce(attempts.ended, 9999999999) > attempts.started
)

select
    open_nodes.id,
    open_nodes.node_id,
    open_nodes.accelerators as own,
    others.started,
    others.ended,
    others.accelerators
from open_nodes
inner join others
    on open_nodes.node_id = others.node_id
    and others.started >= open_nodes.started
    and others.id <> open_nodes.id
where open_nodes.accelerators > 0
    and (others.started > open_nodes.started or others.attempt_id > open_nodes.attempt_id);

create table runaways as
with edges as (
    select id, node_id, own, started as edge, accelerators as added from later
    union all
    select id, node_id, own, coalesce(ended, 9999999999), -accelerators from later
),

claimed as (
    select
        *,
        own + sum(added) over (
            partition by id, node_id order by edge, added rows unbounded preceding
        ) as claimed
    from edges
),

evidence as (
    select
        claimed.id,
        claimed.edge
    from claimed
    inner join service
        on claimed.node_id = service.node_id
        and claimed.edge >= service.starts
        and claimed.edge < service.ends
        and service.accelerators > 0
    inner join nodes on claimed.node_id = nodes.id
    where claimed.added > 0
        and claimed.edge < getvariable('as_of')
        and claimed.claimed > greatest(service.accelerators, nodes.accelerators)
    union all
    select
        open_nodes.id,
        events.starts
    from open_nodes
    inner join events
        on open_nodes.node_id = events.node_id
        and events.is_down
        and events.starts > open_nodes.started
        and events.starts < getvariable('as_of')
)

select
    id,
    min(edge) as ended
from evidence
group by id;

update attempts
set
    ended = runaways.ended,
    is_open = false,
    runaway_seconds = getvariable('as_of') - runaways.ended
from runaways
where attempts.id = runaways.id;

-- A requeued attempt of which a node failed, or was drained, within ten minutes of its end.
create table failed as
select distinct attempts.id
from attempts
inner join endings on attempts.state_id = endings.id
inner join list_nodes on attempts.list_id = list_nodes.list_id
inner join events
    on list_nodes.node_id = events.node_id
    and events.starts >= attempts.ended - 600
    and events.starts <= attempts.ended + 600
where endings.end_class = 'requeued' and attempts.started is not null;

-- stage: timeline
-- What an attempt holds of a node. Everything that happens to a node is an edge: its key is node and second, and all that
-- it changes is in the fields of two numbers, so that one sort and two running sums over all nodes tell of each moment.
-- First number: accelerators installed (8 bits), held (8), maintenance (6), down (8), draining (8), reserved (6), pool (6).
-- Second number: CPUs (20 bits), memory in GiB.
create table holdings as
select
    attempts.id,
    list_nodes.node_id,
    attempts.started,
    attempts.ended,
    attempts.accelerators // list_nodes.nodes as accelerators,
    attempts.cpus // attempts.nodes as cpus,
    attempts.memory_mib // attempts.nodes as memory_mib
from attempts
inner join list_nodes on attempts.list_id = list_nodes.list_id
where attempts.accelerators > 0;

create table edges as
with spans as (
    select
        node_id,
        started as starts,
        coalesce(ended, getvariable('as_of')) as ends,
        cast(accelerators as bigint) << 8 as first_number,
        cpus + ((memory_mib // 1024) << 20) as second_number
    from holdings
    union all
    select node_id, starts, ends, accelerators + (pool_id << 44), 0
    from service
    where accelerators > 0
    union all
    select node_id, starts, ends, case when is_down then cast(1 as bigint) << 22 else cast(1 as bigint) << 30 end, 0
    from events
    union all
    select
        list_nodes.node_id,
        reserved_lists.starts,
        reserved_lists.ends,
        (cast(1 as bigint) << 38) + case when reserved_lists.is_maintenance then 1 << 16 else 0 end,
        0
    from reserved_lists
    inner join node_lists on reserved_lists.node_list = node_lists.name
    inner join list_nodes on node_lists.id = list_nodes.list_id
),

accounted as (
    select * from spans where starts < getvariable('as_of') and ends > getvariable('first_at')
)

select
    (cast(node_id as bigint) << 32) + greatest(starts, getvariable('first_at')) as place,
    first_number,
    second_number
from accounted
union all
select
    (cast(node_id as bigint) << 32) + least(ends, getvariable('as_of')),
    -first_number,
    -second_number
from accounted
union all
-- Every day begins anew.
select
    (cast(nodes.id as bigint) << 32) + days.starts,
    0,
    0
from nodes
cross join (select unnest(range(getvariable('first_at'), getvariable('as_of'), 86400)) as starts) as days
where nodes.model_id > 0
order by 1;

create table segments as
select
    place >> 32 as node_id,
    cast(place & 4294967295 as integer) as starts,
    cast(next_place & 4294967295 as integer) as ends,
    cast(first_number & 255 as integer) as installed,
    cast((first_number >> 8) & 255 as integer) as held,
    case
        when (first_number >> 16) & 63 > 0 then 1
        when (first_number >> 22) & 255 > 0 then 2
        when (first_number >> 30) & 255 > 0 then 3
        else 0
    end as availability,
    (first_number >> 38) & 63 > 0 as is_reserved,
    cast((first_number >> 44) & 63 as integer) as pool_id,
    cast(second_number & 1048575 as integer) as cpus,
    cast(second_number >> 20 as integer) as memory_gib
from (
    select
        place,
        lead(place) over () as next_place,
        cast(sum(first_number) over (rows unbounded preceding) as bigint) as first_number,
        cast(sum(second_number) over (rows unbounded preceding) as bigint) as second_number
    from edges
)
where next_place <> place and next_place >> 32 = place >> 32 and first_number & 65535 > 0;

-- stage: ledger
-- What attempts hold, cut where a node changes hands; each piece has one pool.
create table pieces as
select
    attempts.id,
    attempts.attempt_id,
    attempts.account_id,
    attempts.user_id,
    attempts.team_id,
    attempts.class_id,
    list_service.node_id,
    list_service.pool_id,
    attempts.accelerators // list_service.nodes as accelerators,
    cast(greatest(attempts.started, list_service.starts, getvariable('first_at')) as integer) as starts,
    cast(least(coalesce(attempts.ended, getvariable('as_of')), list_service.ends, getvariable('as_of')) as integer) as ends
from attempts
inner join list_service
    on attempts.list_id = list_service.list_id
    and attempts.started < list_service.ends
    and coalesce(attempts.ended, getvariable('as_of')) > list_service.starts
where attempts.accelerators > 0
    and greatest(attempts.started, getvariable('first_at')) < least(coalesce(attempts.ended, getvariable('as_of')), getvariable('as_of'));

-- Where more is held than there is, holders share what there is, by largest remainder.
create table excess as
with contested as (
    select
        node_id,
        hour,
        installed,
        held,
        greatest(starts, hour * 3600) as starts,
        least(ends, hour * 3600 + 3600) - greatest(starts, hour * 3600) as seconds
    from (
        select *, unnest(range(starts // 3600, (ends - 1) // 3600 + 1)) as hour
        from segments
        where held > installed
    )
),

shares as (
    select
        contested.*,
        holdings.id,
        attempts.attempt_id,
        holdings.accelerators * 84000 * contested.seconds as held_unit_seconds,
        contested.installed * 84000 * contested.seconds as there,
        there // (contested.held * 84000) * (holdings.accelerators * 84000)
        + there % (contested.held * 84000) * (holdings.accelerators * 84000) // (contested.held * 84000) as share,
        there % (contested.held * 84000) * (holdings.accelerators * 84000) % (contested.held * 84000) as remainder
    from contested
    inner join holdings
        on contested.node_id = holdings.node_id
        and contested.starts >= holdings.started
        and contested.starts < coalesce(holdings.ended, 9999999999)
    inner join attempts on holdings.id = attempts.id
),

settled as (
    select
        *,
        share + case
            when row_number() over (partition by node_id, starts order by remainder desc, attempt_id)
                <= there - sum(share) over (partition by node_id, starts) then 1
            else 0
        end as given
    from shares
)

select
    id,
    node_id,
    hour,
    cast(sum(case when installed > 0 then held_unit_seconds - given else 0 end) as bigint) as overcommit,
    cast(sum(case when installed = 0 then held_unit_seconds else 0 end) as bigint) as unplaced
from settled
group by id, node_id, hour;

-- The hours of what attempts hold; a stream, never stored.
create view attempt_hours as
with exploded as (
    select
        pieces.*,
        unnest(range(starts // 3600, (ends - 1) // 3600 + 1)) as hour
    from pieces
)

select
    exploded.*,
    cast(exploded.accelerators * 84000 as bigint)
    * (least(exploded.ends, exploded.hour * 3600 + 3600) - greatest(exploded.starts, exploded.hour * 3600)) as held,
    coalesce(excess.overcommit, 0) as overcommit,
    coalesce(excess.unplaced, 0) as unplaced
from exploded
left join excess
    on exploded.id = excess.id and exploded.node_id = excess.node_id and exploded.hour = excess.hour;

-- Which requests of a day and of the 28 days before would fit into what is free on a node.
create table demand as
with daily as (
    select
        attempts.submitted // 86400 as day,
        shapes.accelerators // shapes.nodes as accelerators,
        shapes.cpus // shapes.nodes as cpus,
        shapes.memory_mib // shapes.nodes as memory_mib,
        count(*) as requests
    from attempts
    inner join shapes on attempts.request_id = shapes.id
    where shapes.accelerators > 0 and not attempts.is_follower
    group by all
)

select
    days.day,
    daily.accelerators,
    daily.cpus,
    min(daily.memory_mib) as memory_mib,
    sum(daily.requests) as requests
from (select unnest(range(getvariable('first_at') // 86400, getvariable('as_of') // 86400)) as day) as days
inner join daily on daily.day between days.day - 28 and days.day
group by days.day, daily.accelerators, daily.cpus;

create table free_segments as
select
    segments.node_id,
    segments.pool_id,
    segments.starts,
    segments.ends,
    segments.starts // 86400 as day,
    segments.installed - segments.held as accelerators,
    greatest(0, nodes.cpus - segments.cpus) as cpus,
    greatest(0, nodes.memory_gib - segments.memory_gib) as memory_gib,
    case when segments.availability > 0 then segments.availability when segments.is_reserved then 4 else 6 end as state
from segments
inner join nodes on segments.node_id = nodes.id
where segments.installed > segments.held;

create table situations as
with distinct_situations as (
    select distinct day, accelerators, cpus, memory_gib from free_segments where state = 6
),

sizes as (
    select
        day,
        accelerators,
        sum(requests) as requests
    from demand
    group by day, accelerators
),

hosted as (
    select distinct
        distinct_situations.day,
        distinct_situations.accelerators,
        distinct_situations.cpus,
        distinct_situations.memory_gib,
        demand.accelerators as size
    from distinct_situations
    inner join demand
        on distinct_situations.day = demand.day
        and distinct_situations.accelerators >= demand.accelerators
        and distinct_situations.cpus >= demand.cpus
        and distinct_situations.memory_gib * 1024 >= demand.memory_mib
),

hosted_requests as (
    select
        hosted.day,
        hosted.accelerators,
        hosted.cpus,
        hosted.memory_gib,
        sum(sizes.requests) as requests
    from hosted
    inner join sizes on hosted.day = sizes.day and hosted.size = sizes.accelerators
    group by all
)

select
    row_number() over () as id,
    distinct_situations.*,
    coalesce(totals.requests, 0)::bigint as all_requests,
    coalesce(totals.requests, 0)::bigint - coalesce(hosted_requests.requests, 0)::bigint as unhosted_requests
from distinct_situations
left join (select day, sum(requests) as requests from demand group by day) as totals using (day)
left join hosted_requests using (day, accelerators, cpus, memory_gib);

create table free_hours as
select
    exploded.hour,
    exploded.node_id,
    exploded.pool_id,
    case
        when exploded.state = 6 and situations.all_requests > 0 and situations.unhosted_requests = situations.all_requests then 5
        else exploded.state
    end as state,
    exploded.accelerators,
    situations.id as situation_id,
    least(exploded.ends, exploded.hour * 3600 + 3600) - greatest(exploded.starts, exploded.hour * 3600) as seconds
from (
    select *, unnest(range(starts // 3600, (ends - 1) // 3600 + 1)) as hour from free_segments
) as exploded
left join situations
    on exploded.state = 6
    and exploded.day = situations.day
    and exploded.accelerators = situations.accelerators
    and exploded.cpus = situations.cpus
    and exploded.memory_gib = situations.memory_gib;

-- One number is hour, node (20 bits), pool (6), state (3), team (6) and workload class (3); the last three say whose it is.
create table ledger as
select
    cast(key >> 38 as integer) as hour,
    cast(key >> 18 & 1048575 as integer) as node_id,
    cast(key >> 12 & 63 as integer) as pool_id,
    cast(key & 4095 as integer) as owner_id,
    unit_seconds
from (
    select
        key,
        cast(sum(unit_seconds) as bigint) as unit_seconds
    from (
        select
            (hour << 38) + (node_id << 18) + (pool_id << 12) + (team_id << 3) + class_id as key,
            held - overcommit - unplaced as unit_seconds
        from attempt_hours
        where held > overcommit + unplaced
        union all
        select
            (hour << 38) + (node_id << 18) + (pool_id << 12) + (state << 9) as key,
            cast(accelerators * 84000 as bigint) * seconds
        from free_hours
    )
    group by key
);

-- stage: queue
-- How long each attempt waited, from submission and from when it could have started. The key: day (17 bits), partition (4),
-- team (6), workload class (3), kind (1: from submission), seconds (26), whether it started (1).
create table waits as
with submitted as (
    select
        attempts.submitted // 86400 as day,
        attempts.partition_id,
        attempts.team_id,
        attempts.class_id,
        attempts.submitted,
        greatest(attempts.eligible, attempts.submitted) as eligible,
        attempts.started is not null as has_started,
        coalesce(attempts.started, attempts.ended, getvariable('as_of')) as until,
        cast(attempts.asked * 84000 as bigint) * attempts.timelimit * 60 as requested,
        cast(attempts.asked * 84000 as bigint) * case
            when attempts.started is not null and not attempts.is_open
                then least(attempts.ended - attempts.started, attempts.timelimit * 60)
            else attempts.timelimit * 60
        end as used
    from attempts
    where not attempts.is_follower and attempts.submitted >= getvariable('first_at')
)

select
    key,
    count(*) as jobs,
    cast(sum(requested) as bigint) as requested,
    cast(sum(used) as bigint) as used
from (
    select
        (cast(day as bigint) << 41) + (cast(partition_id as bigint) << 37) + (cast(team_id as bigint) << 31) + (class_id << 28)
        + (1 << 27) + (greatest(0, until - submitted) << 1) + cast(has_started as integer) as key,
        requested,
        used
    from submitted
    union all
    select
        (cast(day as bigint) << 41) + (cast(partition_id as bigint) << 37) + (cast(team_id as bigint) << 31) + (class_id << 28)
        + (greatest(0, until - eligible) << 1) + cast(has_started as integer) as key,
        requested,
        used
    from submitted
    where has_started or eligible <= until
)
group by key;

-- Kaplan-Meier over all groups at once, from each group's longest wait to its shortest: the running sum is who is at risk.
-- The share that goes on waiting is a product of after / before at each start, which telescopes but for those who gave
-- up: it is after / all, times before / after of each who gave up earlier. So only those need a logarithm; they are summed
-- as whole 2^-45ths, which sums of other groups do not blur. The group: day, by partition 0 or by team 1, partition or
-- team and class, kind.
create table risks as
with sorted as (
    select
        (key >> 41 << 37) + ((key >> 37 & 15) << 27) + ((key >> 27 & 1) << 26) + (key >> 1 & 67108863) as place,
        key & 1 = 1 as has_started,
        jobs,
        requested as units
    from waits
    union all
    select
        (key >> 41 << 37) + (cast(1 as bigint) << 36) + ((key >> 28 & 511) << 27) + (key >> 1 & 67108863) as place,
        key & 1 = 1 as has_started,
        jobs,
        requested as units
    from waits
    where key >> 27 & 1 = 0
    order by place desc, has_started
),

running as (
    select
        place >> 26 as group_id,
        cast(place & 67108863 as integer) as seconds,
        has_started,
        jobs,
        units,
        cast(sum(jobs) over (rows unbounded preceding) as bigint) as running_jobs,
        sum(units) over (rows unbounded preceding) as running_units,
        coalesce(lag(place >> 26) over () <> place >> 26, true) as is_first
    from sorted
),

-- Running sums only grow, so that the largest one at the beginning of a group is this group's.
based as (
    select
        *,
        running_jobs - max(case when is_first then running_jobs - jobs else 0 end) over (rows unbounded preceding) as jobs_before,
        cast(running_units - max(case when is_first then running_units - units else 0 end) over (rows unbounded preceding) as bigint)
            as units_before
    from running
)

select
    *,
    cast(sum(jobs_lost) over (rows unbounded preceding) as bigint) as running_jobs_lost,
    cast(sum(units_lost) over (rows unbounded preceding) as bigint) as running_units_lost
from (
    select
        group_id,
        seconds,
        has_started,
        units > 0 as has_units,
        jobs_before,
        jobs_before - jobs as jobs_after,
        units_before,
        units_before - units as units_after,
        case
            when has_started or jobs_before = jobs then 0
            else cast(round(ln(jobs_before / (jobs_before - jobs)) * 35184372088832) as bigint)
        end as jobs_lost,
        case
            when has_started or units_before = units then 0
            else cast(round(ln(units_before / (units_before - units)) * 35184372088832) as bigint)
        end as units_lost
    from based
);

create table percentiles as
with wholes as (
    select
        group_id,
        max(jobs_before) as jobs,
        max(units_before) as units,
        max(running_jobs_lost) as jobs_lost,
        max(running_units_lost) as units_lost
    from risks
    group by group_id
),

shares as (
    select
        risks.group_id,
        risks.seconds,
        risks.has_units,
        case when risks.has_started then
            risks.jobs_after / wholes.jobs * exp((wholes.jobs_lost - risks.running_jobs_lost) / 35184372088832) end as jobs_left,
        case when risks.has_started and risks.has_units then
            risks.units_after / wholes.units * exp((wholes.units_lost - risks.running_units_lost) / 35184372088832) end as units_left
    from risks
    inner join wholes on risks.group_id = wholes.group_id
)

-- A share that is just what a percentile needs may be a little more after rounding.
select
    group_id,
    min(case when jobs_left <= 0.5 * (1 + 1e-10) then seconds end) as jobs_p50,
    min(case when jobs_left <= 0.1 * (1 + 1e-10) then seconds end) as jobs_p90,
    min(case when jobs_left <= 0.05 * (1 + 1e-10) then seconds end) as jobs_p95,
    max(seconds) as jobs_longest,
    min(case when units_left <= 0.5 * (1 + 1e-10) then seconds end) as units_p50,
    min(case when units_left <= 0.1 * (1 + 1e-10) then seconds end) as units_p90,
    min(case when units_left <= 0.05 * (1 + 1e-10) then seconds end) as units_p95,
    max(case when has_units then seconds end) as units_longest
from shares
group by group_id;

-- What waits in each hour: the level at its beginning, and what changes in it. Most waits begin and end in one hour, and
-- change no level.
create table queue_hours as
with spans as (
    select
        cast(partition_id as bigint) * 64 + team_id as owner,
        asked,
        cast(greatest(eligible, submitted, getvariable('first_at')) as integer) as starts,
        cast(least(coalesce(started, ended, getvariable('as_of')), getvariable('as_of')) as integer) as ends
    from attempts
    where not is_follower
),

changes as (
    select
        owner,
        starts // 3600 as hour,
        case when starts // 3600 = ends // 3600 then 0 else 1 end as jobs,
        case when starts // 3600 = ends // 3600 then starts - ends else starts % 3600 end as late,
        asked
    from spans
    where starts < ends
    union all
    select
        owner,
        ends // 3600,
        -1,
        -(ends % 3600),
        asked
    from spans
    where starts < ends and starts // 3600 <> ends // 3600
    union all
    select
        owners.owner,
        hours.hour,
        0,
        0,
        0
    from (select distinct owner from spans) as owners
    cross join (select unnest(range(getvariable('first_at') // 3600, getvariable('as_of') // 3600 + 1)) as hour) as hours
),

summed as (
    select
        (owner << 20) + hour as place,
        sum(jobs) as jobs,
        sum(jobs * asked) as asked,
        sum(late) as late_jobs,
        sum(late * asked) as late_asked
    from changes
    group by place
    order by place
)

select
    cast(place >> 26 as integer) as partition_id,
    cast(place >> 20 & 63 as integer) as team_id,
    cast(place & 1048575 as integer) as hour,
    cast(sum(jobs) over (rows unbounded preceding) * 3600 - late_jobs as bigint) as job_seconds,
    cast((sum(asked) over (rows unbounded preceding) * 3600 - late_asked) * 84000 as bigint) as unit_seconds
from summed;

-- stage: days
create table days as
select
    day,
    on_day(day) as usage_date,
    day * 86400 as starts,
    day * 86400 + 86400 as ends
from (select unnest(range(getvariable('first_at') // 86400, getvariable('as_of') // 86400)) as day);

create table owner_days as
select
    ledger.hour // 24 as day,
    ledger.pool_id,
    nodes.model_id,
    ledger.owner_id,
    cast(sum(ledger.unit_seconds) as bigint) as unit_seconds
from ledger
inner join nodes on ledger.node_id = nodes.id
group by ledger.hour // 24, ledger.pool_id, nodes.model_id, ledger.owner_id;

create table ledger_hours as
select
    hour,
    cast(sum(case when owner_id < 512 then unit_seconds else 0 end) as bigint) as allocated,
    cast(sum(case when owner_id >= 5 * 512 then unit_seconds else 0 end) as bigint) as free
from ledger
group by hour;

create table team_days as
with excess_days as (
    select
        excess.hour // 24 as day,
        service.pool_id,
        nodes.model_id,
        attempts.team_id,
        attempts.class_id,
        cast(sum(excess.overcommit) as bigint) as overcommit,
        cast(sum(excess.unplaced) as bigint) as unplaced
    from excess
    inner join attempts on excess.id = attempts.id
    inner join nodes on excess.node_id = nodes.id
    inner join service
        on excess.node_id = service.node_id and excess.hour * 3600 >= service.starts and excess.hour * 3600 < service.ends
    group by all
),

allocated as (
    select
        day,
        pool_id,
        model_id,
        owner_id >> 3 as team_id,
        owner_id & 7 as class_id,
        unit_seconds as allocated
    from owner_days
    where owner_id < 512
),

-- Most attempts begin and end on one day.
day_parts as (
    select
        *,
        case when starts // 86400 = greatest(starts, ends - 1) // 86400 then [starts // 86400]
            else range(greatest(starts, getvariable('first_at')) // 86400, (ends - 1) // 86400 + 1) end as parts
    from (
        select
            pool_id,
            model_id,
            team_id,
            class_id,
            cpus,
            nodes,
            started as starts,
            coalesce(ended, getvariable('as_of')) as ends,
            ended is not null as is_over
        from attempts
        where started is not null
    )
),

run as (
    select
        day,
        pool_id,
        model_id,
        team_id,
        class_id,
        sum(case when starts // 86400 = day then 1 else 0 end) as jobs_started,
        sum(case when is_over and greatest(starts, ends - 1) // 86400 = day then 1 else 0 end) as jobs_ended,
        sum(seconds) as wall_seconds,
        sum(cast(cpus as bigint) * seconds) as cpu_seconds,
        sum(cast(nodes as bigint) * seconds) as node_seconds
    from (
        select
            *,
            least(ends, day * 86400 + 86400) - greatest(starts, day * 86400) as seconds
        from (select *, unnest(parts) as day from day_parts)
        where day >= getvariable('first_at') // 86400
    )
    group by all
),

held as (
    select
        coalesce(allocated.day, excess_days.day) as day,
        coalesce(allocated.pool_id, excess_days.pool_id) as pool_id,
        coalesce(allocated.model_id, excess_days.model_id) as model_id,
        coalesce(allocated.team_id, excess_days.team_id) as team_id,
        coalesce(allocated.class_id, excess_days.class_id) as class_id,
        coalesce(allocated.allocated, 0) as allocated,
        coalesce(excess_days.overcommit, 0) as overcommit,
        coalesce(excess_days.unplaced, 0) as unplaced
    from allocated
    full outer join excess_days using (day, pool_id, model_id, team_id, class_id)
)

select
    coalesce(held.day, run.day) as day,
    coalesce(held.pool_id, run.pool_id) as pool_id,
    coalesce(held.model_id, run.model_id) as model_id,
    coalesce(held.team_id, run.team_id) as team_id,
    coalesce(held.class_id, run.class_id) as class_id,
    held.day is not null as is_held,
    coalesce(held.allocated, 0) as allocated,
    coalesce(held.overcommit, 0) as overcommit,
    coalesce(held.unplaced, 0) as unplaced,
    coalesce(run.jobs_started, 0) as jobs_started,
    coalesce(run.jobs_ended, 0) as jobs_ended,
    coalesce(run.wall_seconds, 0) as wall_seconds,
    coalesce(run.cpu_seconds, 0) as cpu_seconds,
    coalesce(run.node_seconds, 0) as node_seconds
from held
full outer join run
    on held.day = run.day
    and held.pool_id = run.pool_id
    and held.model_id = run.model_id
    and held.team_id = run.team_id
    and held.class_id = run.class_id;

-- Costs.
create table charges as
select
    lot_id as charge_id,
    pool,
    accelerator_model as model,
    'depreciation' as cost_component,
    currency,
    picos_of(price - residual) as picos,
    accelerators,
    cast(epoch(in_service_at) as bigint) as starts,
    cast(epoch(in_service_at + to_months(life_months)) as bigint) as ends
from read_csv(getvariable('landing') || '/purchase_lots.csv', header = true, columns = {
    'lot_id': 'VARCHAR', 'cluster': 'VARCHAR', 'pool': 'VARCHAR', 'accelerator_model': 'VARCHAR', 'accelerators': 'BIGINT',
    'price': 'DECIMAL(18,2)', 'residual': 'DECIMAL(18,2)', 'currency': 'VARCHAR', 'in_service_at': 'TIMESTAMP',
    'life_months': 'INTEGER'
})
union all
select
    pool || cost_component || period_start,
    pool,
    null,
    cost_component,
    currency,
    picos_of(amount),
    null,
    cast(epoch(period_start) as bigint),
    cast(epoch(period_end) as bigint)
from read_csv(getvariable('landing') || '/flat_costs.csv', header = true, columns = {
    'cost_component': 'VARCHAR', 'cluster': 'VARCHAR', 'pool': 'VARCHAR', 'amount': 'DECIMAL(18,2)', 'currency': 'VARCHAR',
    'period_start': 'TIMESTAMP', 'period_end': 'TIMESTAMP'
});

create table timeline_days as
select
    segments.starts // 86400 as day,
    pools.name as pool,
    models.name as model,
    cast(sum(case when installed > 0 then cast(installed * 84000 as bigint) * (segments.ends - segments.starts) else 0 end) as bigint) as installed,
    cast(sum(
        case when availability > 0 then cast(least(held, installed) * 84000 as bigint) * (segments.ends - segments.starts) else 0 end
    ) as bigint) as allocated_while_down,
    min(case when installed > 0 then segments.starts end) as first_at,
    max(case when installed > 0 then segments.ends end) as last_at
from segments
inner join nodes on segments.node_id = nodes.id
inner join models on nodes.model_id = models.id
inner join pools on segments.pool_id = pools.id
group by all;

create table costs as
with slices as (
    select
        days.day,
        charges.*,
        accrued(picos, least(charges.ends, days.ends) - charges.starts, charges.ends - charges.starts)
        - accrued(picos, greatest(charges.starts, days.starts) - charges.starts, charges.ends - charges.starts) as slice
    from charges
    inner join days on charges.starts < days.ends and charges.ends > days.starts
),

weights as (
    select
        day,
        pool,
        model,
        installed // 84000 as weight,
        cast(sum(installed // 84000) over (partition by day, pool) as bigint) as pool_weight
    from timeline_days
    where installed // 84000 > 0
),

shared as (
    select
        slices.day,
        slices.charge_id,
        slices.pool,
        coalesce(weights.model, 'unassigned') as model,
        slices.cost_component,
        slices.currency,
        slices.slice,
        coalesce(slice // pool_weight * weight + slice % pool_weight * weight // pool_weight, slice) as share,
        coalesce(slice % pool_weight * weight % pool_weight, 0) as remainder
    from slices
    left join weights on slices.day = weights.day and slices.pool = weights.pool
    where slices.model is null
)

select
    day,
    pool,
    model,
    cost_component,
    currency,
    amount_of(sum(picos)) as cost
from (
    select day, pool, model, cost_component, currency, slice as picos from slices where model is not null
    union all
    select
        day,
        pool,
        model,
        cost_component,
        currency,
        share + case
            when row_number() over (partition by day, charge_id order by remainder desc, model)
                <= slice - sum(share) over (partition by day, charge_id) then 1
            else 0
        end
    from shared
)
group by day, pool, model, cost_component, currency;

create table fleet_days as
with states as (
    select
        day,
        pools.name as pool,
        models.name as model,
        cast(sum(unit_seconds) as bigint) as installed,
        cast(sum(case when owner_id >> 9 = 0 then unit_seconds else 0 end) as bigint) as allocated,
        cast(sum(case when owner_id >> 9 = 1 then unit_seconds else 0 end) as bigint) as down_planned,
        cast(sum(case when owner_id >> 9 = 2 then unit_seconds else 0 end) as bigint) as down_unplanned,
        cast(sum(case when owner_id >> 9 = 3 then unit_seconds else 0 end) as bigint) as draining,
        cast(sum(case when owner_id >> 9 = 4 then unit_seconds else 0 end) as bigint) as reserved_idle,
        cast(sum(case when owner_id >> 9 = 5 then unit_seconds else 0 end) as bigint) as stranded,
        cast(sum(case when owner_id >> 9 = 6 then unit_seconds else 0 end) as bigint) as idle
    from owner_days
    inner join pools on owner_days.pool_id = pools.id
    inner join models on owner_days.model_id = models.id
    group by all
),

held as (
    select
        day,
        pools.name as pool,
        models.name as model,
        cast(sum(overcommit) as bigint) as overcommit,
        cast(sum(unplaced) as bigint) as unplaced
    from team_days
    inner join pools on team_days.pool_id = pools.id
    inner join models on team_days.model_id = models.id
    where is_held
    group by all
)

select
    coalesce(states.day, held.day) as day,
    coalesce(states.pool, held.pool) as pool,
    coalesce(states.model, held.model) as model,
    coalesce(states.installed, 0) as installed,
    coalesce(states.installed - states.down_planned - states.down_unplanned - states.draining, 0) as available,
    coalesce(states.allocated, 0) as allocated,
    coalesce(states.down_planned, 0) as down_planned,
    coalesce(states.down_unplanned, 0) as down_unplanned,
    coalesce(states.draining, 0) as draining,
    coalesce(states.reserved_idle, 0) as reserved_idle,
    coalesce(states.stranded, 0) as stranded,
    coalesce(states.idle, 0) as idle,
    coalesce(held.overcommit, 0) as overcommit,
    coalesce(held.unplaced, 0) as unplaced,
    coalesce(timeline_days.allocated_while_down, 0) as allocated_while_down
from states
full outer join held using (day, pool, model)
left join timeline_days
    on coalesce(states.day, held.day) = timeline_days.day
    and coalesce(states.pool, held.pool) = timeline_days.pool
    and coalesce(states.model, held.model) = timeline_days.model;

create table cost_days as
with summed as (
    select
        day,
        pool,
        model,
        currency,
        sum(cost) as cost,
        sum(case when cost_component = 'depreciation' then cost else 0 end) as depreciation,
        sum(case when cost_component = 'power' then cost else 0 end) as power,
        sum(case when cost_component = 'colo' then cost else 0 end) as colo,
        sum(case when cost_component = 'support' then cost else 0 end) as support
    from costs
    group by day, pool, model, currency
),

priced as (
    select
        days.day,
        charges.pool,
        charges.model,
        cast(sum(charges.accelerators * 84000 * (days.ends - greatest(charges.starts, days.starts))) as bigint) as priced
    from charges
    inner join days on charges.starts < days.ends
    where charges.accelerators is not null
    group by days.day, charges.pool, charges.model
),

billed as (
    select
        in_service.day,
        in_service.pool,
        components.cost_component,
        in_service.last_at - in_service.first_at as needed,
        sum(
            case when charges.charge_id is null then 0
                else least(charges.ends, in_service.last_at) - greatest(charges.starts, in_service.first_at) end
        ) as billed
    from (
        select day, pool, min(first_at) as first_at, max(last_at) as last_at
        from timeline_days
        where first_at is not null
        group by day, pool
    ) as in_service
    inner join (select distinct pool, cost_component from charges where model is null) as components using (pool)
    left join charges
        on components.pool = charges.pool
        and components.cost_component = charges.cost_component
        and charges.model is null
        and charges.starts < in_service.last_at
        and charges.ends > in_service.first_at
    group by in_service.day, in_service.pool, components.cost_component, in_service.first_at, in_service.last_at
),

missing as (
    select
        day,
        pool,
        string_agg(cost_component, ', ' order by cost_component) as missing_components
    from billed
    where billed < needed
    group by day, pool
)

select
    coalesce(fleet.day, summed.day) as day,
    coalesce(fleet.pool, summed.pool) as pool,
    coalesce(fleet.model, summed.model) as model,
    coalesce(summed.currency, 'XXX') as currency,
    case
        when summed.cost is not null and missing.missing_components is null
            and coalesce(fleet.installed, 0) <= coalesce(priced.priced, 0)
            then summed.cost
    end as cost,
    summed.cost as known_cost,
    summed.depreciation,
    summed.power,
    summed.colo,
    summed.support,
    case when summed.cost is not null then cast(0 as decimal(38, 12)) end as other,
    missing.missing_components,
    greatest(0, coalesce(fleet.installed, 0) - coalesce(priced.priced, 0)) as unpriced,
    coalesce(fleet.installed, 0) as installed,
    coalesce(fleet.available, 0) as available,
    coalesce(fleet.allocated, 0) as allocated
from (select * from fleet_days where installed > 0) as fleet
full outer join summed on fleet.day = summed.day and fleet.pool = summed.pool and fleet.model = summed.model
left join priced
    on coalesce(fleet.day, summed.day) = priced.day
    and coalesce(fleet.pool, summed.pool) = priced.pool
    and coalesce(fleet.model, summed.model) = priced.model
left join missing
    on coalesce(fleet.day, summed.day) = missing.day and coalesce(fleet.pool, summed.pool) = missing.pool;

-- Who owes what, in trillionths: shares are cut from running sums, from the last team to the first.
create macro part_of(picos, part, whole) as
    case when whole > 0 then sign(picos) * (abs(picos::hugeint) * part // whole) else 0 end;

create table entitlements as
from read_csv(getvariable('landing') || '/entitlements.csv', header = true, columns = {
    'team': 'VARCHAR', 'cluster': 'VARCHAR', 'pool': 'VARCHAR', 'model': 'VARCHAR', 'accelerators': 'DECIMAL(18,6)',
    'valid_from': 'TIMESTAMP', 'valid_to': 'TIMESTAMP'
});

create table showback as
with bills as (
    select day, pool, model, currency, picos_of(sum(cost)) as picos
    from costs
    group by all
),

held as (
    select day, pools.name as pool, models.name as model, teams.name as team, cast(sum(allocated) as bigint) as allocated
    from team_days
    inner join pools on team_days.pool_id = pools.id
    inner join models on team_days.model_id = models.id
    inner join teams on team_days.team_id = teams.id
    where allocated > 0
    group by all
),

fleet as (
    select
        day,
        pool,
        model,
        installed,
        reserved_idle + stranded + idle as free,
        cast(sum(installed) over (partition by day, pool) as bigint) as pool_installed
    from fleet_days
    where installed > 0
),

entitled as (
    select
        fleet.day,
        fleet.pool,
        fleet.model,
        entitlements.team,
        cast(sum(part_of(
            cast(accelerators * 84000 as bigint) * (
                least(cast(epoch(coalesce(valid_to, '9999-01-01')) as bigint), last_at)
                - greatest(cast(epoch(valid_from) as bigint), first_at)
            ),
            fleet.installed,
            fleet.pool_installed
        )) as bigint) as entitled
    from fleet
    inner join timeline_days using (day, pool, model)
    inner join entitlements
        on fleet.pool = entitlements.pool
        and epoch(valid_from) < last_at
        and coalesce(epoch(valid_to), 1e12) > first_at
    group by all
),

payers as (
    select
        bills.*,
        team,
        coalesce(fleet.installed, 0) as installed,
        coalesce(fleet.free, 0) as free,
        coalesce(held.allocated, 0) as allocated,
        coalesce(entitled.entitled, 0) as entitled,
        greatest(0, coalesce(entitled.entitled, 0) - coalesce(held.allocated, 0)) as unused
    from bills
    inner join (
        select day, pool, model, team from held
        union
        select day, pool, model, team from entitled
        union
        select day, pool, model, 'central' from bills
    ) using (day, pool, model)
    left join fleet using (day, pool, model)
    left join held using (day, pool, model, team)
    left join entitled using (day, pool, model, team)
),

running as (
    select
        *,
        cast(sum(allocated) over upto as bigint) as allocated_upto,
        cast(sum(unused) over upto as bigint) as unused_upto,
        cast(sum(allocated) over each as bigint) as all_allocated,
        cast(sum(unused) over each as bigint) as all_unused
    from payers
    window
        each as (partition by day, pool, model, currency),
        upto as (partition by day, pool, model, currency order by team desc rows unbounded preceding)
),

amounts as (
    select
        *,
        picos - part_of(picos, all_allocated, installed) as idle,
        part_of(picos, all_allocated + free, installed) - part_of(picos, all_allocated, installed) as free_cost,
        part_of(picos, least(free, all_unused), installed) as kept,
        team = 'central' as is_centre
    from running
)

select
    day,
    pool,
    model,
    team,
    currency,
    allocated,
    entitled,
    part_of(picos, allocated_upto, installed) - part_of(picos, allocated_upto - allocated, installed) as direct,
    part_of(kept, unused_upto, all_unused) - part_of(kept, unused_upto - unused, all_unused) as own_kept,
    case when is_centre then idle else 0 end as central,
    case
        when all_allocated > 0
            then part_of(idle, allocated_upto, all_allocated) - part_of(idle, allocated_upto - allocated, all_allocated)
        when is_centre then idle
        else 0
    end as proportional,
    own_kept + case when is_centre then idle - kept else 0 end as entitlement,
    own_kept + case
        when all_allocated > 0
            then part_of(free_cost - kept, allocated_upto, all_allocated)
                - part_of(free_cost - kept, allocated_upto - allocated, all_allocated)
                + case when is_centre then idle - free_cost else 0 end
        when is_centre then idle - kept
        else 0
    end as hybrid
from amounts;

-- What became of every delivered record.
create table trust as
-- A record that several files have is rejected once, as the newest file has it, and not at all where another can be read
-- that ended or is no older;
-- one without any time, where it came first. What is without any time is of the day of the last second that its delivery
-- can tell of: before it was collected, at as_of or earlier.
with quarantined as (
    select
        rejected.*,
        files.collected_at,
        (
            accepted.fact is null
            or not accepted.has_ended
            and accepted.collected_at < max(files.collected_at) over (partition by rejected.fact)
        )
        and row_number() over (
            partition by rejected.fact
            order by case when rejected.record_at is null then files.collected_at else -files.collected_at end
        ) = 1 as is_rejected
    from rejected
    inner join files on rejected.file_no = files.file_no
    left join (
        select
            'atlas/' || records.job || '/' || records.submitted as fact,
            max(files.collected_at) as collected_at,
            arg_max(records.ended is not null, files.collected_at) as has_ended
        from records
        inner join files on records.file_no = files.file_no
        where (records.job, records.submitted) in (select (try_cast(split_part(fact, '/', 2) as integer), try_cast(split_part(fact, '/', 3) as integer)) from rejected)
        group by records.job, records.submitted
    ) as accepted on rejected.fact = accepted.fact
),

counted as (
    select
        'slurm_jobs' as source,
        'atlas' as cluster,
        coalesce(ended, started, submitted) // 86400 as day,
        count(*) as received,
        0 as rejected,
        0 as superseded,
        0 as unvaluable,
        0 as seconds,
        max(coalesce(ended, started, submitted)) as newest
    from records
    group by all
    union all
    select
        'slurm_jobs',
        'atlas',
        coalesce(records.ended, records.started, records.submitted) // 86400,
        0,
        0,
        count(*),
        0,
        0,
        null
    from records
    semi join losers on records.rowid = losers.place
    group by all
    union all
    select
        'slurm_jobs',
        cluster,
        coalesce(record_at, collected_at - 1) // 86400,
        count(*),
        cast(sum(case when is_rejected then 1 else 0 end) as bigint),
        cast(sum(case when is_rejected then 0 else 1 end) as bigint),
        cast(sum(case when is_rejected and accelerator_seconds is null then 1 else 0 end) as bigint),
        cast(coalesce(sum(case when is_rejected then accelerator_seconds end), 0) as bigint),
        max(record_at)
    from quarantined
    group by all
    union all
    select 'slurm_node_events', 'atlas', starts // 86400, count(*), 0, count(*) - count(distinct (node, starts, state)), 0, 0, max(starts)
    from event_lines
    group by all
    union all
    select 'slurm_reservations', 'atlas', starts // 86400, count(*), 0, count(*) - count(distinct (id, starts)), 0, 0, max(starts)
    from reservation_lines
    group by all
    union all
    select 'slurm_nodes', 'atlas', (getvariable('as_of') - 1) // 86400, count(*), 0, 0, 0, 0, null from shown_nodes
    union all
    select 'inventory', 'atlas', (getvariable('as_of') - 1) // 86400, count(*), 0, 0, 0, 0, null from inventory
    union all
    select 'org_mapping', 'atlas', (getvariable('as_of') - 1) // 86400, count(*), 0, 0, 0, 0, null from mapping
    union all
    select 'entitlements', 'atlas', (getvariable('as_of') - 1) // 86400, count(*), 0, 0, 0, 0, null from entitlements
    union all
    select 'purchase_lots', 'atlas', (getvariable('as_of') - 1) // 86400, count(*), 0, 0, 0, 0, null from charges where model is not null
    union all
    select 'flat_costs', 'atlas', (getvariable('as_of') - 1) // 86400, count(*), 0, 0, 0, 0, null from charges where model is null
),

summed as (
    select
        day,
        source,
        cluster,
        cast(sum(received) as bigint) as received,
        cast(sum(rejected) as bigint) as rejected,
        cast(sum(superseded) as bigint) as superseded,
        cast(sum(unvaluable) as bigint) as unvaluable,
        cast(sum(seconds) as bigint) as seconds,
        max(newest) as newest
    from counted
    group by day, source, cluster
),

rates as (
    select
        day,
        case when count(distinct currency) = 1 and count(cost) = count(*)
            then price_of_hour(sum(cost), sum(installed)) end as cost_per_installed_hour
    from cost_days
    group by day
)

select
    summed.*,
    case
        when seconds = 0 then cast(0 as decimal(38, 12))
        when summed.cluster = 'atlas'
            then cast(rates.cost_per_installed_hour * cast(hours_of_seconds(seconds) as double) as decimal(38, 12))
    end as rejected_cost
from summed
left join rates on summed.day = rates.day;

create table queue_days as
with submitted as (
    select
        key >> 41 as day,
        key >> 37 & 15 as partition_id,
        cast(sum(jobs) as bigint) as jobs,
        cast(sum(used) as bigint) as used
    from waits
    where key >> 27 & 1 = 1
    group by all
),

happened as (
    select
        partition_id,
        submitted // 86400 as submit_day,
        coalesce(started, ended) // 86400 as end_day,
        started is not null as has_started,
        coalesce(started, ended) is null as is_waiting
    from attempts
    where not is_follower
),

events as (
    select
        day,
        partition_id,
        cast(sum(started) as bigint) as started,
        cast(sum(cancelled) as bigint) as cancelled,
        cast(sum(waiting) as bigint) as waiting
    from (
        select
            end_day as day,
            partition_id,
            case when has_started then 1 else 0 end as started,
            case when has_started then 0 else 1 end as cancelled,
            0 as waiting
        from happened
        where not is_waiting
        union all
        select
            unnest(range(submit_day, case when is_waiting then getvariable('as_of') // 86400 else end_day end)),
            partition_id,
            0,
            0,
            1
        from happened
        where is_waiting or end_day > submit_day
    )
    where day >= getvariable('first_at') // 86400 and day < getvariable('as_of') // 86400
    group by all
),

pending as (
    select
        hour // 24 as day,
        partition_id,
        cast(sum(unit_seconds) as bigint) as unit_seconds
    from queue_hours
    where job_seconds <> 0 or unit_seconds <> 0
    group by all
)

select
    day,
    partition_id,
    coalesce(submitted.jobs, 0) as jobs_submitted,
    coalesce(events.started, 0) as jobs_started,
    coalesce(events.cancelled, 0) as jobs_cancelled,
    coalesce(events.waiting, 0) as jobs_waiting,
    coalesce(submitted.used, 0) as submitted_unit_seconds,
    coalesce(pending.unit_seconds, 0) as pending_unit_seconds
from submitted
full outer join events using (day, partition_id)
full outer join pending using (day, partition_id);

create table hour_sums as
select
    hours.hour,
    coalesce(held.allocated, 0) as allocated,
    coalesce(held.free, 0) as free,
    coalesce(waiting.pending, 0) as pending
from (select unnest(range(getvariable('first_at') // 3600, getvariable('as_of') // 3600)) as hour) as hours
left join ledger_hours as held on hours.hour = held.hour
left join (select hour, cast(sum(unit_seconds) as bigint) as pending from queue_hours group by hour) as waiting
    on hours.hour = waiting.hour;

create table fragments as
select
    hour,
    pool_id,
    model_id,
    cast(sum(free) as bigint) as free,
    cast(sum(free // all_requests * unhosted_requests + free % all_requests * unhosted_requests // all_requests) as bigint) as fragmented
from (
    select
        free_hours.hour,
        free_hours.pool_id,
        nodes.model_id,
        situations.all_requests,
        situations.unhosted_requests,
        cast(any_value(free_hours.accelerators) * 84000 as bigint) * cast(sum(free_hours.seconds) as bigint) as free
    from free_hours
    inner join situations on free_hours.situation_id = situations.id
    inner join nodes on free_hours.node_id = nodes.id
    where situations.all_requests > 0
    group by free_hours.hour, free_hours.pool_id, nodes.model_id, situations.id, situations.all_requests, situations.unhosted_requests
)
group by all;

-- stage: views
-- What is published, a view each; most of them are streams over what is numbered above.
create view mart_attempts as
select
    attempts.attempt_id,
    'atlas' as cluster,
    'slurm' as scheduler,
    cast(attempts.job as varchar) as job_id,
    job_id as job_id_shown,
    accounts.name as account,
    teams.name as team,
    users.name as user_name,
    partitions.name as partition_name,
    qualities.name as qos,
    classes.name as workload_class,
    attempts.job_name,
    reservation_names.name as reservation_name,
    instant_of(attempts.submitted) as submitted_at,
    instant_of(attempts.eligible) as eligible_at,
    instant_of(attempts.started) as started_at,
    instant_of(attempts.ended) as ended_at,
    endings.state,
    endings.end_class,
    case
        when failed.id is not null then 'infra_failure'
        when endings.end_class = 'requeued' then 'user'
        else endings.end_class
    end as end_cause,
    endings.end_class = 'requeued' as is_cause_inferred,
    models.name as accelerator_model,
    pools.name as home_pool,
    models.name as home_accelerator_model,
    cast(attempts.accelerators as decimal(18, 6)) as accelerators,
    cast(attempts.accelerators * 84000 as bigint) as accelerator_units,
    cast(attempts.asked as decimal(18, 6)) as accelerators_requested,
    false as is_no_consume,
    cast(1 as bigint) as array_tasks,
    cast(null as bigint) as array_task_limit,
    cast(not attempts.is_follower as bigint) as job_count,
    cast(attempts.timelimit as bigint) as timelimit_minutes,
    cast(attempts.cpus as bigint) as cpus,
    cast(attempts.nodes as bigint) as nodes,
    cast(attempts.memory_mib as bigint) as memory_mib,
    cast(attempts.held as bigint) as held_seconds,
    cast(0 as bigint) as suspended_seconds,
    cast(attempts.cpus as bigint) * attempts.held as cpu_seconds,
    cast(attempts.nodes as bigint) * attempts.held as node_seconds,
    cast(
        case when not attempts.is_follower and attempts.started is not null
            then greatest(0, attempts.started - attempts.eligible) end as bigint
    ) as queue_seconds,
    attempts.is_open,
    cast(attempts.runaway_seconds as bigint) as runaway_seconds,
    attempts.is_follower as is_resize_follower,
    files.path as source_file,
    cast(attempts.line as bigint) as source_line
from (
    select
        *,
        coalesce(coalesce(ended, getvariable('as_of')) - started, 0) as held
    from attempts
) as attempts
inner join accounts on attempts.account_id = accounts.id
inner join teams on attempts.team_id = teams.id
inner join users on attempts.user_id = users.id
inner join partitions on attempts.partition_id = partitions.id
inner join qualities on attempts.quality_id = qualities.id
inner join classes on attempts.class_id = classes.id
inner join endings on attempts.state_id = endings.id
inner join models on attempts.model_id = models.id
inner join pools on attempts.pool_id = pools.id
inner join files on attempts.file_no = files.file_no
left join reservation_names on attempts.reservation_id = reservation_names.id
left join failed on attempts.id = failed.id;

create view mart_attempt_nodes as
select
    attempts.attempt_id,
    'atlas' as cluster,
    nodes.name as node,
    models.name as accelerator_model,
    cast(attempts.accelerators // list_nodes.nodes * 84000 as bigint) as accelerator_units,
    list_nodes.nodes > 1 as split_inferred,
    cast(attempts.cpus // attempts.nodes as bigint) as cpus_on_node,
    cast(attempts.memory_mib // attempts.nodes as bigint) as memory_mib_on_node,
    instant_of(attempts.started) as started_at,
    instant_of(attempts.ended) as ended_at
from attempts
inner join list_nodes on attempts.list_id = list_nodes.list_id
inner join nodes on list_nodes.node_id = nodes.id
inner join models on nodes.model_id = models.id
where attempts.accelerators > 0;

create view mart_attempt_hours as
select
    on_day(attempt_hours.hour // 24) as usage_date,
    instant_of(attempt_hours.hour * 3600) as hour_at,
    attempt_hours.attempt_id,
    'atlas' as cluster,
    pools.name as pool,
    nodes.name as node,
    models.name as accelerator_model,
    teams.name as team,
    accounts.name as account,
    users.name as user_name,
    classes.name as workload_class,
    attempt_hours.held as held_unit_seconds,
    attempt_hours.held - attempt_hours.overcommit - attempt_hours.unplaced as allocated_unit_seconds,
    attempt_hours.overcommit as overcommit_unit_seconds,
    attempt_hours.unplaced as unplaced_unit_seconds
from attempt_hours
inner join pools on attempt_hours.pool_id = pools.id
inner join nodes on attempt_hours.node_id = nodes.id
inner join models on nodes.model_id = models.id
inner join teams on attempt_hours.team_id = teams.id
inner join accounts on attempt_hours.account_id = accounts.id
inner join users on attempt_hours.user_id = users.id
inner join classes on attempt_hours.class_id = classes.id;

create view mart_node_timeline as
select
    on_day(segments.starts // 86400) as usage_date,
    'atlas' as cluster,
    pools.name as pool,
    nodes.name as node,
    models.name as accelerator_model,
    instant_of(segments.starts) as starts_at,
    instant_of(segments.ends) as ends_at,
    cast(segments.installed * 84000 as bigint) as installed_units,
    cast(segments.held * 84000 as bigint) as held_units,
    availabilities.name as availability,
    cast(case when segments.is_reserved then segments.installed * 84000 else 0 end as bigint) as reserved_units,
    false as is_shared,
    cast(greatest(0, nodes.cpus - segments.cpus) as bigint) as free_cpus,
    cast(greatest(0, nodes.memory_gib - segments.memory_gib) * 1024 as bigint) as free_memory_mib
from segments
inner join pools on segments.pool_id = pools.id
inner join nodes on segments.node_id = nodes.id
inner join models on nodes.model_id = models.id
inner join (
    values (0, 'available'), (1, 'down_planned'), (2, 'down_unplanned'), (3, 'draining_unusable')
) as availabilities (id, name) on segments.availability = availabilities.id;

create table ledger_states as
select * from (
    values
    (0, 'allocated'),
    (1, 'down_planned'),
    (2, 'down_unplanned'),
    (3, 'draining_unusable'),
    (4, 'reserved_idle'),
    (5, 'stranded'),
    (6, 'idle_schedulable')
) as states (id, name);

-- Who owns what is allocated: state, team and class in one number. What nobody holds is nobody's.
create table ledger_owners as
select
    (ledger_states.id << 9) + (teams.id << 3) + classes.id as id,
    ledger_states.name as state,
    case when ledger_states.id = 0 then teams.name else '' end as team,
    case when ledger_states.id = 0 then classes.name else '' end as workload_class
from ledger_states
cross join teams
cross join classes;

create view mart_capacity_ledger_hourly as
select
    on_day(ledger.hour // 24) as usage_date,
    instant_of(ledger.hour * 3600) as hour_at,
    'atlas' as cluster,
    pools.name as pool,
    nodes.name as node,
    models.name as accelerator_model,
    ledger_owners.state,
    ledger_owners.team,
    ledger_owners.workload_class,
    ledger.unit_seconds,
    accelerator_seconds_of(ledger.unit_seconds) as accelerator_seconds
from ledger
inner join pools on ledger.pool_id = pools.id
inner join nodes on ledger.node_id = nodes.id
inner join models on nodes.model_id = models.id
inner join ledger_owners on ledger.owner_id = ledger_owners.id;

create view mart_cost_daily as
select
    on_day(day) as usage_date,
    'atlas' as cluster,
    pool,
    model as accelerator_model,
    cost_component,
    'owned' as tenure,
    cost,
    cast(0 as decimal(38, 12)) as unused_commitment_cost,
    cast(0 as decimal(38, 12)) as tax_cost,
    cast(0 as decimal(38, 12)) as credit_cost,
    case when cost_component = 'depreciation' then cost end as straight_line_cost,
    cast(null as decimal(38, 12)) as annuity_cost,
    currency
from costs;

create view mart_demand_hourly as
select
    on_day(hour // 24) as usage_date,
    instant_of(hour * 3600) as hour_at,
    'atlas' as cluster,
    cast(3600 as bigint) as accounted_seconds,
    cast(0 as bigint) as snapshot_seconds,
    allocated as allocated_unit_seconds,
    free as free_unit_seconds,
    pending as pending_unit_seconds,
    cast(null as bigint) as pending_capacity_unit_seconds,
    cast(null as bigint) as pending_unknown_unit_seconds,
    cast(null as bigint) as capacity_demand_unit_seconds,
    cast(null as bigint) as unmet_unit_seconds,
    cast(null as boolean) as is_fragmented
from hour_sums;

create view mart_fragmentation_hourly as
select
    on_day(fragments.hour // 24) as usage_date,
    instant_of(fragments.hour * 3600) as hour_at,
    'atlas' as cluster,
    pools.name as pool,
    models.name as accelerator_model,
    fragments.free as free_unit_seconds,
    fragments.fragmented as fragmented_unit_seconds,
    share_of(fragments.fragmented, fragments.free) as fragmentation_rate
from fragments
inner join pools on fragments.pool_id = pools.id
inner join models on fragments.model_id = models.id;

create view mart_queue_waits as
select
    on_day(waits.key >> 41) as usage_date,
    'atlas' as cluster,
    partitions.name as partition_name,
    teams.name as team,
    classes.name as workload_class,
    case when waits.key >> 27 & 1 = 1 then 'submit' else 'eligible' end as wait_kind,
    waits.key >> 1 & 67108863 as wait_seconds,
    waits.key & 1 = 1 as has_started,
    waits.jobs as job_count,
    waits.requested as requested_unit_seconds,
    waits.used as submitted_unit_seconds
from waits
inner join partitions on waits.key >> 37 & 15 = partitions.id
inner join teams on waits.key >> 31 & 63 = teams.id
inner join classes on waits.key >> 28 & 7 = classes.id;

create view mart_queue_percentiles_daily as
with named as (
    select
        percentiles.*,
        on_day(percentiles.group_id >> 11) as usage_date,
        percentiles.group_id >> 10 & 1 = 1 as is_team,
        partitions.name as partition_name,
        teams.name as team,
        classes.name as workload_class,
        case when percentiles.group_id & 1 = 1 then 'submit' else 'eligible' end as wait_kind
    from percentiles
    left join partitions on percentiles.group_id >> 1 & 511 = partitions.id and percentiles.group_id >> 10 & 1 = 0
    left join teams on percentiles.group_id >> 4 & 63 = teams.id and percentiles.group_id >> 10 & 1 = 1
    left join classes on percentiles.group_id >> 1 & 7 = classes.id and percentiles.group_id >> 10 & 1 = 1
)

select
    usage_date,
    'atlas' as cluster,
    case when is_team then 'team' else 'partition' end as grouped_by,
    coalesce(partition_name, '') as partition_name,
    coalesce(team, '') as team,
    coalesce(workload_class, '') as workload_class,
    wait_kind,
    'jobs' as weighting,
    cast(jobs_p50 as double) as queue_p50_seconds,
    cast(jobs_p90 as double) as queue_p90_seconds,
    cast(jobs_p95 as double) as queue_p95_seconds,
    cast(jobs_longest as bigint) as longest_wait_seconds
from named
union all
select
    usage_date,
    'atlas' as cluster,
    case when is_team then 'team' else 'partition' end as grouped_by,
    coalesce(partition_name, '') as partition_name,
    coalesce(team, '') as team,
    coalesce(workload_class, '') as workload_class,
    wait_kind,
    'accelerator_hours' as weighting,
    cast(units_p50 as double),
    cast(units_p90 as double),
    cast(units_p95 as double),
    cast(units_longest as bigint)
from named
where units_longest is not null;

create view mart_queue_hourly as
select
    on_day(queue_hours.hour // 24) as usage_date,
    instant_of(queue_hours.hour * 3600) as hour_at,
    'atlas' as cluster,
    partitions.name as partition_name,
    teams.name as team,
    'unknown' as reason_class,
    queue_hours.job_seconds as pending_job_seconds,
    queue_hours.unit_seconds as pending_unit_seconds,
    accelerator_seconds_of(queue_hours.unit_seconds) as pending_accelerator_seconds
from queue_hours
inner join partitions on queue_hours.partition_id = partitions.id
inner join teams on queue_hours.team_id = teams.id
where queue_hours.job_seconds <> 0 or queue_hours.unit_seconds <> 0;

create view report_fleet_efficiency_daily as
select
    on_day(day) as usage_date,
    'atlas' as cluster,
    pool,
    model as accelerator_model,
    false as is_partial,
    hours_of(installed) as installed_hours,
    hours_of(available) as available_hours,
    hours_of(allocated) as allocated_hours,
    hours_of(reserved_idle) as reserved_idle_hours,
    hours_of(idle) as idle_hours,
    hours_of(down_planned) as down_planned_hours,
    hours_of(down_unplanned) as down_unplanned_hours,
    hours_of(draining) as draining_hours,
    hours_of(stranded) as stranded_hours,
    hours_of(overcommit) as overcommit_hours,
    hours_of(unplaced) as unplaced_hours,
    hours_of(allocated_while_down) as allocated_while_down_hours,
    share_of(allocated, installed) as allocation_rate_installed,
    share_of(allocated, available) as allocation_rate_available,
    cast(null as double) as sm_active_rate,
    cast(0 as double) as telemetry_coverage,
    cast(null as decimal(38, 6)) as productive_hours,
    installed as installed_unit_seconds,
    available as available_unit_seconds,
    allocated as allocated_unit_seconds,
    reserved_idle as reserved_idle_unit_seconds,
    idle as idle_unit_seconds,
    down_planned as down_planned_unit_seconds,
    down_unplanned as down_unplanned_unit_seconds,
    draining as draining_unit_seconds,
    stranded as stranded_unit_seconds,
    overcommit as overcommit_unit_seconds,
    unplaced as unplaced_unit_seconds
from fleet_days;

create view report_team_efficiency_daily as
select
    on_day(team_days.day) as usage_date,
    'atlas' as cluster,
    pools.name as pool,
    models.name as accelerator_model,
    teams.name as team,
    classes.name as workload_class,
    hours_of(team_days.allocated) as allocated_hours,
    hours_of(team_days.allocated + team_days.overcommit + team_days.unplaced) as held_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    cast(null as decimal(38, 6)) as lost_infra_hours,
    cast(null as decimal(38, 6)) as lost_preempt_hours,
    cast(null as decimal(38, 6)) as lost_user_failure_hours,
    cast(null as decimal(38, 6)) as restart_overhead_hours,
    cast(null as decimal(38, 6)) as held_idle_hours,
    cast(0 as double) as telemetry_coverage,
    cast(team_days.jobs_started as bigint) as jobs_started,
    cast(team_days.jobs_ended as bigint) as jobs_ended,
    cast(percentiles.jobs_p50 as double) as queue_p50_seconds,
    cast(percentiles.jobs_p90 as double) as queue_p90_seconds,
    hours_of_seconds(team_days.wall_seconds) as wall_hours,
    hours_of_seconds(team_days.cpu_seconds) as cpu_hours,
    hours_of_seconds(team_days.node_seconds) as node_hours,
    team_days.allocated as allocated_unit_seconds,
    team_days.allocated + team_days.overcommit + team_days.unplaced as held_unit_seconds
from team_days
inner join pools on team_days.pool_id = pools.id
inner join models on team_days.model_id = models.id
inner join teams on team_days.team_id = teams.id
inner join classes on team_days.class_id = classes.id
left join percentiles
    on (cast(team_days.day as bigint) << 11) + (1 << 10) + (team_days.team_id << 4) + (team_days.class_id << 1)
    = percentiles.group_id
where team_days.is_held or team_days.wall_seconds > 0 or team_days.jobs_started > 0 or team_days.jobs_ended > 0;

create view report_cost_per_accelerator_hour_daily as
select
    on_day(day) as usage_date,
    'atlas' as cluster,
    pool,
    model as accelerator_model,
    currency,
    cast(cost as decimal(38, 12)) as cost,
    cast(known_cost as decimal(38, 12)) as known_cost,
    cast(depreciation as decimal(38, 12)) as depreciation_cost,
    cast(power as decimal(38, 12)) as power_cost,
    cast(colo as decimal(38, 12)) as colo_cost,
    cast(support as decimal(38, 12)) as support_cost,
    cast(0 as decimal(38, 12)) as compute_cost,
    cast(0 as decimal(38, 12)) as storage_cost,
    cast(other as decimal(38, 12)) as other_cost,
    cast(0 as decimal(38, 12)) as unused_commitment_cost,
    cast(cost as decimal(38, 12)) as used_only_cost,
    cast(0 as decimal(38, 12)) as tax_cost,
    cast(0 as decimal(38, 12)) as credit_cost,
    cast(depreciation as decimal(38, 12)) as straight_line_cost,
    cast(null as decimal(38, 12)) as annuity_cost,
    cast(0 as decimal(38, 12)) as replacement_cost,
    missing_components,
    hours_of(unpriced) as unpriced_hours,
    cast(0 as decimal(38, 6)) as rented_hours,
    hours_of(installed) as installed_hours,
    hours_of(available) as available_hours,
    hours_of(allocated) as allocated_hours,
    cast(null as decimal(38, 6)) as sm_active_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    price_of_hour(cost, installed) as cost_per_installed_hour,
    price_of_hour(cost, available) as cost_per_available_hour,
    price_of_hour(cost, allocated) as cost_per_allocated_hour,
    price_of_hour(cost, installed) as used_only_cost_per_installed_hour,
    price_of_hour(cost, installed) as replacement_cost_per_installed_hour,
    cast(null as double) as cost_per_sm_active_hour,
    cast(null as double) as cost_per_productive_hour,
    installed as installed_unit_seconds,
    available as available_unit_seconds,
    allocated as allocated_unit_seconds
from cost_days;

create view report_cost_per_accelerator_hour_monthly as
with months as (
    select
        cast(date_trunc('month', on_day(day)) as date) as usage_month,
        pool,
        model,
        currency,
        case when count(cost) = count(*) then sum(cost) end as cost,
        sum(known_cost) as known_cost,
        sum(depreciation) as depreciation,
        sum(power) as power,
        sum(colo) as colo,
        sum(support) as support,
        sum(other) as other,
        count(*) as days_counted,
        count(cost) as days_priced,
        sum(hours_of(unpriced)) as unpriced_hours,
        cast(sum(installed) as bigint) as installed,
        cast(sum(available) as bigint) as available,
        cast(sum(allocated) as bigint) as allocated
    from cost_days
    group by all
)

select
    usage_month,
    'atlas' as cluster,
    pool,
    model as accelerator_model,
    currency,
    cast(cost as decimal(38, 12)) as cost,
    cast(known_cost as decimal(38, 12)) as known_cost,
    cast(depreciation as decimal(38, 12)) as depreciation_cost,
    cast(power as decimal(38, 12)) as power_cost,
    cast(colo as decimal(38, 12)) as colo_cost,
    cast(support as decimal(38, 12)) as support_cost,
    cast(0 as decimal(38, 12)) as compute_cost,
    cast(0 as decimal(38, 12)) as storage_cost,
    cast(other as decimal(38, 12)) as other_cost,
    cast(0 as decimal(38, 12)) as unused_commitment_cost,
    cast(cost as decimal(38, 12)) as used_only_cost,
    cast(0 as decimal(38, 12)) as tax_cost,
    cast(0 as decimal(38, 12)) as credit_cost,
    cast(depreciation as decimal(38, 12)) as straight_line_cost,
    cast(null as decimal(38, 12)) as annuity_cost,
    cast(0 as decimal(38, 12)) as replacement_cost,
    days_counted,
    days_priced,
    cast(unpriced_hours as decimal(38, 6)) as unpriced_hours,
    cast(0 as decimal(38, 6)) as rented_hours,
    hours_of(installed) as installed_hours,
    hours_of(available) as available_hours,
    hours_of(allocated) as allocated_hours,
    cast(null as decimal(38, 6)) as sm_active_hours,
    cast(null as decimal(38, 6)) as productive_hours,
    price_of_hour(cost, installed) as cost_per_installed_hour,
    price_of_hour(cost, available) as cost_per_available_hour,
    price_of_hour(cost, allocated) as cost_per_allocated_hour,
    price_of_hour(cost, installed) as used_only_cost_per_installed_hour,
    price_of_hour(cost, installed) as replacement_cost_per_installed_hour,
    cast(null as double) as cost_per_sm_active_hour,
    cast(null as double) as cost_per_productive_hour,
    installed as installed_unit_seconds,
    available as available_unit_seconds,
    allocated as allocated_unit_seconds
from months;

create view report_showback_daily as
select
    on_day(day) as usage_date,
    'atlas' as cluster,
    pool,
    model as accelerator_model,
    team,
    idle_policy,
    currency,
    amount_of(direct) as direct_cost,
    amount_of(idle) as idle_cost,
    amount_of(direct + idle) as total_cost,
    hours_of(allocated) as allocated_hours,
    hours_of(entitled) as entitled_hours,
    allocated as allocated_unit_seconds,
    entitled as entitled_unit_seconds
from (unpivot showback on central, proportional, entitlement, hybrid into name idle_policy value idle);

-- All bills are in dollars: a minor unit is a cent.
create view report_showback_monthly as
with months as (
    select
        cast(date_trunc('month', usage_date) as date) as usage_month,
        pool,
        team,
        idle_policy,
        currency,
        picos_of(sum(direct_cost)) as direct,
        picos_of(sum(idle_cost)) as idle,
        cast(sum(allocated_unit_seconds) as bigint) as allocated,
        cast(sum(entitled_unit_seconds) as bigint) as entitled
    from report_showback_daily
    group by all
),

parts as (
    select usage_month, pool, currency, team, direct as part from months where idle_policy = 'central'
    union all
    select usage_month, pool, currency, null, sum(idle) from months where idle_policy = 'central' group by all
),

cents as (
    select
        *,
        part // 10000000000 + case
            when row_number() over (partition by usage_month, pool, currency order by part % 10000000000 desc, team nulls last)
                <= (sum(part) over each + 5000000000) // 10000000000 - sum(part // 10000000000) over each then 1
            else 0
        end as cents
    from parts
    window each as (partition by usage_month, pool, currency)
),

shares as (
    select
        months.*,
        months.idle // 10000000000 + case
            when row_number() over (
                partition by usage_month, pool, currency, idle_policy order by months.idle % 10000000000 desc, months.team
            ) <= unused.cents
                - sum(months.idle // 10000000000) over (partition by usage_month, pool, currency, idle_policy) then 1
            else 0
        end as idle_cents
    from months
    inner join (select * from cents where team is null) as unused using (usage_month, pool, currency)
)

select
    usage_month,
    'atlas' as cluster,
    pool,
    team,
    idle_policy,
    currency,
    amount_of(cents * 10000000000) as direct_cost,
    amount_of(idle_cents * 10000000000) as idle_cost,
    amount_of((cents + idle_cents) * 10000000000) as total_cost,
    amount_of(0) as adjustment_cost,
    amount_of((cents + idle_cents) * 10000000000) as charged_cost,
    coalesce(is_complete, false) as is_complete,
    hours_of(allocated) as allocated_hours,
    hours_of(entitled) as entitled_hours,
    allocated as allocated_unit_seconds,
    entitled as entitled_unit_seconds
from shares
inner join cents using (usage_month, pool, currency, team)
left join (
    select
        cast(date_trunc('month', on_day(day)) as date) as usage_month,
        pool,
        count(cost) = count(*) as is_complete
    from cost_days
    group by all
) using (usage_month, pool);

-- Everything is owned, and who did not use it is charged to the centre.
create view report_focus_charges as
with charged as (
    select
        day,
        on_day(day) as usage_date,
        pool,
        model,
        team,
        currency,
        direct,
        central,
        showback.allocated as held,
        coalesce(installed, 0) as installed,
        sum(showback.allocated) over each as all_allocated,
        sum(direct + central) over each as paid
    from showback
    left join fleet_days using (day, pool, model)
    window each as (partition by day, pool, model, currency)
),

parts as (
    select *, 'allocated' as part, direct as picos, hours_of(held) as quantity
    from charged
    union all
    select
        *,
        'idle',
        central,
        hours_of(case when team = 'central' and installed > 0 then installed - all_allocated else 0 end)
    from charged
),

priced as (
    select
        *,
        case when installed > 0 then greatest(0, paid * 302400000 // installed // 1000000) else 0 end as micros
    from parts
    where picos <> 0 or quantity <> 0
)

select
    usage_date,
    cast(date_trunc('month', usage_date) as date) as billing_month,
    'atlas' as cluster,
    pool,
    model as accelerator_model,
    team,
    part as charge_part,
    amount_of(picos) as billed_cost,
    'generated' as billing_account_id,
    'generated' as billing_account_name,
    'Site' as billing_account_type,
    currency,
    cast(date_trunc('month', usage_date) + interval 1 month as timestamp) as billing_period_end_at,
    cast(date_trunc('month', usage_date) as timestamp) as billing_period_start_at,
    'atlas/' || pool || '/' || model as capacity_reservation_id,
    case when part = 'idle' then 'Unused' else 'Used' end as capacity_reservation_status,
    'Usage' as charge_category,
    cast(null as varchar) as charge_class,
    model || ' of pool ' || pool || ' in atlas' || case when part = 'idle' then ', share of what nobody used' else ', allocated' end as charge_description,
    'Usage-Based' as charge_frequency,
    instant_of(least((day + 1) * 86400, getvariable('as_of'))) as charge_period_end_at,
    instant_of(day * 86400) as charge_period_start_at,
    cast(null as varchar) as commitment_discount_category,
    cast(null as varchar) as commitment_discount_id,
    cast(null as varchar) as commitment_discount_name,
    cast(null as decimal(38,12)) as commitment_discount_quantity,
    cast(null as varchar) as commitment_discount_status,
    cast(null as varchar) as commitment_discount_type,
    cast(null as varchar) as commitment_discount_unit,
    cast(case when part = 'idle' then 0 else quantity end as decimal(38, 12)) as consumed_quantity,
    'Hours' as consumed_unit,
    amount_of(micros * cast(quantity * 1000000 as hugeint)) as contracted_cost,
    amount_of(micros * 1000000) as contracted_unit_price,
    amount_of(picos) as effective_cost,
    cast(null as varchar) as invoice_id,
    'generated' as invoice_issuer_name,
    amount_of(micros * cast(quantity * 1000000 as hugeint)) as list_cost,
    amount_of(micros * 1000000) as list_unit_price,
    'Standard' as pricing_category,
    currency as pricing_currency,
    amount_of(micros * 1000000) as pricing_currency_contracted_unit_price,
    amount_of(picos) as pricing_currency_effective_cost,
    amount_of(micros * 1000000) as pricing_currency_list_unit_price,
    cast(quantity as decimal(38, 12)) as pricing_quantity,
    'Hours' as pricing_unit,
    'generated' as provider_name,
    'generated' as publisher_name,
    'atlas' as region_id,
    'atlas' as region_name,
    cast(null as varchar) as availability_zone,
    'atlas/' || pool || '/' || model as resource_id,
    pool as resource_name,
    'Accelerator pool' as resource_type,
    'Compute' as service_category,
    'Accelerators' as service_name,
    'Other (Compute)' as service_subcategory,
    model as sku_id,
    'Accelerator-hours' as sku_meter,
    '{"GpuCount":1,"x_AcceleratorModel":"' || model || '"}' as sku_price_details,
    'atlas/' || pool || '/' || model as sku_price_id,
    team as sub_account_id,
    team as sub_account_name,
    'Team' as sub_account_type,
    '{"cluster":"atlas","pool":"' || pool || '","team":"' || team || '"}' as tags,
    'central' as allocated_method_id,
    team as allocated_resource_id,
    team as allocated_resource_name,
    '{"team":"' || team || '"}' as allocated_tags
from priced;

create view report_data_trust_daily as
select
    on_day(day) as usage_date,
    source,
    cluster,
    received as rows_received,
    received - rejected - superseded as rows_accepted,
    rejected as rows_rejected,
    superseded as rows_superseded,
    unvaluable as rows_unvaluable,
    hours_of_seconds(seconds) as rejected_hours,
    rejected_cost,
    instant_of(newest) as newest_at,
    share_of(received - rejected, received) as coverage
from trust;

create view report_demand_daily as
select
    sums.usage_date,
    'atlas' as cluster,
    hours_of(sums.allocated) as allocated_hours,
    hours_of(sums.pending) as pending_accelerator_hours,
    cast(null as decimal(38, 6)) as pending_capacity_hours,
    cast(null as decimal(38, 6)) as capacity_demand_hours,
    cast(null as decimal(38, 6)) as unmet_hours,
    cast(null as decimal(38, 6)) as fragmented_hours,
    share_of(parts.fragmented, parts.free) as fragmentation_rate,
    cast(0 as double) as queue_coverage,
    sums.accounted as accounted_seconds,
    cast(0 as bigint) as snapshot_seconds,
    sums.allocated as allocated_unit_seconds,
    cast(null as bigint) as capacity_demand_unit_seconds,
    cast(null as bigint) as unmet_unit_seconds
from (
    select
        on_day(hour // 24) as usage_date,
        cast(count(*) * 3600 as bigint) as accounted,
        cast(sum(allocated) as bigint) as allocated,
        cast(sum(pending) as bigint) as pending
    from hour_sums
    group by on_day(hour // 24)
) as sums
left join (
    select
        on_day(hour // 24) as usage_date,
        cast(sum(free) as bigint) as free,
        cast(sum(fragmented) as bigint) as fragmented
    from fragments
    group by on_day(hour // 24)
) as parts on sums.usage_date = parts.usage_date;

create view report_queue_daily as
select
    on_day(queue_days.day) as usage_date,
    'atlas' as cluster,
    partitions.name as partition_name,
    queue_days.jobs_submitted,
    queue_days.jobs_started,
    queue_days.jobs_cancelled as jobs_cancelled_before_start,
    queue_days.jobs_waiting,
    hours_of(queue_days.submitted_unit_seconds) as submitted_accelerator_hours,
    cast(eligible.jobs_p50 as double) as wait_eligible_p50_seconds,
    cast(eligible.jobs_p90 as double) as wait_eligible_p90_seconds,
    cast(eligible.jobs_p95 as double) as wait_eligible_p95_seconds,
    cast(eligible.jobs_longest as bigint) as wait_eligible_longest_seconds,
    cast(submit.jobs_p50 as double) as wait_submit_p50_seconds,
    cast(submit.jobs_p90 as double) as wait_submit_p90_seconds,
    cast(submit.jobs_p95 as double) as wait_submit_p95_seconds,
    cast(submit.jobs_longest as bigint) as wait_submit_longest_seconds,
    cast(eligible.units_p50 as double) as weighted_wait_eligible_p50_seconds,
    cast(eligible.units_p90 as double) as weighted_wait_eligible_p90_seconds,
    cast(eligible.units_p95 as double) as weighted_wait_eligible_p95_seconds,
    cast(submit.units_p50 as double) as weighted_wait_submit_p50_seconds,
    cast(submit.units_p90 as double) as weighted_wait_submit_p90_seconds,
    cast(submit.units_p95 as double) as weighted_wait_submit_p95_seconds,
    hours_of(queue_days.pending_unit_seconds) as pending_accelerator_hours,
    cast(null as decimal(38, 6)) as pending_capacity_hours,
    cast(null as decimal(38, 6)) as pending_policy_hours,
    cast(null as decimal(38, 6)) as pending_user_hours,
    cast(null as decimal(38, 6)) as pending_admin_hours,
    cast(null as decimal(38, 6)) as pending_unknown_hours,
    cast(0 as double) as queue_coverage,
    queue_days.pending_unit_seconds
from queue_days
inner join partitions on queue_days.partition_id = partitions.id
left join percentiles as eligible
    on (cast(queue_days.day as bigint) << 11) + (queue_days.partition_id << 1) = eligible.group_id
left join percentiles as submit
    on (cast(queue_days.day as bigint) << 11) + (queue_days.partition_id << 1) + 1 = submit.group_id;

-- What nothing is delivered for: no totals of the scheduler to compare with.
create view mart_compared_attempts_hourly as
select
    cast(null as date) as usage_date, cast(null as timestamp) as hour_at, cast(null as varchar) as cluster,
    cast(null as varchar) as resource, cast(null as bigint) as resource_seconds, cast(null as bigint) as
    resize_overlap_seconds, cast(null as bigint) as runaway_seconds_counted, cast(null as bigint) as
    rejected_seconds_counted, cast(null as bigint) as eligible_later_seconds, cast(null as bigint) as
    reservation_replaced_seconds, cast(null as bigint) as their_allocated_seconds
where false;

create view mart_compared_nodes_hourly as
select
    cast(null as date) as usage_date, cast(null as timestamp) as hour_at, cast(null as varchar) as cluster,
    cast(null as varchar) as resource, cast(null as varchar) as taken_as, cast(null as bigint) as
    down_planned_unit_seconds, cast(null as bigint) as down_unplanned_unit_seconds, cast(null as bigint) as
    draining_unit_seconds, cast(null as bigint) as reserved_idle_unit_seconds, cast(null as bigint) as
    idle_unit_seconds, cast(null as bigint) as allocated_unit_seconds, cast(null as bigint) as
    their_planned_unit_seconds, cast(null as bigint) as their_down_unit_seconds, cast(null as bigint) as
    planned_excess_unit_seconds, cast(null as bigint) as down_excess_unit_seconds
where false;

create view mart_scheduler_bridge_hourly as
select
    cast(null as date) as usage_date, cast(null as timestamp) as hour_at, cast(null as varchar) as cluster,
    cast(null as varchar) as resource, cast(null as varchar) as line, cast(null as varchar) as our_category,
    cast(null as varchar) as their_category, cast(null as bigint) as bridge_seconds
where false;

create view report_reconciliation_daily as
select
    cast(null as date) as usage_date, cast(null as varchar) as cluster, cast(null as varchar) as measure,
    cast(null as varchar) as subject_kind, cast(null as varchar) as account, cast(null as varchar) as user_name,
    cast(null as timestamp) as window_start, cast(null as timestamp) as window_end, cast(null as bigint) as
    ours, cast(null as bigint) as theirs, cast(null as bigint) as theirs_before, cast(null as bigint) as
    difference, cast(null as bigint) as resize_overlap, cast(null as bigint) as eligible_later, cast(null as
    bigint) as late_ends, cast(null as bigint) as runaway, cast(null as bigint) as rejected, cast(null as
    bigint) as reservation_replaced, cast(null as bigint) as reservation_charged, cast(null as bigint) as
    node_overcommit, cast(null as bigint) as unplaced_held, cast(null as bigint) as typed_otherwise, cast(null
    as bigint) as allocated_while_down, cast(null as bigint) as draining_as_down, cast(null as bigint) as
    draining_as_idle, cast(null as bigint) as planned_as_down, cast(null as bigint) as planned_as_idle,
    cast(null as bigint) as down_as_planned, cast(null as bigint) as down_as_idle, cast(null as bigint) as
    reserved_as_idle, cast(null as bigint) as stranded_as_idle, cast(null as bigint) as free_as_down, cast(null
    as bigint) as event_excess, cast(null as bigint) as controller_down, cast(null as bigint) as registration,
    cast(null as bigint) as scheduler_clamp, cast(null as varchar) as explained_by, cast(null as bigint) as
    unexplained
where false;
