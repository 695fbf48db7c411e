"""A base with a small API of declared calls on a site without sockets."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred

from cim.daemon.metrics import Metrics
from cim.errors import Conflict, Forbidden, RateLimited, TooLarge, Unauthorized
from cim.web.declaring import Content, Who, WithStatus, http_call
from cim.web.envelope import Envelopes
from cim.web.origins import Origins
from cim.web.problem import Problems
from cim.web.schema import Array, Base64, Boolean, Choice, Id, Integer, Name, Nullable, Object, Optional, Text
from cim.web.serving import CallResource
from tests.web.http_case import HTTPCase

THING = Object({"id": Id(), "name": Name(), "more": Nullable(Text(9))}, "Thing", "A thing.")


class Things:
    """Calls of every kind."""

    def __init__(self):
        self.waiting = []
        self.said = []

    @http_call("GET /v1/things/{id}", who=Who.ANYONE, path={"id": Id()}, answers={200: THING}, errors=(404,))
    def thing(self, caller, id):
        """Return a thing."""
        return {"id": id, "name": "x", "more": None}

    @http_call(
        "GET /v1/things",
        who=Who.ANYONE,
        query={"name": Text(20, 1), "limit": Optional(Integer(1, 9), 5), "all": Optional(Text(5))},
        answers={200: Object({"things": Array(THING)}, "Things")},
    )
    def things(self, caller, **query):
        """List things.

        Those of a name.
        """
        self.said.append(query)
        return {"things": []}

    @http_call(
        "POST /v1/things",
        body={
            "name": Name(),
            "open": Optional(Boolean(), False),
            "data": Optional(Base64(6)),
            "kind": Optional(Choice(("a", "b")), "a"),
        },
        answers={201: THING, 200: THING},
        errors=(409,),
    )
    async def make(self, caller, name, **rest):
        """Make a thing."""
        self.said.append((caller, name, rest))
        if name == "there":
            return WithStatus(200, {"id": 1, "name": name, "more": None})
        if name == "taken":
            raise Conflict("taken")
        if name == "big":
            raise TooLarge()
        if name == "busy":
            raise RateLimited(retry_after=7)
        if name == "broken":
            raise ZeroDivisionError("the secret")
        if name == "slow":
            self.waiting.append(Deferred())
            await self.waiting[-1]
            self.said.append("finished")
        return {"id": 1, "name": name, "more": None}

    @http_call("PUT /v1/things/{id}/parts/{part}", path={"id": Id(), "part": Text(9, 1)}, answers={204: None})
    def put(self, caller, id, part):
        """Put a part."""
        self.said.append((id, part))

    @http_call("DELETE /v1/things/{id}", path={"id": Id()}, body={"why": Optional(Text(9), "")}, answers={204: None})
    async def remove(self, caller, id, why):
        """Remove a thing."""
        self.said.append((id, why))

    @http_call("GET /openapi.json", who=Who.ANYONE)
    def document(self, caller):
        """Describe things."""
        return Content(b'{"openapi":"3.1.0"}')


def gate(request, call):
    """A gate with one key."""
    given = request.getHeader(b"x-key")
    if call.who is Who.ANYONE:
        return "anyone"
    if given is None:
        raise Unauthorized()
    if given != b"right":
        raise Forbidden()
    return "someone"


class ThingsCase(HTTPCase):
    """Serves the things."""

    origins = ()

    def setUp(self):
        self.things = Things()
        self.counted = Metrics("route")
        families = {Problems(gate, Origins(self.origins)): [self.things], Envelopes(gate): []}
        self.serve(CallResource(families, self.counted), max_body=2000)

    def ask(self, method, path, body=None, headers=("X-Key: right",), **options):
        """Make a request, and return its status, headers and parsed body."""
        status, answered, raw = self.request(method, path, body, headers, **options)
        return status, answered, json.loads(raw) if raw else None

    def assertProblem(self, answer, status, code, field=None):
        """Check that an answer is a given problem document."""
        got, headers, said = answer
        self.assertEqual((got, said["status"], said["code"]), (status, status, code))
        self.assertEqual(headers["Content-Type"], "application/problem+json")
        self.assertEqual(said["type"], f"urn:cim:problem:{code}")
        self.assertTrue(said["title"])
        self.assertEqual(said.get("field"), field)
