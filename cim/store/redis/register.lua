-- KEYS: name key, bare name, last id.
return find(KEYS[1], KEYS[2]) or make()
