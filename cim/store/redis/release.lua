-- ARGV[2..]: owner, ms for which an end is remembered.
for _, record in ipairs(read()) do
  if record.owner == ARGV[2] then
    forget(record)
    settle()
    redis.call('SET', KEYS[4], 1, 'PX', ARGV[3])
    return 1
  end
end
return 0
