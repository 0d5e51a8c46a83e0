select * from result where idle_policy = 'proportional'
