"""`/v1/pushes`: where a user is notified of messages that no session took (docs/push.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from cim.errors import Forbidden, InvalidField, NotFound, Unauthorized
from cim.interfaces import IPusher, IPushes
from cim.model import Registration
from cim.route.http.access import Caller, confirmed
from cim.route.http.shapes import WHEN, Device
from cim.web.declaring import http_call
from cim.web.schema import Array, Object, Optional, Text

_ID = Text(32, 32, "What the registration is called; it does not tell its address.")
_KIND = Text(32, 1, "What serves it: `webpush`, `fcm`, `apns` or `webhook`, as far as it is configured.")
_REGISTRATION = Object({"id": _ID, "kind": _KIND, "device": Device(), "at": WHEN}, "PushRegistration")
_REGISTRATIONS = Object(
    {"pushes": Array(_REGISTRATION, "The one that was renewed last at the end.")}, "PushRegistrations"
)
_KEYS = Object(
    {
        "p256dh": Optional(Text(100, about="For `webpush`: the browser's public key.")),
        "auth": Optional(Text(100, about="For `webpush`: the browser's secret.")),
    },
    "PushKeys",
)


@frozen
class PushesAPI:
    """The calls about where a user is notified.

    :param pushers: by kind
    """

    _store: IPushes
    _pushers: Mapping[str, IPusher]

    @http_call(
        "PUT /v1/pushes",
        body={
            "kind": _KIND,
            "address": Text(2048, 1, "The endpoint of a PushSubscription, or a token of the service."),
            "keys": Optional(_KEYS),
            "device": Optional(Device(about="The device; for the page it is its own.")),
        },
        answers={200: _REGISTRATION},
        example={"kind": "fcm", "address": "dGhlIHRva2Vu", "device": "phone"},
    )
    @confirmed
    async def register_push(
        self, caller: Caller, kind: str, address: str, keys: dict[str, str | None] | None, device: str | None
    ) -> dict[str, Any]:
        """Have a device notified of messages that no session of the user took within 5 s.

        Doing it again renews it: it lasts for 60 days. It ends with the logout of the device, with all tokens of the
        user, with a token that a back end bounded, and when another user registers the same address. Of more than 20
        the oldest goes.
        """
        pusher = self._pushers.get(kind)
        if pusher is None:
            known = ", ".join(sorted(self._pushers)) or "nothing"
            raise InvalidField("kind", f"is not configured here: {known} is")
        assert caller.proven is not None
        bounds = caller.proven.bounds
        own = caller.proven.device or (bounds.device if bounds is not None else "")
        if bounds is not None and own and device not in (None, own):
            raise Forbidden("this token is for another device")
        device = own or device
        if device is None:
            raise InvalidField("device", "is missing")
        given = {name: value for name, value in (keys or {}).items() if value is not None}
        made = Registration(caller.account.id, kind, address, device, pusher.check(address, given))
        if bounds is not None:
            made = evolve(made, ends=bounds.ends)
        at = await self._store.register(made)
        if at is None:
            raise Unauthorized("the account was deleted")
        return {"id": made.id, "kind": kind, "device": device, "at": at}

    @http_call("GET /v1/pushes", answers={200: _REGISTRATIONS})
    async def pushes(self, caller: Caller) -> dict[str, Any]:
        """List where the user is notified."""
        found = await self._store.registrations((caller.account.id,))
        shown = [
            {"id": one.id, "kind": one.kind, "device": one.device, "at": one.at}
            for one in found.get(caller.account.id, ())
        ]
        return {"pushes": shown}

    @http_call("DELETE /v1/pushes/{id}", path={"id": _ID}, answers={204: None}, errors=(404,))
    @confirmed
    async def unregister_push(self, caller: Caller, id: str) -> None:
        """Have a device no longer notified."""
        if not await self._store.unregister(caller.account.id, id):
            raise NotFound("you have no such registration")
