-- ARGV: after, limit.
local info = redis.pcall('XINFO', 'STREAM', GROUP_LOG)
local known = {}
for i = 1, #info, 2 do known[info[i]] = info[i + 1] end
if not known['last-generated-id'] then return {'0', ARGV[1] ~= '0' and 1 or 0, {}} end
local complete
if ARGV[1] == '0' then
  complete = known['entries-added'] == known['length']
else
  complete = redis.call('XRANGE', GROUP_LOG, ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
end
local found = redis.call('XRANGE', GROUP_LOG, '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
local changes = {}
for i, entry in ipairs(found) do
  local f = entry[2]
  changes[i] = {string.match(entry[1], '^%d+'), f[2], f[4], f[6], f[8]}
end
return {string.match(known['last-generated-id'], '^%d+'), complete and 0 or 1, changes}
