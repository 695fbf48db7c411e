-- KEYS of the scripts that use these: name key, bare name, last id.
local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or nil
end
local function find(name_key, bare_key)
  local id = string.match(text(name_key) or '', '^[1-9]%d*$')
  if id then return id end
  id = string.match(text(bare_key) or '', '^cim%-account:([1-9]%d*)$')
  if id and tonumber(id) < 9007199254740992 and text(ACCOUNT .. id) == bare_key then return id end
end
local function make()
  local time = redis.call('TIME')
  local id = math.max(time[1] * 1000 + math.floor(time[2] / 1000), (tonumber(text(KEYS[3]) or '') or 0) + 1)
  while redis.call('EXISTS', ACCOUNT .. string.format('%.0f', id)) == 1 do id = id + 1 end
  local digits = string.format('%.0f', id)
  redis.call('SET', KEYS[3], digits)
  redis.call('SET', ACCOUNT .. digits, KEYS[2])
  redis.call('SET', KEYS[1], digits)
  return digits
end
