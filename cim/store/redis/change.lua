-- Writes what was decided if the facts are still those that it was decided by; reads them otherwise.
--
-- ARGV: the facts as they were, in one text ('' only reads them), the time that was assumed, ms ('' when it does not
-- matter), how many commands read facts that must be the same, how many others read what is told beside them, how many
-- bounds follow; then the commands, the bounds and the commands that write. Each begins with the number of its words:
-- its name, the number of its key among KEYS, arguments. A bound is the number of a hash, the lowest and the highest
-- number of its fields.
--
-- Returns the time, ms, 1 when it wrote, and then what LOG gave, or what each of the facts was.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function digits(number) return string.format('%.0f', number) end

local commands = {
  -- Whether an id is no more than the last that was given.
  PAST = function(last, id) return tonumber(id) <= (tonumber(redis.call('MGET', last)[1] or '') or 0) and 1 or 0 end,
  -- The roles of users, of the hash of members.
  ROLES = function(members, ...)
    local roles = redis.call('HMGET', members, ...)
    for i, record in ipairs(roles) do roles[i] = record and string.match(record, '^[012]') or false end
    return roles
  end,
  -- Makes a member: the group's hash of members, the user's id and role, 1 when members may read what was said before
  -- they joined, the numbers of the keys of the group's counters and of the user's groups, the group's id. Whoever joins
  -- has read what was said before.
  JOIN = function(members, user, role, history, counters, mine, id)
    local held = redis.call('HMGET', KEYS[tonumber(counters)], 'log', 's:' .. user)
    local last, counted = string.match(held[1] or ' 0 0 0', '^(%S*) %d+ (%d+)')
    local others = counted - (string.match(held[2] or '', '^%d+') or 0)
    if last ~= '' then redis.call('HSET', KEYS[tonumber(counters)], 'r:' .. user, last .. ' ' .. digits(others)) end
    local record = role .. ' ' .. (history == '1' and '' or last)
    redis.call('HSET', members, user, record)
    redis.call('HSET', KEYS[tonumber(mine)], id, record)
  end,
  -- Gives a member another role: the hash of members, the user's id and role, the number of the key of the user's
  -- groups, the group's id.
  ROLE = function(members, user, role, mine, id)
    local record = role .. string.sub(redis.call('HGET', members, user), 2)
    redis.call('HSET', members, user, record)
    redis.call('HSET', KEYS[tonumber(mine)], id, record)
  end,
  -- A change of who is in a group: counted there, and told in the log. Gives its versions in the log and in the group.
  LOG = function(group, log, id, user, added)
    log = KEYS[tonumber(log)]
    local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    local version = digits(math.max(now, last and string.match(last[1], '^%d+') + 1 or 0))
    local group_version = redis.call('HINCRBY', group, 'version', 1)
    redis.call('XADD', log, 'MAXLEN', '~', 10000, version .. '-0', 'g', id, 'u', user, 'a', added, 'v', group_version)
    return {version, group_version}
  end,
}

local at = 6
-- Runs the next command; returns its reply, and whether the command is one of these here.
local function run()
  local first, last = at + 1, at + ARGV[at]
  at = last + 1
  local name, key = ARGV[first], KEYS[tonumber(ARGV[first + 1])]
  local ours = commands[name]
  if ours then return ours(key, unpack(ARGV, first + 2, last)), true end
  -- What is only told to upstream stops nothing.
  if string.byte(name) == 63 then return redis.pcall(string.sub(name, 2), key, unpack(ARGV, first + 2, last)) end
  return redis.call(name, key, unpack(ARGV, first + 2, last))
end

local facts, parts = {}, {'='}
local function note(part)
  if not part then
    parts[#parts + 1] = '-'
  elseif type(part) == 'number' then
    parts[#parts + 1] = ':' .. part .. ','
  else
    parts[#parts + 1] = #part .. ':' .. part
  end
end
for i = 1, tonumber(ARGV[3]) do
  facts[i] = run()
  if type(facts[i]) == 'table' then
    parts[#parts + 1] = #facts[i] .. ';'
    for _, part in ipairs(facts[i]) do note(part) end
  else
    parts[#parts + 1] = '1;'
    note(facts[i])
  end
end
local told_at = at
for _ = 1, tonumber(ARGV[4]) do at = at + 1 + ARGV[at] end

local function in_bounds()
  for _ = 1, tonumber(ARGV[5]) do
    local held = redis.call('HLEN', KEYS[tonumber(ARGV[at])])
    if held < tonumber(ARGV[at + 1]) or held > tonumber(ARGV[at + 2]) then return false end
    at = at + 3
  end
  return true
end

if ARGV[1] == table.concat(parts) and (ARGV[2] == '' or math.abs(now - ARGV[2]) <= 1000) and in_bounds() then
  local given = {}
  while at <= #ARGV do
    local reply, ours = run()
    if ours and reply then given[#given + 1] = reply end
  end
  return {digits(now), 1, given}
end
at = told_at
for i = 1, tonumber(ARGV[4]) do facts[#facts + 1] = run() end
return {digits(now), 0, facts}
