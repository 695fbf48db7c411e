-- KEYS: the user's index, groups, the device's marks, and the user's invitations. The counters of the conversations are next to them.
-- ARGV: user, device, limit, the oldest activity to return (ms), the cursor's activity and name or '' and '', ms for
-- which a device is remembered.
-- Returns the cursor of the next page or '', how many members of the index were not conversations, and
-- the heads: conversation, latest, received, read, unread, active; and on the first page the invitations, as they are.
local user, limit, oldest = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local guest = ARGV[2] == 'guest'
local cursor = ARGV[6] ~= '' and {active = tonumber(ARGV[5]), name = ARGV[6]}
local index, marks = KEYS[1], KEYS[3]
if not cursor then redis.call('PEXPIRE', marks, ARGV[7]) end

-- Newest first; Redis orders entries of the same time by their bytes, in reverse, which `<` here does not.
local function precedes(one, other)
  if one.active ~= other.active then return one.active > other.active end
  for i = 1, math.min(#one.name, #other.name) do
    local byte, other_byte = string.byte(one.name, i), string.byte(other.name, i)
    if byte ~= other_byte then return byte > other_byte end
  end
  return #one.name > #other.name
end

local groups = {}
local memberships = redis.call('HGETALL', KEYS[2])
if #memberships > 0 then
  local names, floors = {}, {}
  for i = 1, #memberships, 2 do
    names[#names + 1] = 'g:' .. memberships[i]
    floors[#floors + 1] = floor_of(memberships[i + 1])
  end
  for i, active in ipairs(redis.call('ZMSCORE', GROUP_ACTIVITY, unpack(names))) do
    local group = {name = names[i], active = tonumber(active or 0), floor = floors[i]}
    if active and group.active >= oldest and not (cursor and not precedes(cursor, group)) then
      groups[#groups + 1] = group
    end
  end
  table.sort(groups, precedes)
end

local rank = 0
if cursor then
  local high = redis.call('ZCARD', index)
  while rank < high do
    local middle = math.floor((rank + high) / 2)
    local found = redis.call('ZREVRANGE', index, middle, middle, 'WITHSCORES')
    if precedes(cursor, {name = found[1], active = tonumber(found[2])}) then high = middle else rank = middle + 1 end
  end
end
local people = {}
local slice = redis.call('ZREVRANGE', index, rank, rank + MAX_LOOKED, 'WITHSCORES')
for i = 1, #slice, 2 do
  if tonumber(slice[i + 1]) < oldest then break end
  people[#people + 1] = {name = slice[i], active = tonumber(slice[i + 1]), floor = ''}
end

-- Returns how many texts of others behind a position were recalled; looks at MAX_UNREAD of them for a page of heads.
local left = MAX_UNREAD
local function recalled_behind(conversation, read)
  local tag = '{' .. conversation .. '}'
  if left == 0 then return 0 end
  local found = redis.call('ZRANGEBYLEX', RECALLED .. tag, read and '(' .. padded(read) or '-', '+', 'LIMIT', 0, left)
  local count = 0
  for _, place in ipairs(found) do
    local epoch, n = string.match(place, '^0*(%d+)-0*(%d+)$')
    local entry = redis.call('XRANGE', STREAM .. tag, epoch .. '-' .. n, epoch .. '-' .. n)[1]
    local named = entry and message(entry)
    if named and named.s ~= user then count = count + 1 end
  end
  left = left - #found
  return count
end

local function head(candidate)
  local held = redis.call('HMGET', COUNTERS .. '{' .. candidate.name .. '}', 'log', 's:' .. user, 'r:' .. user)
  local last, _, counted = log_of(candidate.name, held[1])
  local received = redis.call('HGET', marks, candidate.name) or ''
  local read, others = string.match(held[3] or '', '^(%S+) (%d+)$')
  local of_others = counted - (string.match(held[2] or '', '^%d+') or 0)
  -- Guests are shown the messages of others, and mark nothing as read.
  if guest and (of_others <= 0 or not beyond(last, later(received, candidate.floor))) then return nil end
  local unread = of_others - (others or 0)
  if unread > 0 then
    unread = math.min(unread - recalled_behind(candidate.name, read), MAX_UNREAD,
                      redis.call('XLEN', STREAM .. '{' .. candidate.name .. '}'))
  end
  if unread <= 0 and not beyond(last, later(received, candidate.floor)) then return nil end
  return {candidate.name, last, received, read or '', math.max(unread, 0), digits(candidate.active)}
end

local heads, strange, looked, from_groups, from_people, at = {}, 0, 0, 1, 1, nil
while looked < MAX_LOOKED and #heads < limit do
  local group, other = groups[from_groups], people[from_people]
  if not group and not other then break end
  if group and not (other and precedes(other, group)) then
    at, from_groups = group, from_groups + 1
  else
    at, from_people = other, from_people + 1
  end
  looked = looked + 1
  if at == other and not string.match(at.name, '^p:[1-9]%d*:[1-9]%d*$') then
    strange = strange + 1
  else
    local well, found = pcall(head, at)
    if well then heads[#heads + 1] = found else strange = strange + 1 end
  end
end
local more = groups[from_groups] or people[from_people]
return {more and at and digits(at.active) .. ' ' .. at.name or '', strange, heads,
        cursor and {} or redis.call('HGETALL', KEYS[4])}
