"""Where logins and the packets of servers come in."""
