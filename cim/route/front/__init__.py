"""The side that faces clients' logins and servers' links."""
