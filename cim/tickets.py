"""Tickets: what a login gives a native client to show to the one server it may connect to.

A ticket alone opens nothing: the server also wants the reservation with the ticket's owner token, which one connection
may claim. That makes it single use.
"""

from __future__ import annotations

from attrs import frozen

from cim.errors import Unauthorized
from cim.model import ID_LIMIT, Place
from cim.signed import sign, verify

#: How long a ticket can be used: as long as the server keeps the reservation.
TICKET_SECONDS = 30
#: By so much the server's clock may be ahead of the route's; the reservation ends by the server's own.
_LEEWAY_SECONDS = 5.0


@frozen
class Ticket:
    """Who may connect, and with which reservation.

    :param owner: the owner token of the reservation
    """

    user: int
    name: str
    device: str
    owner: str


def make_ticket(key: bytes, ticket: Ticket, place: Place, now: float, id: str) -> str:
    """Return the text of a ticket for that server's present run.

    :param key: the one derived for "ticket"
    :param now: seconds since 1970
    :param id: unique
    """
    return sign(
        key,
        {
            "sub": str(ticket.user),
            "name": ticket.name,
            "dev": ticket.device,
            "own": ticket.owner,
            "aud": str(place),
            "exp": int(now) + TICKET_SECONDS,
            "jti": id,
        },
    )


def read_ticket(key: bytes, text: str, place: Place, now: float) -> Ticket:
    """Read a ticket that must be for that place.

    :param now: seconds since 1970
    :raises Unauthorized: expired, for another server or an earlier run of it, or not signed with the key
    """
    claims = verify(key, text, now, str(place), _LEEWAY_SECONDS)
    subject, name, device, owner = claims.get("sub"), claims.get("name"), claims.get("dev"), claims.get("own")
    if not (isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= 16):
        raise Unauthorized()
    user = int(subject)
    if not (0 < user < ID_LIMIT and isinstance(name, str) and isinstance(device, str) and isinstance(owner, str)):
        raise Unauthorized()
    if not (name and device and owner):
        raise Unauthorized()
    return Ticket(user, name, device, owner)
