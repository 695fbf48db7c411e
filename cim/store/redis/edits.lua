-- Notes the edits of texts that are still there, unless later ones are noted.
-- KEYS: stream, recalled, edited. ARGV: for each edit, the position of its text, and its own.
for i = 1, #ARGV, 2 do
  local text = padded(ARGV[i])
  local first, last = '[' .. text .. ' ', '(' .. text .. '!'
  local held = redis.call('ZRANGEBYLEX', KEYS[3], first, last)[1]
  if (not held or beyond(ARGV[i + 1], string.sub(held, #text + 2))) and not redis.call('ZSCORE', KEYS[2], text)
     and redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    redis.call('ZREMRANGEBYLEX', KEYS[3], first, last)
    redis.call('ZADD', KEYS[3], 0, text .. ' ' .. ARGV[i + 1])
  end
end
