return text(KEYS[1])
