-- KEYS: account, credential, name key; ARGV: id. Returns whether there was one.
if redis.pcall('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
