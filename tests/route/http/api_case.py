"""A base for tests of `/v1` without sockets, which checks each answer against the OpenAPI document."""

from __future__ import annotations

import itertools
import json
from urllib.parse import quote

import jsonschema_rs
from argon2 import PasswordHasher

from twisted.internet.defer import execute

from cim.addresses import Addresses, proxy
from cim.api_keys import parse_keys
from cim.invitation_codes import AccountPolicy
from cim.model import Account, LoginPolicy
from cim.route.guests.door import OPTION
from cim.route.http.api import Settings, api_resource, document, v1_of
from cim.route.http.api_keys import APIKeys
from cim.route.http.groups import INVITE
from cim.route.http.passwords import Passwords
from cim.route.http.upstream import guests_only
from cim.route.http.users import PREFIX
from cim.web.operations import internal_only, located
from cim.web.origins import Origins
from cim.web.site import BoundedSite
from tests.harness.cluster import Cluster, TestClient
from tests.harness.native_client import NativeClient
from tests.web.http_case import Conversation, HTTPCase, encode

PASSWORD = "correct horse battery"
KEY = "operators-key-0123456789"
PAGE = "https://chat.example.com"
DOCUMENT = document()


def cheap_hasher():
    """A hasher that takes no time."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def operation_at(method, path):
    """Return the documented operation of a request, or None."""
    wanted = path.partition("?")[0].split("/")
    for template, operations in DOCUMENT["paths"].items():
        parts = template.split("/")
        if len(parts) == len(wanted) and all(
            part == there or (part.startswith("{") and there) for part, there in zip(parts, wanted, strict=True)
        ):
            return operations.get(method.lower())
    return None


#: The schemas of answers without room for further fields, so that none is missing in the document.
CLOSED = {
    "schemas": {
        title: schema if title == "Problem" or "properties" not in schema else {**schema, "additionalProperties": False}
        for title, schema in DOCUMENT["components"]["schemas"].items()
    }
}


def fault_of(schema, value):
    """Return the part of a value that its documented schema does not allow, or None."""
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": CLOSED})
    return next((str(error) for error in validator.iter_errors(value)), None)


class APICase(HTTPCase):
    """A cluster whose routes serve `/v1`."""

    routes = 1
    servers = 1
    policy = LoginPolicy.REJECT
    keys = (KEY,)
    origins = (PAGE,)
    consent = INVITE
    guests = True, OPTION
    #: Whether calls come through a trusted proxy.
    proxied = False
    accounts = AccountPolicy.OPEN
    #: Decides on what people say and call themselves.
    message_policy = None
    #: Makes the webhooks of a route.
    webhooks = staticmethod(lambda cluster: None)
    directory = PREFIX
    #: How users are notified.
    push = None

    tracer = None

    def setUp(self):
        self.cluster = Cluster(
            servers=self.servers,
            routes=self.routes,
            policy=self.policy,
            guests=self.guests,
            push=self.push,
            message_policy=self.message_policy,
            tracer=self.tracer,
            webhooks=self.webhooks,
        )
        self.clock = self.cluster.clock
        self.metrics = self.cluster.metrics
        self.store = self.cluster.store
        self.ids = itertools.count(1)
        self.tokens = {}
        self.hashed = []
        self.sites = [self.site_of(route) for route in self.cluster.routes]

    def run_now(self, function, *args):
        """Hash or check a password."""
        self.hashed.append(function.__name__)
        return execute(function, *args)

    def issuers_of(self, route):
        """Return the operators' own issuers of JWTs; None for none."""
        return None

    def beside(self, route):
        """Return the APIs that are served beside `/v1`."""
        return ()

    def site_of(self, route):
        """Serve a route's API."""
        settings = Settings(
            self.cluster.ticket_key,
            b"k" * 32,
            keys=APIKeys(parse_keys(self.keys) if self.keys else ()),
            origins=Origins(self.origins),
            token_hours=12,
            group_consent=self.consent,
            accounts=self.accounts,
            directory=self.directory,
        )
        passwords = Passwords(self.run_now, cheap_hasher())
        self.v1 = v1_of(
            route,
            passwords,
            settings,
            lambda: f"id-{next(self.ids)}",
            health=route.health,
            metrics=self.metrics,
            issuers=self.issuers_of(route),
        )
        resource = api_resource(
            self.v1,
            route,
            settings,
            beside=self.beside(route),
            cluster_only=guests_only(route.door, internal_only(None, self.metrics)),
            metrics=self.metrics,
            where=located(Addresses([proxy("192.168.1.1")], self.metrics.refused)),
        )
        site = BoundedSite(resource, self.clock, self.metrics, proxied=lambda transport: self.proxied)
        site.startFactory()
        return site

    def transport(self):
        """Return the transport of a call's connection; None for any."""
        return None

    def call(
        self,
        method,
        path,
        body=None,
        *,
        token=None,
        key=None,
        headers=(),
        route=0,
        content_type="application/json",
        host="route.example",
    ):
        """Make a call, check that the answer is as documented, and return its status, headers and parsed body."""
        headers = list(headers)
        if token is not None:
            headers.append(f"Authorization: Bearer {token}")
        if key is not None:
            headers.append(f"X-API-Key: {key}")
        conversation = Conversation(self.sites[route], self.transport())
        conversation.send(encode(method, path, body, headers, content_type, host))
        self.cluster.turn()
        for _ in range(60):
            if conversation.transport.value():
                break
            self.cluster.pass_seconds(1)
        status, answered, raw = conversation.answer(method)
        conversation.lose()
        self.check(method, path, status, answered, raw)
        return status, answered, json.loads(raw) if raw else None

    def check(self, method, path, status, headers, raw):
        """Check that an answer is as documented."""
        operation = operation_at(method, path)
        if status == 204:
            self.assertEqual(raw, b"")
        elif method != "HEAD":
            self.assertEqual(int(headers["Content-Length"]), len(raw))
        if status >= 400 and method != "HEAD":
            self.assertEqual(headers["Content-Type"], "application/problem+json")
            said = json.loads(raw)
            self.assertIsNone(fault_of({"$ref": "#/components/schemas/Problem"}, said), said)
            self.assertEqual(said["status"], status)
        if operation is not None and path != "/openapi.json":
            self.assertIn(str(status), operation["responses"], (method, path, raw))
            content = operation["responses"][str(status)].get("content", {})
            if "application/json" in content:
                self.assertIsNone(fault_of(content["application/json"]["schema"], json.loads(raw)), raw)

    def ok(self, *args, status=200, **options):
        """Make a call that must end with a status, and return its parsed body."""
        got, _, said = self.call(*args, **options)
        self.assertEqual(got, status, said)
        return said

    def problem(self, *args, status, code, **options):
        """Make a call that must fail with a status and a code, and return the problem."""
        got, headers, said = self.call(*args, **options)
        self.assertEqual((got, said.get("code") if said else None), (status, code), said)
        self.assertEqual(said["type"], f"urn:cim:problem:{code}")
        return {**said, "retry": headers["Retry-After"]}

    def account(self, name, password=PASSWORD):
        """Create an account."""
        made = self.ok("POST", "/v1/accounts", {"name": name, "password": password}, status=201)
        return Account(made["id"], made["name"])

    def log_in(self, name, password=PASSWORD, *, route=0, **fields):
        """Log in and return the answer."""
        return self.ok("POST", "/v1/sessions", {"name": name, "password": password, **fields}, status=201, route=route)

    def user(self, name):
        """Create an account, log in without connecting, keep the token, and return the account."""
        account = self.account(name)
        self.tokens[account.id] = self.log_in(name, device="api")["token"]
        return account

    def by(self, account):
        """Return the options of a call by a user."""
        return {"token": self.tokens[account.id]}

    def connect_to(self, login):
        """Connect a native client, given the answer to its login."""
        server = next(one for one in self.cluster.servers if f":{login['server']['tcp_port']}:" in one.own.name)
        guest: TestClient = self.cluster.connect(server.own.name)
        client = NativeClient(guest.connection, guest.transport)
        client.hello(login["ticket"], login["device"])
        self.cluster.turn()
        return client

    def online(self, name, device="phone"):
        """Log in, connect, and return the client."""
        client = self.connect_to(self.log_in(name, device=device))
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()][:1], ["welcome"])
        return client


class OnlineCase(APICase):
    """Two routes, and alice, who is online on her phone."""

    routes = 2

    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")
        login = self.log_in("alice", device="phone")
        self.token = login["token"]
        self.client = self.connect_to(login)
        self.client.packets()


def segment(text):
    """Return a text as a segment of a path."""
    return quote(text, safe="")
