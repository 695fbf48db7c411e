"""Tickets: what a native client gets at login and shows to the one server that it may connect to.

A ticket alone does not open a session: the server must also hold the reservation with the ticket's owner token, which
only one connection may claim. That makes the ticket single-use, and ends it after TICKET_SECONDS on the server's own
clock. So servers do not look at its `exp`: the clocks of the route and the server may differ by any time.
"""

from __future__ import annotations

from attrs import frozen

from cim.errors import Unauthorized
from cim.model import ID_LIMIT, Place
from cim.signed import sign, verify

#: How long a ticket is valid: as long as the server keeps the reservation.
TICKET_SECONDS = 30


@frozen
class Ticket:
    """The user who may connect, and the reservation to claim.

    :param owner: the owner token of the reservation
    :param bounded: whether the session is bounded, as the reservation says
    """

    user: int
    name: str
    device: str
    owner: str
    bounded: bool = False


def make_ticket(key: bytes, ticket: Ticket, place: Place, now: float, id: str) -> str:
    """Return the text of a ticket for a server during its current run.

    :param key: the key derived for "ticket"
    :param now: seconds since 1970, for `exp`, which servers of earlier releases check
    :param id: a unique id
    """
    return sign(
        key,
        {
            "sub": str(ticket.user),
            "name": ticket.name,
            "dev": ticket.device,
            "own": ticket.owner,
            "aud": _audience(place) if ticket.bounded else str(place),
            "exp": int(now) + TICKET_SECONDS,
            "jti": id,
        },
    )


def read_ticket(key: bytes, text: str, place: Place) -> Ticket:
    """Read a ticket, which must be for that place.

    :raises Unauthorized: the ticket is for another server or run, or is not signed with the key
    """
    claims = verify(key, text, None, str(place), _audience(place))
    subject, name, device, owner = claims.get("sub"), claims.get("name"), claims.get("dev"), claims.get("own")
    if not (isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= 16):
        raise Unauthorized()
    user = int(subject)
    if not (0 < user < ID_LIMIT and isinstance(name, str) and isinstance(device, str) and isinstance(owner, str)):
        raise Unauthorized()
    if not (name and device and owner):
        raise Unauthorized()
    return Ticket(user, name, device, owner, claims["aud"] == _audience(place))


def _audience(place: Place) -> str:
    """Return whom a ticket for a bounded session names: servers of earlier releases, which bound none, refuse it."""
    return f"{place}/bounded"
