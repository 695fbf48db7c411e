-- ARGV[2..]: ms for which an end is remembered, ms for which a record is young.
local records = read()
local newest = records[#records]
if newest and now - newest.since < tonumber(ARGV[3]) and redis.call('EXISTS', KEYS[4]) == 1 then return 'repeated' end
redis.call('SET', KEYS[4], 1, 'PX', ARGV[2])
if newest then
  for _, record in ipairs(records) do forget(record) end
  settle()
end
return told(records)
