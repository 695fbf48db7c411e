"""How many devices of a user may be logged in by cookies."""

#: At most so many: for one more, the one whose login ends first has to log in again.
MOST = 100
