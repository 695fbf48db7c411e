-- ARGV: id, actor, user.
local id, actor, user = ARGV[1], ARGV[2], ARGV[3]
local group, members = keys(id)
local owners = redis.call('HGET', group, 'owners')
if not owners then return 'not-found' end
local role = role_of(members, user)
if actor ~= user then
  local above = role_of(members, actor)
  if not above or above < 1 or role and above <= role then return 'forbidden' end
end
if not role then return false end
if role == 2 and tonumber(owners) == 1 and redis.call('HLEN', members) > 1 then return 'last-owner' end
return leave(id, user)
