-- ARGV: owner, name, open, history, most groups.
if redis.call('HLEN', GROUPS_OF .. '{' .. ARGV[1] .. '}') >= tonumber(ARGV[5]) then return 'most-groups' end
local id = math.max(clock(), (tonumber(redis.call('GET', LAST_GROUP) or '') or 0) + 1)
while redis.call('EXISTS', GROUP .. '{g:' .. digits(id) .. '}', STREAM .. '{g:' .. digits(id) .. '}') > 0 do id = id + 1 end
id = digits(id)
redis.call('SET', LAST_GROUP, id)
redis.call('HSET', keys(id), 'name', ARGV[2], 'open', ARGV[3], 'history', ARGV[4], 'version', 0, 'owners', 0)
join(id, ARGV[1], 2)
return {id, told(id)}
