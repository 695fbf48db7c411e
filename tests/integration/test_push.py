"""Push from a real cluster: over TLS, to a double of browsers' push services, whose addresses users name."""

from __future__ import annotations

import json
import os
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from twisted.internet.ssl import PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from cim.daemon.clock import time_of_day
from cim.route.push.web_push import new_key
from tests.harness.certificates import certified, put
from tests.harness.push_service import PushService, text
from tests.integration.cluster_case import ClusterCase


class Service(Resource):
    """Takes what a `PushService` takes, and answers 400 to the rest."""

    isLeaf = True

    def __init__(self, service, url):
        super().__init__()
        self.service = service
        self.url = url

    def render_POST(self, request):
        url = self.url + request.path.decode()
        headers = {name: request.getHeader(name) for name in ("TTL", "Topic", "Urgency", "Authorization")}
        headers["Content-Encoding"] = request.getHeader("Content-Encoding")
        body = request.content.read()
        self.service.check("POST", url, headers, body, True)
        self.service.took.append((url, headers, self.service.browsers[url].read(body)))
        request.setResponseCode(201)
        return b""


class PushTests(ClusterCase):
    timeout = 120

    async def setUp(self):
        super().setUp()
        ca = certified("root", ca=True)
        roots = os.path.join(self.folder("roots"), "ca.pem")
        put(roots, ca.certificate_pem)
        self.patch(os, "environ", {**os.environ, "SSL_CERT_FILE": roots})
        pem = new_key()
        key = os.path.join(self.folder("vapid"), "key.pem")
        put(key, pem)
        public = load_pem_private_key(pem, None).public_key()
        self.service = PushService(
            text(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)), time_of_day
        )
        resource = Service(self.service, "")
        site = Site(resource, parsePOSTFormSubmission=False)
        site.log = lambda request: None
        options = PrivateCertificate.loadPEM(certified("localhost", signer=ca).pem).options()
        port = self.reactor.listenSSL(0, site, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        resource.url = f"https://localhost:{port.getHost().port}"
        self.url = resource.url
        pushing = ("--vapid-key", key, "--push-hosts", "localhost", "--allow-outgoing", "127.0.0.0/8")
        _, self.routes = await self.cluster(1, 2, *pushing, "--allow-outgoing", "::1")

    async def api(self, route, method, path, body=None, token=None):
        """Return the JSON of an answer of a route."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.routes[route].url + path, data, headers, method=method)

        def ask():
            with urlopen(request, timeout=30) as answer:
                return answer.read()

        said = await deferToThread(ask)
        return json.loads(said) if said else None

    async def user(self, name):
        """Return the id and the token of a new user."""
        account = {"name": name, "password": "correct horse battery"}
        id = (await self.api(0, "POST", "/v1/accounts", account))["id"]
        return id, (await self.api(0, "POST", "/v1/sessions", {**account, "device": "web-1"}))["token"]

    async def told(self, count):
        """Wait until so many notices were pushed, and return them."""
        took = self.service.took
        return [said for _, _, said in await self.until(lambda: took, lambda found: len(found) >= count, "a notice")]

    async def test_one_route_notifies_and_the_other_one_closes_it(self):
        (alice, hers), (bob, his) = await self.user("alice"), await self.user("bob")
        browser = self.service.subscribe(1, self.url)
        await self.api(1, "PUT", "/v1/pushes", browser.body(device="web-1"), his)
        # Not through the guard.
        elsewhere = {**browser.body(device="web-1"), "address": "https://169.254.169.254/latest"}
        with self.assertRaises(OSError) as raised:
            await self.api(1, "PUT", "/v1/pushes", elsewhere, his)
        self.assertEqual(raised.exception.code, 400)
        for number, route in enumerate((0, 1, 0)):
            said = {"to_user": bob, "client_id": str(number), "text": "hello"}
            last = await self.api(route, "POST", "/v1/messages", said, hers)
        (notice,) = await self.told(1)
        self.assertEqual((notice["conversation"], notice["sender_name"]), (last["conversation"], "alice"))
        self.assertEqual((notice["sender"], notice["badge"]), (alice, 3))
        self.assertNotIn("text", notice)
        read = {"position": last["position"]}
        await self.api(1, "PUT", f"/v1/conversations/{last['conversation']}/read", read, his)
        *others, closing = await self.told(2)
        self.assertEqual(len(others), 1)
        self.assertEqual(closing, {"conversation": last["conversation"], "read": True, "badge": 0})
