"""HTTP for both daemons.

Calls are declared (`declaring`, `schema`) and served through Klein's map (`serving`) within bounds (`site`), in one of
two dialects: upstream's (`envelope`) or that of `/v1` (`problem`). `calling` makes calls.
"""
