select * from result where idle_policy = 'hybrid'
