-- Has a follower go on with conversations in which it failed.
-- ARGV: the follower, now (ms), the conversation or `*` for those that have stopped, from where: a position, `=` for where
-- it is or `$` for the end, how many at most. Returns how many go on, and how many are left.
local name, now, which = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local stopped = STOPPED .. tag(name)
local function resume(conversation)
  redis.call('HDEL', stopped, conversation)
  local failures, _, owner, position = followed(name, conversation)
  if not failures or failures == 0 or owner ~= NOBODY then return 0 end
  local from = ARGV[4] == '=' and position or ARGV[4] == '$' and last_of(conversation) or ARGV[4]
  keep(name, conversation, 0, 0, NOBODY, from)
  redis.call('ZADD', DUE .. tag(name), digits(now), conversation)
  return 1
end
if which ~= ALL then return {resume(which), 0} end
redis.call('HDEL', stopped, ALL)
local resumed = 0
for _, conversation in ipairs(redis.call('HRANDFIELD', stopped, ARGV[5])) do
  resumed = resumed + resume(conversation)
end
return {resumed, redis.call('HLEN', stopped)}
