"""The options about push that routes and the suite share (docs/push.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from cim.daemon.clock import time_of_day
from cim.daemon.config import one_of, read_secret_file
from cim.errors import InvalidField
from cim.interfaces import IPusher, IPushSelection
from cim.plain import quoted
from cim.route.push.apns import APNs, Signer, endpoint_of
from cim.route.push.fcm import FCM, ServiceAccount
from cim.route.push.web_push import HOSTS, WebPush
from cim.route.push.webhook import WebhookPusher
from cim.standard_webhooks import read_secret

if TYPE_CHECKING:
    from cim.outgoing.client import Outgoing

#: Where Apple takes what is pushed.
APNS_HOST = "api.push.apple.com"
#: What notifications tell of a message.
NOTHING, NAMES, TEXTS = "nothing", "names", "texts"
_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")
_SENDER = re.compile(r"([A-Z0-9]{10})/([A-Z0-9]{10})/([A-Za-z0-9.-]{1,155})")
_CONTACT = re.compile(r"(mailto:[^@\s]+@[^@\s]+|https://\S+)")


def hosts(text: str) -> str:
    """Check names of hosts, separated by commas; `*.` before one stands for all below it.

    :raises ValueError: with the end of a sentence that starts with the option's name
    """
    for one in text.split(","):
        if not _HOST.fullmatch(one):
            raise ValueError(
                f"must be names of hosts, separated by commas, *. before one for all below it, not {quoted(one, 40)}"
            )
    return text


def contact(text: str) -> str:
    """Read whom push services may tell of problems.

    :raises ValueError: with the end of a sentence that starts with the option's name
    """
    if not _CONTACT.fullmatch(text):
        raise ValueError("must be mailto:ADDRESS or an https URL")
    return text


class PushOptions:
    """Adds the options about push."""

    optParameters = [
        [
            "vapid-key",
            None,
            None,
            "PEM file with the key by which browsers' push services know us; all routes the same.",
        ],
        [
            "vapid-contact",
            None,
            "mailto:operator@localhost",
            "Whom push services may tell of problems: mailto:ADDRESS or an https URL.",
            contact,
        ],
        ["push-hosts", None, ",".join(HOSTS), "Hosts of browsers' push services, separated by commas.", hosts],
        [
            "push-shows",
            None,
            NAMES,
            "What notifications tell of a message: nothing, names (who, and in which group) or texts.",
            one_of(NOTHING, NAMES, TEXTS),
        ],
        ["fcm-credentials", None, None, "JSON file of a service account of Google's, for Firebase Cloud Messaging."],
        ["apns", None, None, "Who sends to Apple's devices: TEAM/KEY-ID/BUNDLE-ID."],
        ["apns-key", None, None, "File (.p8) with the key of that id."],
        ["apns-host", None, APNS_HOST, "Where Apple takes it; apps under development use api.sandbox.push.apple.com."],
        ["push-webhook", None, None, "URL of a program of yours that pushes to other services."],
        ["push-webhook-secret-file", None, None, "File with the secret, whsec_..., by which it knows us."],
        ["push-select", None, None, "The plugin that picks whom to notify in groups of more than 200 members."],
    ]


@frozen
class PushRules:
    """How a route notifies users.

    :param pushers: one of each kind; nobody is notified without any
    :param names: whether notifications tell who says something, and in which group
    :param texts: whether they tell what
    :param selection: picks whom to notify in large groups, if anybody
    :param public_key: what browsers subscribe with; empty without Web Push
    """

    pushers: Sequence[IPusher] = ()
    names: bool = True
    texts: bool = False
    selection: IPushSelection | None = None
    public_key: str = ""

    def close(self) -> None:
        """Close the connections that pushers keep."""
        for one in self.pushers:
            if isinstance(one, APNs):
                one.close()

    def told(self) -> dict[str, str]:
        """Return what programs are told: by which kinds users can be notified, and the key to subscribe with."""
        keys = {"webpush": self.public_key}
        return {one.kind: keys.get(one.kind, "") for one in self.pushers}


def push_rules_of(options: Any, outgoing: Outgoing, check_url: Callable[..., None], reactor: Any) -> PushRules:
    """Return how users are notified, by the options.

    :param outgoing: sends requests to push services
    :param check_url: raises InvalidField for what is no URL, or with `https` none of https
    :raises UsageError: they cannot be used
    """
    pushers: list[IPusher] = []
    public_key = ""
    if options["vapid-key"]:
        try:
            web = WebPush(
                outgoing,
                key=read_secret_file(options["vapid-key"], "vapid-key").encode(),
                contact=options["vapid-contact"],
                hosts=options["push-hosts"].split(","),
                check_url=partial(check_url, https=True),
                time_of_day=time_of_day,
                random_bytes=os.urandom,
            )
        except ValueError as error:
            raise UsageError(f"--vapid-key: {options['vapid-key']} {error}") from None
        pushers.append(web)
        public_key = web.public_key
    if options["fcm-credentials"]:
        try:
            account = ServiceAccount.parse(read_secret_file(options["fcm-credentials"], "fcm-credentials"))
        except ValueError as error:
            raise UsageError(f"--fcm-credentials: {options['fcm-credentials']} {error}") from None
        pushers.append(FCM(outgoing, account, time_of_day=time_of_day))
    if options["apns"]:
        pushers.append(_apns(options, reactor))
    if options["push-webhook"]:
        pushers.append(_webhook(options, outgoing, check_url))
    pushers += [one for one in getPlugins(IPusher) if one.kind not in {known.kind for known in pushers}]
    return PushRules(
        pushers=pushers,
        names=options["push-shows"] != NOTHING,
        texts=options["push-shows"] == TEXTS,
        selection=_selection(options["push-select"]),
        public_key=public_key,
    )


def _apns(options: Any, reactor: Any) -> APNs:
    """Return what pushes to Apple's devices.

    :raises UsageError: the options cannot be used
    """
    found = _SENDER.fullmatch(options["apns"])
    if found is None:
        raise UsageError("--apns must be TEAM/KEY-ID/BUNDLE-ID, such as ABCDE12345/KEY1234567/com.example.chat")
    if not options["apns-key"]:
        raise UsageError("--apns needs --apns-key, the file that Apple gave out with the key's id")
    if not _HOST.fullmatch(options["apns-host"]) or "*" in options["apns-host"]:
        raise UsageError(f"--apns-host must be the name of a host, not {quoted(options['apns-host'], 40)}")
    signer = Signer(found[1], found[2], found[3], read_secret_file(options["apns-key"], "apns-key"))
    try:
        signer.sign(0)
    except ValueError as error:
        raise UsageError(f"--apns-key: {options['apns-key']} {error}") from None
    endpoint = endpoint_of(reactor, options["apns-host"])
    return APNs(endpoint, options["apns-host"], signer, clock=reactor, time_of_day=time_of_day)


def _webhook(options: Any, outgoing: Outgoing, check_url: Callable[..., None]) -> WebhookPusher:
    """Return what pushes by a program of the operator's.

    :raises UsageError: the options cannot be used
    """
    url, file = options["push-webhook"], options["push-webhook-secret-file"]
    if not file:
        raise UsageError("--push-webhook needs --push-webhook-secret-file, by which the program knows who calls")
    try:
        check_url(url)
        secret = read_secret(read_secret_file(file, "push-webhook-secret-file"))
    except InvalidField as error:
        raise UsageError(f"--push-webhook {error.reason}") from None
    except ValueError as error:
        raise UsageError(f"--push-webhook-secret-file: {file} {error}") from None
    return WebhookPusher(outgoing, url, secret, time_of_day=time_of_day)


def _selection(name: str | None) -> IPushSelection | None:
    """Return the plugin of a name.

    :raises UsageError: there is none
    """
    if not name:
        return None
    found = {one.name: one for one in getPlugins(IPushSelection)}
    if name not in found:
        known = ", ".join(sorted(found)) or "there is none"
        raise UsageError(f"--push-select must be the name of a plugin ({known}), not {quoted(name, 40)}")
    return found[name]
