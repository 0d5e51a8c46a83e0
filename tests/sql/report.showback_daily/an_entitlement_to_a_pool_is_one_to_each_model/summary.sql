select * from result where team = 'b' and idle_policy = 'entitlement'
