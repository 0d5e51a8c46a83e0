-- The few expressions that queries of every layer share. Another engine defines functions of the same names.

-- Whole seconds from one instant to a later one.
create or replace temp macro seconds_between(starts_at, ends_at) as
    (epoch_us(ends_at) - epoch_us(starts_at)) // 1000000;

-- The last second that a delivery can tell of: before it was collected, and before as_of, where they are known. Collected
-- at midnight, it tells of the day before.
create or replace temp macro last_told(collected_at, as_of_at) as
    coalesce(least(collected_at, as_of_at), collected_at, as_of_at) - interval 1 second;

-- Unit-seconds as accelerator-hours, for reading; one device is 84,000 units, so an hour is 302,400,000.
create or replace temp macro unit_hours(unit_seconds) as
    cast(
        cast((cast(unit_seconds as bigint) * 10 + 1512) // 3024 as decimal(19, 0)) * cast(0.000001 as decimal(7, 6))
        as decimal(38, 6)
    );

-- Unit-seconds as accelerator-seconds, for reading.
create or replace temp macro unit_accelerator_seconds(unit_seconds) as
    cast(
        cast((cast(unit_seconds as bigint) // 84000) as decimal(19, 0))
        + cast(((cast(unit_seconds as bigint) % 84000) * 1000000 + 42000) // 84000 as decimal(19, 0))
        * cast(0.000001 as decimal(7, 6))
        as decimal(38, 6)
    );

-- Units as accelerators (full-device equivalents), for reading.
create or replace temp macro unit_accelerators(units) as
    cast(
        cast((cast(units as bigint) // 84000) as decimal(12, 0))
        + cast(((cast(units as bigint) % 84000) * 1000000 + 42000) // 84000 as decimal(12, 0))
        * cast(0.000001 as decimal(7, 6))
        as decimal(18, 6)
    );

-- Seconds as hours, for reading.
create or replace temp macro second_hours(seconds) as
    cast(
        cast((cast(seconds as bigint) * 10000 + 18) // 36 as decimal(19, 0)) * cast(0.000001 as decimal(7, 6))
        as decimal(38, 6)
    );

-- A ratio of two sums; null where there is nothing to divide by.
create or replace temp macro ratio(numerator, denominator) as
    case when denominator > 0 then cast(numerator as double) / cast(denominator as double) end;

-- What one accelerator-hour costs: cost over unit-seconds.
create or replace temp macro cost_per_hour(cost, unit_seconds) as
    case when unit_seconds > 0 then cast(cost as double) * 302400000 / cast(unit_seconds as double) end;

-- The part of an amount that has accrued after some of its seconds, rounded half up: slices of it always sum.
-- Amounts are trillionths of the currency, which a cost column has, in 128 bits.
create or replace temp macro accrued_picos(amount, elapsed, total) as
    (case when amount < 0 then -1 else 1 end) * (
        (abs(amount) // total) * elapsed + ((abs(amount) % total) * elapsed * 2 + total) // (total * 2)
    );

-- What of an amount that accrues over an interval falls into a window that overlaps it.
create or replace temp macro slice_picos(amount, starts_at, ends_at, window_start_at, window_end_at) as
    accrued_picos(
        amount, seconds_between(starts_at, least(ends_at, window_end_at)), seconds_between(starts_at, ends_at)
    ) - accrued_picos(
        amount, seconds_between(starts_at, greatest(starts_at, window_start_at)), seconds_between(starts_at, ends_at)
    );

-- The part of an amount that some of a whole makes, rounded down in magnitude; zero where there is no whole. Dividing first
-- keeps every product below the square of the whole.
create or replace temp macro portion(amount, part, whole) as
    case
        when whole > 0
            then (case when amount < 0 then -1 else 1 end) * (
                (abs(cast(amount as hugeint)) // whole) * part + (abs(cast(amount as hugeint)) % whole) * part // whole
            )
        else 0
    end;

-- What of a bill's charge is a cost: usage, adjustments and purchases, without the purchases of commitments, which usage
-- pays back, and without taxes and credits, which stand beside it.
create or replace temp macro bill_cost(charge_category, commitment_discount_id, effective_cost) as
    case
        when charge_category in ('Usage', 'Adjustment') then effective_cost
        when charge_category = 'Purchase' and commitment_discount_id = '' then effective_cost
        else 0
    end;

-- An amount in another currency, rounded half up in magnitude; without a rate it is as it was.
create or replace temp macro converted_picos(amount, rate) as
    case
        when rate is null then amount
        else (case when amount < 0 then -1 else 1 end) * (
            (abs(amount) // 1000000000000) * rate + ((abs(amount) % 1000000000000) * rate + 500000000000) // 1000000000000
        )
    end;

-- Somebody's share of an amount, cut from running sums so that the shares of all always sum to it: `so_far` is the sum of the
-- parts up to and including their own. All of it, where there is nothing to share it by.
create or replace temp macro running_share(amount, so_far, part, whole) as
    case
        when whole is null then amount
        else portion(amount, so_far, whole) - portion(amount, so_far - part, whole)
    end;

-- How often a unit is wholly in an amount, rounded down: of -1 in units of 10, -1 times.
create or replace temp macro whole_units(amount, unit) as
    case when amount >= 0 then amount // unit else -((unit - 1 - amount) // unit) end;

-- The smallest unit that is paid of a currency (ISO 4217), in trillionths.
create or replace temp macro minor_unit_picos(currency) as
    case
        when currency in (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF',
            'XOF', 'XPF'
        ) then 1000000000000
        when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 1000000000
        when currency in ('CLF', 'UYW') then 100000000
        else 10000000000
    end;

-- An amount in trillionths of its currency.
create or replace temp macro amount_picos(amount) as
    cast(cast(amount as decimal(38, 12)) * 1000000000000 as hugeint);

-- What an annuity pays back over a life in months: a price, and what capital costs in a year, less the residual at the end.
create or replace temp macro annuity_amount(price, residual, months, cost_of_capital) as
    (cast(price as double) - cast(residual as double) / power(1 + cost_of_capital, months / 12.0))
    * cost_of_capital / (1 - power(1 + cost_of_capital, -months / 12.0)) * months / 12.0;

-- Trillionths of a currency as an amount.
create or replace temp macro picos_amount(picos) as
    cast(
        cast(picos // 1000000000000 as decimal(25, 0))
        + cast(picos % 1000000000000 as decimal(13, 0)) * cast(0.000000000001 as decimal(13, 12))
        as decimal(38, 12)
    );

-- The profile that a type of a sliced device ends with, such as `1g.10gb` of `nvidia_h100_1g.10gb`; empty without one.
create or replace temp macro mig_profile(accelerator_type) as
    regexp_extract(lower(accelerator_type), '([0-9]+g\.[0-9]+gb)', 1);

-- The device's part of a type: `nvidia_h100` of `nvidia_h100_1g.10gb`; the whole type where it has no profile.
create or replace temp macro device_type(accelerator_type) as
    case
        when regexp_matches(lower(accelerator_type), '[0-9]+g\.[0-9]+gb')
            then regexp_extract(lower(accelerator_type), '^(.*?)[_.:-]*[0-9]+g\.[0-9]+gb', 1)
        else lower(accelerator_type)
    end;

-- What a node has, as a TRES string. Where the scheduler does not account for accelerators (AccountingStorageTRES lacks
-- them), or not for their types, its GRES say what is there: `gpu:h100:4(S:0-1)` is `gres/gpu:h100=4`.
create or replace temp macro node_tres(configured_tres, gres) as
    case
        when regexp_matches(coalesce(configured_tres, ''), 'gres/(gpu|shard|mps):[^=,]+=') then configured_tres
        else nullif(concat_ws(
            ',',
            case when regexp_matches(coalesce(configured_tres, ''), 'gres/(gpu|shard|mps)=') then configured_tres end,
            nullif(array_to_string(list_transform(
                regexp_extract_all(
                    regexp_replace(coalesce(gres, ''), '\([^)]*\)', '', 'g'),
                    case
                        when contains(coalesce(configured_tres, ''), 'gres/gpu=')
                            then '(?:^|,)((?:gpu|shard|mps):[^:,]+:[0-9]{1,9})'
                        else '(?:^|,)((?:gpu|shard|mps)(?::[^:,]+)?:[0-9]{1,9})'
                    end,
                    1
                ),
                lambda entry: 'gres/' || regexp_replace(entry, ':([0-9]{1,9})$', '=\1')
            ), ','), '')
        ), '')
    end;

-- The memory in a TRES string, in MiB; its units are binary, and without one it is MiB.
create or replace temp macro tres_memory_mib(tres) as
    cast(round(
        try_cast(regexp_extract(tres, '(?:^|,)mem=([0-9]{1,12}(?:\.[0-9]{1,6})?)[KMGTP]?(?:,|$)', 1) as double)
        * case regexp_extract(tres, '(?:^|,)mem=[0-9.]+([KMGTP])', 1)
            when 'K' then 1.0 / 1024
            when 'G' then 1024
            when 'T' then 1048576
            when 'P' then 1073741824
            else 1
        end
    ) as bigint);

-- What a node's state makes of its free accelerators; null: nothing.
create or replace temp macro node_unavailability(node_state) as
    case
        when regexp_matches(node_state, '(FUTURE|FUTR|POWER|POW_|MAINT|REBOOT|BOOT|~|#|%)') then 'down_planned'
        when regexp_matches(node_state, '(DOWN|FAIL|INVAL|ERR|UNK|NO_RESPOND|NOT_RESPONDING|\*)') then 'down_unplanned'
        when regexp_matches(node_state, '(DRAIN|DRNG)') then 'draining_unusable'
    end;

-- How many of a resource a TRES string names, as the scheduler's totals count it. Where it has types of accelerators and no
-- total, the types are the total.
create or replace temp macro tres_count(tres, resource) as
    case
        when resource = 'gres/gpu' then greatest(
            coalesce(try_cast(regexp_extract(tres, '(?:^|,)gres/gpu=([0-9]{1,9})', 1) as bigint), 0),
            coalesce(cast(list_sum(
                list_transform(regexp_extract_all(tres, 'gres/gpu:[^=,]+=([0-9]{1,9})', 1), lambda x: cast(x as bigint))
            ) as bigint), 0)
        )
        else coalesce(try_cast(
            regexp_extract(lower(tres), '(?:^|,)' || regexp_escape(resource) || '=([0-9]{1,9})', 1) as bigint
        ), 0)
    end;

-- What FOCUS says of the price of an accelerator-hour, as JSON.
create or replace temp macro sku_details(accelerator_model) as
    cast(json_object('GpuCount', 1, 'x_AcceleratorModel', accelerator_model) as varchar);

-- A number of the journal, by the name of its column.
create or replace temp macro journal_number(measure, amount) as
    struct_pack(measure := measure, amount := cast(amount as decimal(38, 12)));

-- A line of a bridge with its sign, for reading; null where it explains nothing.
create or replace temp macro bridge_line(line, seconds) as
    case when seconds <> 0 then line || case when seconds > 0 then ' +' else ' ' end || cast(seconds as varchar) end;

-- The first instant at which a zone's clocks show a local time. Where they are put back, by an hour (in one zone by half of
-- one), they show some times twice, and the engine takes the second.
create or replace temp macro first_instant(local_at, zone) as
    timezone('UTC', timezone(zone, local_at)) - case
        when timezone(zone, timezone(zone, local_at) - interval 1 hour) = local_at then interval 1 hour
        when timezone(zone, timezone(zone, local_at) - interval 30 minute) = local_at then interval 30 minute
        else interval 0 hour
    end;

-- Whether what is free on a node could host a request of some shape. Unknown CPUs or memory suffice; where devices are
-- shared, requests count parts of them, so that any free part may do.
create or replace temp macro could_host(
    is_shared, usable_units, free_cpus, free_memory_mib, needed_units, needed_cpus, needed_memory_mib
) as
    (is_shared or usable_units >= needed_units)
    and (free_cpus is null or free_cpus >= needed_cpus)
    and (free_memory_mib is null or free_memory_mib >= needed_memory_mib);

-- An attempt's even share of something on each of its nodes.
create or replace temp macro node_share(amount, nodes) as
    coalesce(amount, 0) // greatest(coalesce(nodes, 1), 1);

-- How far a day may be believed, from best to worst; a number over several days is as good as the worst of them.
create or replace temp macro trust_name(place) as
    case place when 0 then 'complete' when 1 then 'partial' when 2 then 'rejected' when 3 then 'incomplete' end;

create or replace temp macro trust_place(trust) as
    case trust when 'complete' then 0 when 'partial' then 1 when 'rejected' then 2 when 'incomplete' then 3 end;

-- What a user is called where the site file wants pseudonyms: HMAC-SHA-256 of the name, by the two paddings of the key that
-- a connection has as variables; null without a key, so that no name gets out by mistake.
create or replace temp macro pseudonym(user_name) as
    'u_' || left(
        sha256(
            getvariable('pseudonym_outer_key')
            || unhex(sha256(getvariable('pseudonym_inner_key') || encode(user_name)))
        ),
        16
    );
