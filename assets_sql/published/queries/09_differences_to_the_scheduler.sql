-- Where do our totals differ from the scheduler's own, and why?
-- Clusters first: what is unexplained there is unexplained in the ledger. A measure of a cluster ends in what was done with
-- the resource, as in gres/gpu/idle. An account's row holds the accounts below it: do not sum over accounts, nor over
-- measures. No row: nothing differs, or nothing was compared.
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
    theirs_before,
    difference,
    explained_by,
    unexplained
from report.reconciliation_daily
where difference <> 0 or unexplained <> 0 or theirs <> theirs_before
order by
    abs(unexplained) desc,
    case subject_kind when 'cluster' then 1 when 'account' then 2 else 3 end asc,
    abs(difference) desc,
    cluster asc,
    measure asc,
    account asc,
    user_name asc,
    window_start asc,
    window_end asc
