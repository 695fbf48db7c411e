-- ARGV: user, most groups. Ends the user's memberships; of a group whose last owner goes, the member with the lowest id
-- becomes the owner. Returns how many are left.
local user = ARGV[1]
local mine = GROUPS_OF .. '{' .. user .. '}'
for _, id in ipairs(redis.call('HRANDFIELD', mine, ARGV[2])) do
  local group, members, ids = keys(id)
  if redis.call('HEXISTS', members, user) == 0 then
    redis.call('HDEL', mine, id)
  else
    if role_of(members, user) == 2 and redis.call('HGET', group, 'owners') == '1' then
      for _, other in ipairs(redis.call('ZRANGE', ids, 0, 1)) do
        if other ~= user then
          write(id, members, other, 2, string.match(redis.call('HGET', members, other), '^%d (.*)$'))
          redis.call('HINCRBY', group, 'owners', 1)
          break
        end
      end
    end
    leave(id, user)
  end
end
return redis.call('HLEN', mine)
