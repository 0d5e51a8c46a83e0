-- severity: error
-- The scheduler knows accelerators of a node and does not account for them, and no job of the cluster says what it held:
-- all of them would look idle. Set AccountingStorageTRES=gres/gpu in slurm.conf; until then deliver slurmctld's jobs, which
-- say it in gres_detail.
select gres.*
from core.node_gres as gres
left join (select distinct cluster from core.attempts where holds_accelerators) as holders
    on gres.cluster = holders.cluster
where not gres.is_accounted and holders.cluster is null
