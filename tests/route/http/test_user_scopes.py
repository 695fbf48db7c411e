"""What bounded tokens of users may do: every scope over every call.

Every scope over every packet is in tests/server/native/test_bounds.py.
"""

from __future__ import annotations

import re

from cim.invitation_codes import AccountPolicy
from cim.route.http.api import APIS
from cim.user_tokens import UserScope
from cim.web.declaring import USERS, Who, calls_of
from tests.route.http.api_case import KEY, APICase

SEND, READ, GROUPS, ACCOUNT = UserScope
#: The only scope that a token needs for each call of users.
NEEDED = {
    "POST /v1/sessions": READ,
    "GET /v1/users": READ,
    "GET /v1/users/{id}": READ,
    "GET /v1/online": READ,
    "GET /v1/conversations": READ,
    "GET /v1/conversations/{conversation}/messages": READ,
    "PUT /v1/conversations/{conversation}/read": READ,
    "GET /v1/groups": READ,
    "GET /v1/groups/{id}": READ,
    "GET /v1/groups/{id}/members": READ,
    "GET /v1/invitations": READ,
    "POST /v1/messages": SEND,
    "POST /v1/reports": SEND,
    "POST /v1/groups": GROUPS,
    "PATCH /v1/groups/{id}": GROUPS,
    "PUT /v1/groups/{id}/members/{user}": GROUPS,
    "DELETE /v1/groups/{id}/members/{user}": GROUPS,
    "POST /v1/groups/{id}/members": GROUPS,
    "DELETE /v1/groups/{id}": GROUPS,
    "PUT /v1/groups/{id}/mute": GROUPS,
    "DELETE /v1/groups/{id}/mute": GROUPS,
    "PUT /v1/groups/{id}/members/{user}/mute": GROUPS,
    "DELETE /v1/groups/{id}/members/{user}/mute": GROUPS,
    "GET /v1/groups/{id}/bans": READ,
    "PUT /v1/groups/{id}/bans/{user}": GROUPS,
    "DELETE /v1/groups/{id}/bans/{user}": GROUPS,
    "GET /v1/sessions": ACCOUNT,
    "DELETE /v1/sessions/{device}": ACCOUNT,
    "DELETE /v1/token": ACCOUNT,
    "PUT /v1/password": ACCOUNT,
    "GET /v1/mutes": READ,
    "PUT /v1/conversations/{conversation}/mute": ACCOUNT,
    "DELETE /v1/conversations/{conversation}/mute": ACCOUNT,
    "GET /v1/pushes": READ,
    "PUT /v1/pushes": ACCOUNT,
    "DELETE /v1/pushes/{id}": ACCOUNT,
    "GET /v1/blocks": ACCOUNT,
    "PUT /v1/blocks/{user}": ACCOUNT,
    "DELETE /v1/blocks/{user}": ACCOUNT,
}


class UserScopesTests(APICase):
    """A token of a user with each scope."""

    accounts = AccountPolicy.KEY

    def make(self, user, *scopes):
        return self.ok("POST", f"/v1/users/{user}/tokens", {"scopes": scopes}, key=KEY, status=201)

    def test_every_call_with_every_scope(self):
        user = self.ok("POST", "/v1/accounts", {"name": "mary", "external_id": "m"}, key=KEY, status=201)["id"]
        calls = {
            f"{method} {call.path}": call for api in APIS for call in calls_of(api).values() for method in call.methods
        }
        self.assertEqual({line: call.needs for line, call in calls.items() if call.who in USERS}, NEEDED)
        for line, call in calls.items():
            method, path = line.split(" ")
            path = re.sub(r"\{\w+\}", "7", path)
            for scope in UserScope if call.who in USERS else (READ,):
                # A new one, because some calls void all.
                made = self.make(user, scope)
                status, _, said = self.call(method, path, call.body and {}, token=made["token"])
                self.ok("DELETE", f"/v1/users/{user}/tokens/{made['id']}", key=KEY, status=204)
                if call.who in USERS and call.needs is not scope:
                    self.assertEqual((status, said["code"]), (403, "forbidden"), (line, scope))
                    self.assertIn(f"lacks the scope `{call.needs}`", said["detail"])
                elif call.who is Who.OPERATOR:
                    self.assertEqual((status, said["code"]), (403, "forbidden"), (line, scope))
                elif call.who in USERS:
                    self.assertNotIn(status, (401, 403), (line, scope))

    def test_one_with_all_of_them_is_like_any(self):
        user = self.ok("POST", "/v1/accounts", {"name": "mary", "external_id": "m"}, key=KEY, status=201)["id"]
        token = self.make(user, *UserScope)["token"]
        for line in NEEDED:
            method, path = line.split(" ")
            if method == "GET":
                self.assertNotIn(self.call(method, re.sub(r"\{\w+\}", "7", path), token=token)[0], (401, 403), line)
