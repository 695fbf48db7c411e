-- All: KEYS records, cim-route, login-status, ended marker; ARGV user, then their own.
-- A record is a line: since, when a reservation expires (0 when live), 1 when its login lets no other device be live
-- beside it, owner, server, incarnation. Whoever changes records calls `settle` at the end.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function read()
  local held, records = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #held, 2 do
    local since, expires, alone, owner, server, incarnation =
      string.match(held[i + 1], '^(%d+)	(%d+)	([01])	([^	]*)	([^	]*)	([^	]*)$')
    if since and (expires == '0' or tonumber(expires) > now) then
      records[#records + 1] = {device = held[i], since = tonumber(since), expires = tonumber(expires), alone = alone,
                               owner = owner, server = server, incarnation = incarnation, live = expires == '0'}
    end
  end
  table.sort(records, function(one, other)
    if one.since == other.since then return one.device < other.device end
    return one.since < other.since
  end)
  return records
end
local function told(records)
  local lines = {}
  for i, record in ipairs(records) do
    lines[i] = {record.device, record.server, record.incarnation, record.owner, record.live and 1 or 0,
                string.format('%.0f', record.since)}
  end
  return lines
end
local function forget(record)
  redis.call('HDEL', KEYS[1], record.device)
  redis.call('SREM', UPSTREAM .. '{' .. record.server .. '}', ARGV[1])
end
local function write(device, expires, alone, owner, server, incarnation)
  redis.call('HSET', KEYS[1], device, string.format('%.0f	%.0f	%s	%s	%s	%s', now, expires, alone, owner, server,
                                                    incarnation))
end
local function settle()
  local live, waiting, last
  for _, record in ipairs(read()) do
    if record.live then live = record else waiting = record; last = math.max(last or 0, record.expires) end
  end
  if live then
    redis.call('PERSIST', KEYS[1])
    redis.pcall('SET', KEYS[2], live.server)
    redis.pcall('SADD', KEYS[3], ARGV[1])
    return
  end
  redis.pcall('SREM', KEYS[3], ARGV[1])
  if waiting then
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last))
    redis.pcall('SET', KEYS[2], waiting.server, 'PXAT', string.format('%.0f', waiting.expires))
  else
    redis.call('DEL', KEYS[1])
    redis.pcall('DEL', KEYS[2])
  end
end
