-- Carries out a decision if the facts that it was based on still hold; otherwise only reads the facts.
--
-- ARGV: the facts of the decision, as one text ('' to only read), the number of commands that read facts which must be
-- unchanged, the number of commands that read further facts, and the number of bounds; then the reading commands, the bounds and the writing commands. A command is the
-- number of its words, its name, the number of its key in KEYS, and arguments. After a `?`, an error of the command is
-- ignored; commands that begin with `@` are defined here. A bound is the number of a hash, and the lowest and highest
-- number of its fields.
--
-- Returns whether it wrote (1), and then the results of @LOG, or else the facts.
local function digits(number) return string.format('%.0f', number) end
local function key_of(number) return KEYS[tonumber(number)] end

local function own(name, key, ...)
  local arg = {...}
  -- Checks a new id: 0 if it is higher than the last id given, or else that last id.
  if name == '@PAST' then
    local last = tonumber(redis.call('MGET', key)[1] or '') or 0
    return tonumber(arg[1]) > last and 0 or digits(last)
  end
  -- Keeps what happened to a group until it is in its log: the number of the group's key, and what it is.
  if name == '@NOTE' then
    redis.call('RPUSH', key, redis.call('HINCRBY', key_of(arg[1]), 'told', 1) .. ' ' .. arg[2])
    return
  end
  -- Reads the roles of users in the hash of members.
  if name == '@ROLES' then
    local roles = redis.call('HMGET', key, ...)
    for i, record in ipairs(roles) do roles[i] = record and string.match(record, '^[012]') or false end
    return roles
  end
  -- Reads the fields of a hash whose names begin with a prefix, with their values, sorted by name.
  if name == '@FIELDS' then
    local held, names, found = redis.call('HGETALL', key), {}, {}
    local values = {}
    for i = 1, #held, 2 do
      if string.sub(held[i], 1, #arg[1]) == arg[1] then
        names[#names + 1] = held[i]
        values[held[i]] = held[i + 1]
      end
    end
    table.sort(names)
    for _, field in ipairs(names) do
      found[#found + 1] = field
      found[#found + 1] = values[field]
    end
    return found
  end
  -- Sets what a group holds against a user, there and in the user's own hash, or with an empty value removes it: the
  -- group's id, the kind, the user, the value.
  if name == '@HELD' then
    local mine = RESTRICTED .. '{' .. arg[3] .. '}'
    if arg[4] == '' then
      redis.call('HDEL', key, arg[2] .. arg[3])
      redis.call('HDEL', mine, arg[2] .. arg[1])
    else
      redis.call('HSET', key, arg[2] .. arg[3], arg[4])
      redis.call('HSET', mine, arg[2] .. arg[1], arg[4])
    end
    return
  end
  -- Forgets all that a group that has ended holds against users: the group's id.
  if name == '@LIFT' then
    local held = redis.call('HGETALL', key)
    for i = 1, #held, 2 do
      local kind, user = string.match(held[i], '^([mb]:)(%d+)$')
      if kind then redis.call('HDEL', RESTRICTED .. '{' .. user .. '}', kind .. arg[1]) end
    end
    return
  end
  -- Notes that who joins from now on may read nothing of what was said so far: the number of the key of the counters.
  if name == '@SINCE' then
    local log = redis.call('HGET', key_of(arg[1]), 'log')
    redis.call('HSET', key, 'since', string.match(log or ' 0 0 0', '^(%S*)'))
    return
  end
  -- Reads the invitation to a group and the role of who invites: the group's id, the number of the key of the members.
  if name == '@INVITED' then
    local held = redis.call('HGET', key, arg[1])
    local role = held and redis.call('HGET', key_of(arg[2]), string.match(held, '^%a (%d+)'))
    return {held, role and string.match(role, '^[012]') or false}
  end
  -- Counts a change of members in the group and adds it to the log: the number of the log's key, the number of the key of
  -- the members, the group's id, the user, 1 or 0. Returns its versions in the log and in the group, the floor of a
  -- member who was added, and the version before it in the log.
  if name == '@LOG' then
    local log, time = key_of(arg[1]), redis.call('TIME')
    local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    local version = digits(math.max(time[1] * 1000 + math.floor(time[2] / 1000), last and string.match(last[1], '^%d+') + 1 or 0))
    local group_version = redis.call('HINCRBY', key, 'version', 1)
    local record = arg[5] == '1' and redis.call('HGET', key_of(arg[2]), arg[4]) or ''
    local floor = string.sub(record, 3)
    redis.call('XADD', log, 'MAXLEN', '~', CHANGES_KEPT, version .. '-0', 'g', arg[3], 'u', arg[4], 'a', arg[5], 'v',
               group_version, 'f', floor)
    return {version, group_version, floor, last and string.match(last[1], '^%d+') or '0'}
  end
  -- Writes a member's record: the user, its role, the number of the key of the user's groups, the group's id; for a new
  -- member also the number of the key of the group's counters, 1 if members may read messages from before they joined,
  -- and the number of the group's key. Those count as read for a new member.
  local user, role, floor = arg[1], arg[2], nil
  if name == '@JOIN' then
    local counters = key_of(arg[5])
    local held = redis.call('HMGET', counters, 'log', 's:' .. user)
    local last, counted = string.match(held[1] or ' 0 0 0', '^(%S*) %d+ (%d+)')
    local others = counted - (string.match(held[2] or '', '^%d+') or 0)
    if last ~= '' then redis.call('HSET', counters, 'r:' .. user, last .. ' ' .. digits(others)) end
    floor = arg[6] == '1' and (redis.call('HGET', key_of(arg[7]), 'since') or '') or last
  else  -- @ROLE
    floor = string.sub(redis.call('HGET', key, user), 3)
  end
  local record = role .. ' ' .. floor
  redis.call('HSET', key, user, record)
  redis.call('HSET', key_of(arg[3]), arg[4], record)
end

local at, given = 5, {}
-- Runs the next command.
local function run()
  local first, last = at + 1, at + ARGV[at]
  at = last + 1
  local name, key = ARGV[first], KEYS[tonumber(ARGV[first + 1])]
  local kind = string.byte(name)
  if kind == 63 then return redis.pcall(string.sub(name, 2), key, unpack(ARGV, first + 2, last)) end
  if kind ~= 64 then return redis.call(name, key, unpack(ARGV, first + 2, last)) end
  local reply = own(name, key, unpack(ARGV, first + 2, last))
  if reply then given[#given + 1] = reply end
  return reply
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
for i = 1, tonumber(ARGV[2]) do
  local reply = run()
  facts[i] = reply
  if type(reply) == 'table' then
    parts[#parts + 1] = #reply .. ';'
    for _, part in ipairs(reply) do note(part) end
  else
    parts[#parts + 1] = '1;'
    note(reply)
  end
end
local told_at = at
for _ = 1, tonumber(ARGV[3]) do at = at + 1 + ARGV[at] end

local function in_bounds()
  for _ = 1, tonumber(ARGV[4]) do
    local held = redis.call('HLEN', key_of(ARGV[at]))
    if held < tonumber(ARGV[at + 1]) or held > tonumber(ARGV[at + 2]) then return false end
    at = at + 3
  end
  return true
end

if ARGV[1] == table.concat(parts) and in_bounds() then
  given = {}
  while at <= #ARGV do run() end
  return {1, given}
end
at = told_at
for _ = 1, tonumber(ARGV[3]) do facts[#facts + 1] = run() end
return {0, facts}
