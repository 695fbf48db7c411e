-- ARGV[2..]: server, incarnation, owner, device, policy, ms, 1 for a live record, the device of guests, most devices,
-- owners known to be dead. Returns the records in the way and those replaced, or what it refused for.
local server, incarnation, owner, device, policy = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local dead = {}
for i = 11, #ARGV do dead[ARGV[i]] = true end
local removed, replaced, in_the_way, live, others = {}, {}, {}, {}, 0
for _, record in ipairs(read()) do
  local same = record.device == device and device ~= ARGV[9]
  if record.live and dead[record.owner] then
    removed[#removed + 1] = record
  elseif same or policy == 'replace' or not record.live and (policy == 'reject' or record.device == device) then
    removed[#removed + 1] = record
    if record.live then replaced[#replaced + 1] = record end
  else
    others = others + 1
    if record.live then live[#live + 1] = record end
    if record.live and (policy == 'reject' or record.device == device) then in_the_way[#in_the_way + 1] = record end
  end
end
if #in_the_way == 0 and others >= tonumber(ARGV[10]) then
  if #live == 0 then return 'limited' end
  in_the_way = live
end
if #in_the_way > 0 then return {told(in_the_way), {}} end
for _, record in ipairs(removed) do forget(record) end
write(device, ARGV[8] == '1' and 0 or now + ARGV[7], policy == 'many' and 0 or 1, owner, server, incarnation)
if ARGV[8] == '1' then redis.call('SADD', UPSTREAM .. '{' .. server .. '}', ARGV[1]) end
settle()
return {{}, told(replaced)}
