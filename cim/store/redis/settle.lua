-- Notes how far somebody came with a conversation who works for a follower.
-- ARGV: the follower, now (ms), who works for it, conversation, position, failures, since when it fails, in how many ms
-- to try again, 1 if it stops, ms after which a conversation is forgotten in which nothing happens, 1 if it came to the end.
-- Returns 1, or 0 if somebody else works on it by now.
local name, now, conversation, position, failures = ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5], tonumber(ARGV[6])
local _, _, owner = followed(name, conversation)
if owner ~= ARGV[3] then return 0 end
local last = last_of(conversation)
local due = now
if last == '' then
  forget(name, conversation)
  return 1
end
if ARGV[11] == '1' then position = last end
keep(name, conversation, failures, tonumber(ARGV[7]), NOBODY, position)
if ARGV[9] == '1' then
  redis.call('ZREM', DUE .. tag(name), conversation)
  redis.call('HSET', STOPPED .. tag(name), conversation, digits(now))
  return 1
end
if failures > 0 then
  due = now + ARGV[8]
elseif position == last then
  due = now + ARGV[10]
end
redis.call('ZADD', DUE .. tag(name), digits(due), conversation)
return 1
