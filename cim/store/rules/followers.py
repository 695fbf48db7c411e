"""The numbers of followers of the logs, for both stores."""

from __future__ import annotations

#: How long a conversation is remembered in which nothing happens any more, in ms: longer than it takes until a change
#: is handed out, so that what a follower has is not given to it again.
IDLE_MS = 3_600_000
#: After how long a follower is forgotten that no route has, in ms.
FORGOTTEN_MS = 2 * 86_400_000
#: How many changed conversations are handed out at once; how many go on at once; how many are listed that stopped.
HANDED_OUT = 200
RESUMED = 1000
LISTED = 100
#: In the place of a conversation: all of them.
ALL = "*"
