-- severity: warn
-- The scheduler's books hold attempts open that ended long ago (`sacctmgr show runawayjobs` mends them); they are counted
-- up to the evidence.
select * from core.runaway_attempts
