"""A base for tests of push: a cluster whose routes notify browsers at a double of their push services."""

from __future__ import annotations

from random import Random

from cim.outgoing.guard import check_url
from cim.route.push.options import PushRules
from cim.route.push.web_push import WebPush, new_key
from tests.harness.push_service import PushService
from tests.route.http.api_case import APICase

KEY = new_key()


class PushCase(APICase):
    """Alice and Bob, and a push service."""

    shows = {}
    selection = None

    def setUp(self):
        web = WebPush(
            self,
            key=KEY,
            contact="mailto:operator@example.com",
            check_url=lambda url: check_url(url, https=True),
            time_of_day=lambda: self.clock.seconds(),
            random_bytes=Random(7).randbytes,
        )
        self.service = PushService(web.public_key, lambda: self.clock.seconds())
        self.push = PushRules([web], selection=self.selection, public_key=web.public_key, **self.shows)
        super().setUp()
        for route in self.cluster.routes:
            route.bursts.startService()
        self.alice, self.bob = self.user("alice"), self.user("bob")

    def request(self, *args, **options):
        """See Outgoing."""
        return self.service.request(*args, **options)

    def subscribe(self, who, number=1, device="web-1"):
        """Have a browser of a user registered."""
        browser = self.service.subscribe(number)
        self.ok("PUT", "/v1/pushes", browser.body(device=device), **self.by(who))
        return browser

    def say(self, text="hello", by=None, to=None, group=None, route=0):
        """Have somebody say something by HTTP; return its position."""
        where = {"to_group": group} if group is not None else {"to_user": (to or self.bob).id}
        body = {**where, "client_id": f"c-{next(self.ids)}", "text": text}
        return self.ok("POST", "/v1/messages", body, **self.by(by or self.alice), status=201, route=route)["position"]

    def wait(self, seconds):
        """Let time pass, a second at a time."""
        self.cluster.pass_seconds(seconds)
