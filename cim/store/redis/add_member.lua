-- ARGV: id, actor, user, most members, most groups.
local id, actor, user = ARGV[1], ARGV[2], ARGV[3]
local group, members = keys(id)
local open = redis.call('HGET', group, 'open')
if not open then return 'not-found' end
local there = redis.call('HEXISTS', members, user) == 1
if actor == user then
  if not there and open ~= '1' then return 'forbidden' end
elseif (role_of(members, actor) or 0) < 1 then
  return 'forbidden'
end
if there then return false end
if redis.call('HLEN', members) >= tonumber(ARGV[4]) then return 'most-members' end
if redis.call('HLEN', GROUPS_OF .. '{' .. user .. '}') >= tonumber(ARGV[5]) then return 'most-groups' end
return join(id, user, 0)
