-- ARGV: id, actor, user, role.
local id, user, role = ARGV[1], ARGV[3], tonumber(ARGV[4])
local group, members = keys(id)
local owners = redis.call('HGET', group, 'owners')
if not owners then return 'not-found' end
if role_of(members, ARGV[2]) ~= 2 then return 'forbidden' end
local held = redis.call('HGET', members, user)
if not held then return 'not-found' end
local before, floor = string.match(held, '^(%d) (.*)$')
before = tonumber(before)
if before == 2 and role < 2 and tonumber(owners) == 1 then return 'last-owner' end
redis.call('HINCRBY', group, 'owners', (role == 2 and 1 or 0) - (before == 2 and 1 or 0))
write(id, members, user, role, floor)
return 1
