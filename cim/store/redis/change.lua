-- Writes what was decided if the facts are still those that it was decided by; reads them otherwise.
--
-- ARGV: the fingerprint of the facts ('' only reads them), the time that was assumed, ms ('' when it does not matter),
-- how many commands read facts that must be the same, how many others read what is told beside them, how many bounds
-- follow; then the commands, the bounds and the commands that write. Each begins with the number of its words: its
-- name, the number of its key among KEYS, arguments. A bound is `HLEN key lowest highest`.
--
-- Returns the time, ms, 1 when it wrote, and then what ID and LOG gave, or what each of the facts was.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function digits(number) return string.format('%.0f', number) end

local commands = {
  -- An id or version that was never given: the time, or one more than the last.
  ID = function(key)
    local id = digits(math.max(now, (tonumber(redis.call('MGET', key)[1] or '') or 0) + 1))
    redis.call('SET', key, id)
    return id
  end,
  -- A change of who is in a group: counted there, and told in the log. Gives its versions in the log and in the group.
  LOG = function(group, id, user, added)
    local last = redis.call('XREVRANGE', GROUP_LOG, '+', '-', 'COUNT', 1)[1]
    local version = digits(math.max(now, last and string.match(last[1], '^%d+') + 1 or 0))
    local group_version = redis.call('HINCRBY', group, 'version', 1)
    redis.call('XADD', GROUP_LOG, 'MAXLEN', '~', 10000, version .. '-0', 'g', id, 'u', user, 'a', added, 'v',
               group_version)
    return {version, group_version}
  end,
}

local at = 6
local function run()
  local first, last = at + 1, at + ARGV[at]
  at = last + 1
  local name, key = ARGV[first], KEYS[tonumber(ARGV[first + 1])]
  if commands[name] then return true, commands[name](key, unpack(ARGV, first + 2, last)) end
  -- What is only told to upstream stops nothing.
  if string.sub(name, 1, 1) == '?' then
    return false, redis.pcall(string.sub(name, 2), key, unpack(ARGV, first + 2, last))
  end
  return false, redis.call(name, key, unpack(ARGV, first + 2, last))
end

local function fingerprint(replies)
  local parts = {}
  for _, reply in ipairs(replies) do
    if type(reply) ~= 'table' then reply = {reply} end
    parts[#parts + 1] = #reply .. ';'
    for _, part in ipairs(reply) do
      part = part and tostring(part) or ''
      parts[#parts + 1] = #part .. ':' .. part
    end
  end
  return redis.sha1hex(table.concat(parts))
end

local function in_bounds(count)
  for i = at, at + 5 * (count - 1), 5 do
    local held = redis.call('HLEN', KEYS[tonumber(ARGV[i + 2])])
    if held < tonumber(ARGV[i + 3]) or held > tonumber(ARGV[i + 4]) then return false end
  end
  at = at + 5 * count
  return true
end

local facts = {}
local function read(count)
  for _ = 1, count do
    local _, reply = run()
    facts[#facts + 1] = reply
  end
end
read(tonumber(ARGV[3]))
local told_at = at
for _ = 1, tonumber(ARGV[4]) do at = at + 1 + ARGV[at] end
local same = ARGV[1] ~= '' and fingerprint(facts) == ARGV[1]
             and (ARGV[2] == '' or math.abs(now - ARGV[2]) <= 1000)
if same and in_bounds(tonumber(ARGV[5])) then
  local given = {}
  while at <= #ARGV do
    local gives, reply = run()
    if gives then given[#given + 1] = reply end
  end
  return {digits(now), 1, given}
end
at = told_at
read(tonumber(ARGV[4]))
return {digits(now), 0, facts}
