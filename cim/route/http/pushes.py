"""`/v1/pushes`: where a user is notified of messages that no session took (docs/push.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from cim.errors import Forbidden, InvalidField, NotFound, Unauthorized
from cim.interfaces import IPusher, IPushes
from cim.model import Registration
from cim.route.http.access import Caller, confirmed
from cim.route.http.shapes import WHEN, Device
from cim.user_tokens import Bounds, UserScope
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
        user, with the token that it was made with, and when another user registers the same address. Of more than 20
        the oldest goes. It needs the scope `read`, too: who is notified learns what is said.
        """
        pusher = self._pushers.get(kind)
        if pusher is None:
            known = ", ".join(sorted(self._pushers)) or "none"
            raise InvalidField("kind", f"is not one of those that are configured here: {known}")
        assert caller.proven is not None
        if UserScope.READ not in caller.proven.scopes:
            raise Forbidden(f"this token may not do that: it lacks the scope `{UserScope.READ}`")
        bounds = caller.proven.bounds or Bounds(0)
        if bounds.device and device not in (None, bounds.device):
            raise Forbidden("this token is for another device")
        device = caller.proven.device or bounds.device or device
        if device is None:
            raise InvalidField("device", "is missing")
        given = {name: value for name, value in (keys or {}).items() if value is not None}
        kept = pusher.check(address, given)
        made = Registration(caller.account.id, kind, address, device, kept, ends=bounds.ends, token=bounds.token)
        at = await self._store.register(made)
        if at is None:
            raise Unauthorized("the account was deleted")
        try:
            # Whoever ended what it rests on has maybe looked before it was there.
            await caller.confirm()
        except Unauthorized:
            await self._store.unregister(made.user, made.id)
            raise
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
