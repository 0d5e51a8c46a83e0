-- What sources write where they mean nothing. All columns of all records come by here, and most values are none of these:
-- comparisons that are cheap come first. (A list of words would be planned as a join, for every column.)
create or replace temp macro given(value) as
    case
        when value = '' or value = 'Unknown' or value = 'None' then null
        when contains(value, ' ') then
            case
                when
                    lower(trim(value)) = '' or lower(trim(value)) = 'unknown' or lower(trim(value)) = 'none'
                    or lower(trim(value)) = 'n/a' or lower(trim(value)) = '(null)' or lower(trim(value)) = 'null'
                    or lower(trim(value)) = 'none assigned' then null
                else trim(value)
            end
        when
            strlen(value) = 4 and (lower(value) = 'none' or lower(value) = 'null')
            or strlen(value) = 7 and lower(value) = 'unknown'
            or strlen(value) = 3 and lower(value) = 'n/a'
            or strlen(value) = 6 and lower(value) = '(null)' then null
        else value
    end;

-- A whole number; not a fraction, which a cast would round.
create or replace temp macro whole(value) as
    case when regexp_full_match(value, '-?[0-9]{1,18}(\.0*)?') then try_cast(value as bigint) end;

-- An instant as a UTC timestamp in whole seconds: seconds since 1970 (of 2001 or later, so that a day written 20260101
-- is not one), ISO 8601 with an offset, or a local time in a declared zone.
create or replace temp macro instant(value, zone) as
    case
        when value is null then null
        when regexp_full_match(value, '[0-9]{9,11}') then make_timestamp(try_cast(value as bigint) * 1000000)
        when regexp_full_match(value, '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)')
            then date_trunc('second', timezone('UTC', try_cast(value as timestamptz)))
        when regexp_full_match(value, '[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.0+)?)?)?')
            then timezone('UTC', timezone(zone, try_cast(value as timestamp)))
    end;

-- A time that is written without a zone.
create or replace temp macro is_local_time(value) as
    regexp_full_match(coalesce(value, ''), '[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.0+)?)?)?');

-- Whether an instant is none that a record of ours can be about.
create or replace temp macro is_implausible(instant_at) as
    instant_at < timestamp '2001-01-01' or instant_at >= timestamp '2200-01-01';

-- An instant that a rejected record may be dated by: of the year 9999, no report would tell of it.
create or replace temp macro plausible(instant_at) as
    case when not is_implausible(instant_at) then instant_at end;

-- Whether the brackets of a host list are closed, and in none of each other.
create or replace temp macro is_hostlist(value) as
    case
        when contains(value, '[') or contains(value, ']')
            then regexp_full_match(value, '[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*')
        else true
    end;

-- Whether a host list would name more nodes than any cluster has. Most are short, and need no closer look.
create or replace temp macro is_implausible_hostlist(value) as
    case
        when not regexp_matches(value, '[0-9]{5}-?[^-]*\]|[0-9]{5}[,-]|\][^,\[]*\[') and strlen(value) < 2000 then false
        when regexp_matches(value, '\[[^\]]*[0-9]{7}') then true
        else list_sum(list_transform(
            regexp_extract_all(value, '[^,\[]*(?:\[[^\]]*\][^,\[]*)+|[^,]+'),
            lambda part: coalesce(list_product(list_transform(
                regexp_extract_all(part, '\[([^\]]*)\]', 1),
                lambda ranges: list_sum(list_transform(
                    string_split(ranges, ','),
                    lambda span: 1.0 + greatest(0, coalesce(
                        try_cast(regexp_extract(span, '-([0-9]+)$', 1) as double)
                        - try_cast(regexp_extract(span, '^([0-9]+)', 1) as double), 0
                    ))
                ))
            )), 1.0)
        )) > 200000
    end;

-- A duration [days-]hours:minutes:seconds, or minutes:seconds, in seconds; what no clock has counted is none.
create or replace temp macro duration_seconds(value) as
    case
        when regexp_full_match(value, '[0-9]{1,18}') then try_cast(value as bigint)
        when regexp_full_match(value, '([0-9]{1,9}-)?([0-9]{1,9}:)?[0-9]{1,2}:[0-9]{2}(\.[0-9]+)?') then
            coalesce(try_cast(regexp_extract(value, '^([0-9]+)-', 1) as bigint), 0) * 86400
            + coalesce(try_cast(regexp_extract(value, '(?:^|-)([0-9]+):[0-9]{1,2}:', 1) as bigint), 0) * 3600
            + coalesce(try_cast(regexp_extract(value, '([0-9]+):[0-9]{2}(?:\.[0-9]+)?$', 1) as bigint), 0) * 60
            + coalesce(try_cast(regexp_extract(value, ':([0-9]{2})(?:\.[0-9]+)?$', 1) as bigint), 0)
    end;

-- What Slurm's JSON writes as a number: a number, its text, or {set, infinite, number}; nothing where it means nothing.
create or replace temp macro json_number(value) as
    case
        when json_type(value) <> 'OBJECT' then value ->> '$'
        when value ->> '$.set' = 'false' or value ->> '$.infinite' = 'true' then null
        else value ->> '$.number'
    end;

-- The same for an instant: 0, and the largest numbers of 32 bits, mean that it has not come.
create or replace temp macro json_instant(value) as
    case when not regexp_full_match(json_number(value), '0|429496729[45]') then json_number(value) end;

-- What Slurm's JSON writes as one text or as an array of them.
create or replace temp macro json_texts(value) as
    case json_type(value)
        when 'ARRAY' then from_json(value, '["VARCHAR"]')
        when 'VARCHAR' then [value ->> '$']
    end;

-- Whether a zone's clocks show a written local time at an instant.
create or replace temp macro is_repeated(value, happens_at, zone) as
    timezone(zone, timezone('UTC', happens_at)) = try_cast(value as timestamp) and is_local_time(value);

-- The earliest instant that a written time may be, where `read_at` is the latest, which `instant` reads. Where a zone's
-- clocks are put back, by an hour (in one zone by half of one), a local time comes twice. The first test is cheap, and
-- most times are not local.
create or replace temp macro earliest_instant(value, read_at, zone) as
    case
        when coalesce(substr(value, 5, 1), '') <> '-' then read_at
        when zone = 'Australia/Lord_Howe' then
            case when is_repeated(value, read_at - interval 30 minute, zone) then read_at - interval 30 minute else read_at end
        when is_repeated(value, read_at - interval 1 hour, zone) then read_at - interval 1 hour
        else read_at
    end;

-- A bill's text: bills name things `None` or `Unknown`, and spell what they do not say as nothing or as NULL.
create or replace temp macro billed_text(value) as
    case when strlen(value) <> 4 or lower(value) <> 'null' then nullif(trim(value), '') end;

-- A bill's number, with up to twelve decimals; an exponent is permitted, underscores between digits are not. None reaches a
-- million million.
create or replace temp macro billed_number(value) as
    case when not contains(value, '_') then cast(try_cast(trim(value) as decimal(24, 12)) as decimal(38, 12)) end;

-- A bill's instant in whole seconds; without a zone it is UTC. Words such as `infinity` are none.
create or replace temp macro billed_instant(value) as
    case
        when left(trim(value), 1) between '0' and '9'
            then date_trunc('second', timezone('UTC', try_cast(trim(value) as timestamptz)))
    end;

-- Whether a time that can be read is written as FOCUS has it: 2026-01-31T23:00:00Z.
create or replace temp macro is_focus_time(value) as
    strlen(value) >= 20 and substr(value, 11, 1) = 'T' and substr(value, 17, 1) = ':' and right(value, 1) = 'Z';

-- Whether a unit has one of the forms of FOCUS: Hours, GB-Hours, GB/Hour, 1000 Requests.
create or replace temp macro is_focus_unit(value) as
    regexp_full_match(value, '([1-9][0-9]* )?[A-Za-z][A-Za-z0-9_ ]*([-/][A-Za-z0-9_ ]+)?');

-- Whether a price times a quantity is another amount than the one that is told: by more than a millionth, and by more than
-- a hundredth of a percent, as bills round both.
create or replace temp macro is_other_amount(price, quantity, amount) as
    abs(cast(price as double) * cast(quantity as double) - cast(amount as double))
    > 0.000001 + 0.0001 * abs(cast(amount as double));
