-- KEYS: stream, where it is made anew, counters; ARGV: positions, each with the body that its message is to have.
-- What is in a stream cannot be changed, so the stream is made anew.
local stream, anew, counters = KEYS[1], KEYS[2], KEYS[3]
local bodies, from, info = {}, '-', nil
for i = 1, #ARGV, 2 do bodies[ARGV[i]] = ARGV[i + 1] end
if redis.call('EXISTS', stream) == 0 then return end
redis.call('DEL', anew)
while true do
  local chunk = redis.call('XRANGE', stream, from, '+', 'COUNT', 100)
  for _, entry in ipairs(chunk) do
    local words = entry[2]
    for i = 1, #words, 2 do
      if words[i] == 'b' and bodies[entry[1]] then words[i + 1] = bodies[entry[1]] end
    end
    redis.call('XADD', anew, entry[1], unpack(words))
    from = '(' .. entry[1]
  end
  if #chunk < 100 then break end
end
info = redis.call('XINFO', 'STREAM', stream)
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then redis.call('XSETID', anew, info[i + 1]) end
end
redis.call('RENAME', anew, stream)
-- What the conversation and its senders hold is counted anew.
for _, name in ipairs(redis.call('HKEYS', counters)) do
  if name == 'held' or name == 'bytes' or string.sub(name, 1, 2) == 'h:' then redis.call('HDEL', counters, name) end
end
