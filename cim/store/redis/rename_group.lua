-- ARGV: id, actor, name.
local group, members = keys(ARGV[1])
if redis.call('EXISTS', group) == 0 then return 'not-found' end
if (role_of(members, ARGV[2]) or 0) < 1 then return 'forbidden' end
redis.call('HSET', group, 'name', ARGV[3])
return told(ARGV[1])
