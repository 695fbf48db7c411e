local found = {}
for i, conversation in ipairs(ARGV) do
  found[i] = log_of(conversation, redis.call('HGET', COUNTERS .. '{' .. conversation .. '}', 'log'))
end
return found
