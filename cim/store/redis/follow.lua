-- Notes that a follower is there, hands what has changed out to all followers, and gives conversations to one of them.
-- ARGV: the follower, now (ms), who works for it, ms for which it may, how many conversations at most, ms after which a
-- follower is forgotten that nobody has, how many changed conversations are handed out at most.
-- Returns how many changed ones are left, and for each: conversation, position, failures, since when they fail.
local name, now, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3]
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', FOLLOWERS, '-inf', digits(now - ARGV[6]), 'LIMIT', 0, 10)) do
  redis.call('UNLINK', DUE .. tag(gone), FOLLOWED .. tag(gone), STOPPED .. tag(gone))
  redis.call('ZREM', FOLLOWERS, gone)
end
local followers = redis.call('ZRANGE', FOLLOWERS, 0, -1)
local changed = redis.call('HRANDFIELD', CHANGED, ARGV[7], 'WITHVALUES')
for i = 1, #changed, 2 do
  local conversation, before = changed[i], changed[i + 1]
  for _, follower in ipairs(followers) do
    local failures, _, worker = followed(follower, conversation)
    -- Whoever works on it looks at its end when it is done; one that fails has its time.
    if not failures then keep(follower, conversation, 0, 0, NOBODY, before) end
    if not failures or failures == 0 and worker == NOBODY then
      redis.call('ZADD', DUE .. tag(follower), digits(now), conversation)
    end
  end
  redis.call('HDEL', COUNTERS .. tag(conversation), 'noted')
end
local left = redis.call('HLEN', CHANGED) - #changed / 2
if left == 0 then
  redis.call('DEL', CHANGED)
else
  for i = 1, #changed, 2 do redis.call('HDEL', CHANGED, changed[i]) end
end
-- A new one begins when what was said before is handed out.
if left > 0 and not redis.call('ZSCORE', FOLLOWERS, name) then return {left, {}} end
redis.call('ZADD', FOLLOWERS, 'GT', digits(now), name)
local given = {}
if redis.call('HEXISTS', STOPPED .. tag(name), ALL) == 0 then
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', DUE .. tag(name), '-inf', digits(now), 'LIMIT', 0, ARGV[5])) do
    local failures, since, _, position = followed(name, conversation)
    if not failures or position == last_of(conversation) then
      forget(name, conversation)
    else
      keep(name, conversation, failures, since, owner, position)
      redis.call('ZADD', DUE .. tag(name), digits(now + ARGV[4]), conversation)
      given[#given + 1] = {conversation, position, failures, digits(since)}
    end
  end
end
return {left, given}
