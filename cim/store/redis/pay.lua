-- Has a user's quota pay for what is about to be stored in a cluster (cim/store/redis/cluster/quotas.py).
-- KEYS: how much it pays for. ARGV: the quota, ms for which this is remembered, 1 to set it first, to what, and then for
-- each message the bytes that it is to pay for: with 0, it is only asked whether something is left.
-- Returns how much it pays for, and for each message 1 if that is within the quota.
local all = ARGV[3] == '1' and tonumber(ARGV[4]) or tonumber(redis.call('GET', KEYS[1]) or 0)
local found, quota = {}, tonumber(ARGV[1])
for i = 5, #ARGV do
  local size = tonumber(ARGV[i])
  local well = all + (size == 0 and BLOCK or size) <= quota
  if well then all = math.max(0, all + size) end
  found[#found + 1] = well and 1 or 0
end
redis.call('SET', KEYS[1], string.format('%.0f', all), 'PX', ARGV[2])
return {all, found}
