-- severity: warn
-- Attempts held shares of accelerators that nobody declares; they are rejected. Declare the node's profiles in the
-- inventory's column `sharing`, and the memory of its model in the site file.
select
    attempt_id,
    reject_reason,
    node_list,
    allocated_tres,
    accelerator_seconds_counted,
    source_file,
    source_line
from core.rejected_attempts
