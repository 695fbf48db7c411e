"""Accounts in Redis.

    cim-account:<id>                   the name                    upstream's format
    cim-name:<percent-encoded name>    the id
    cim:last-account-id                the highest id given

Upstream keeps the id of a name under the bare name, which may be any key at all. It is read when we have no
`cim-name:` for it, and believed only when it holds `cim-account:<id>` and that account has this very name; it is
never written (UPSTREAM.md section 5). As upstream may write `cim-account:<id>` at any key, ours included, what is no
id there counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.icim import IAccounts
from cim.model import Account
from cim.store.scripts import Script

if TYPE_CHECKING:
    from cim.store.redis_connection import RedisConnection

_FIND = """
local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or nil
end
local function find(name_key, bare_key)
  local id = string.match(text(name_key) or '', '^[1-9]%d*$')
  if id then return id end
  id = string.match(text(bare_key) or '', '^cim%-account:([1-9]%d*)$')
  if id and tonumber(id) < 9007199254740992 and text('cim-account:' .. id) == bare_key then return id end
end
"""

ACCOUNT = Script("account", _FIND + "return text(KEYS[1])")

NAMED = Script("named", _FIND + "return find(KEYS[1], KEYS[2])")

_MAKE = """
local time = redis.call('TIME')
local id = math.max(time[1] * 1000 + math.floor(time[2] / 1000), (tonumber(text(KEYS[3]) or '') or 0) + 1)
while redis.call('EXISTS', string.format('cim-account:%.0f', id)) == 1 do id = id + 1 end
local digits = string.format('%.0f', id)
redis.call('SET', KEYS[3], digits)
redis.call('SET', 'cim-account:' .. digits, KEYS[2])
redis.call('SET', KEYS[1], digits)
"""

# KEYS: name key, bare name, last id.
REGISTER = Script(
    "register",
    _FIND
    + """
local known = find(KEYS[1], KEYS[2])
if known then return known end
"""
    + _MAKE
    + "return digits",
)

# KEYS: name key, bare name, last id; ARGV: password. False when the name is taken.
CREATE_ACCOUNT = Script(
    "create_account",
    _FIND
    + "if find(KEYS[1], KEYS[2]) then return false end"
    + _MAKE
    + """
redis.call('HSET', 'cim:auth:{' .. digits .. '}', 'password', ARGV[1], 'valid_from', 0)
return digits
""",
)

# KEYS: account, credential, name key; ARGV: id. Returns whether there was one.
DELETE_ACCOUNT = Script(
    "delete_account",
    """
if redis.pcall('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
""",
)


def name_keys(name: str) -> tuple[str, str]:
    """Return our key of a name, and upstream's."""
    return f"cim-name:{quote(name, safe='')}", name


@implementer(IAccounts)
class RedisAccounts:
    """Accounts that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""
        return self._connection.run(REGISTER, (*name_keys(name), "cim:last-account-id"), ()).addCallback(
            lambda id: Account(int(id), name)
        )

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._connection.run(ACCOUNT, (f"cim-account:{user}",), ()).addCallback(
            lambda name: None if name is None else Account(user, name.decode(errors="replace"))
        )

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._connection.run(NAMED, name_keys(name), ()).addCallback(
            lambda id: None if id is None else Account(int(id), name)
        )
