-- Takes away the notes of what was copied, unless there is something new to copy.
-- KEYS: the notes. ARGV: for each note its name and its value.
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
