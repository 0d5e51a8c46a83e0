-- The few expressions that queries of every layer share. Another engine defines functions of the same names.

-- Whole seconds from one instant to a later one.
create or replace temp macro seconds_between(starts_at, ends_at) as
    (epoch_us(ends_at) - epoch_us(starts_at)) // 1000000;

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
-- Amounts are billionths of the currency; dividing first keeps every product within 64 bits.
create or replace temp macro accrued_nanos(amount, elapsed, total) as
    (case when amount < 0 then -1 else 1 end) * (
        (abs(amount) // total) * elapsed + ((abs(amount) % total) * elapsed * 2 + total) // (total * 2)
    );

-- Billionths of a currency as an amount.
create or replace temp macro nanos_amount(nanos) as
    cast(cast(cast(nanos as bigint) as decimal(19, 0)) * cast(0.000000001 as decimal(10, 9)) as decimal(38, 12));

-- The first instant at which a zone's clocks show a local time. Where they are put back, by an hour (in one zone by half of
-- one), they show some times twice, and the engine takes the second.
create or replace temp macro first_instant(local_at, zone) as
    timezone('UTC', timezone(zone, local_at)) - case
        when timezone(zone, timezone(zone, local_at) - interval 1 hour) = local_at then interval 1 hour
        when timezone(zone, timezone(zone, local_at) - interval 30 minute) = local_at then interval 30 minute
        else interval 0 hour
    end;
