-- severity: error
-- The scheduler knows accelerators of a node and does not account for them: jobs that held them cannot be seen. Set
-- AccountingStorageTRES=gres/gpu in slurm.conf, or deliver jobs with their gres_detail.
select * from core.node_gres where not is_accounted
