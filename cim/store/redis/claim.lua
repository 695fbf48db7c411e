-- ARGV[2..]: device, owner, server, incarnation.
local held, newer
for _, record in ipairs(read()) do
  if record.device == ARGV[2] then held = record elseif record.alone == '1' then newer = true end
end
if held and held.owner ~= ARGV[3] or not held and newer then return 0 end
if not held or not held.live then
  write(ARGV[2], 0, held and held.alone or 0, ARGV[3], ARGV[4], ARGV[5])
  settle()
end
return 1
