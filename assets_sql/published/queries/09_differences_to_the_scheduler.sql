-- Where do our totals differ from the scheduler's own, and why?
-- An account's row holds the accounts below it: do not sum over accounts. No row: nothing differs, or nothing was compared.
select
    usage_date,
    cluster,
    measure,
    subject_kind,
    account,
    user_name,
    window_start,
    window_end,
    ours,
    theirs,
    difference,
    explained_by,
    unexplained
from report.reconciliation_daily
where difference <> 0 or unexplained <> 0
order by
    abs(unexplained) desc,
    abs(difference) desc,
    cluster asc,
    measure asc,
    account asc,
    user_name asc,
    window_start asc,
    window_end asc
