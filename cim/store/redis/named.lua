return find(KEYS[1], KEYS[2])
