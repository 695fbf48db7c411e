"""Tests of logging in with a JWT of an operator's issuer."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from cim.errors import Unavailable
from cim.external_ids import GONE_SECONDS, ExternalId, Linked
from cim.invitation_codes import AccountPolicy
from cim.issuers.issuer import Issuer
from cim.limits import Buckets, Limit
from cim.model import LoginPolicy
from cim.policies import refused
from cim.route.http.tokens import KEPT_SECONDS
from cim.route.issuers.issuers import Issuers
from tests.issuers.signing import AUDIENCE, ISSUER, claims, jwk, jwks, signed
from tests.route.http.api_case import KEY, PASSWORD, APICase
from tests.route.policy_double import PolicyDouble

OTHER = "https://other.example"


class JWTCase(APICase):
    """A cluster that lets two issuers' users in."""

    policy = LoginPolicy.MANY

    def issuers_of(self, route):
        """See APICase: two issuers, with keys of their own under the same id."""
        whole = {"audience": AUDIENCE, "algorithms": ("RS256",)}
        known = (
            Issuer(issuer=ISSUER, keys=f"{ISSUER}/jwks", **whole),
            Issuer(issuer=OTHER, keys=f"{OTHER}/jwks", name_claim="nick", **whole),
        )
        sets = {known[0].keys: jwks(jwk("RSA", "a")), known[1].keys: jwks(jwk("RSA", "a", number=1))}
        return Issuers(known, lambda url: succeed(sets[url]), self.clock, lambda: self.store.clock.shown())

    def jwt(self, sub="mary", ago=5, lasts=600, number=0, **changed):
        """Return a JWT that was issued some seconds ago."""
        issued = int(self.clock.seconds()) - ago
        return signed(claims(sub=sub, iat=issued, exp=issued + lasts, **changed), number=number)

    def enter(self, jwt, status=201, route=0, **fields):
        return self.ok("POST", "/v1/sessions", fields, token=jwt, status=status, route=route)

    def refused(self, jwt, code="unauthorized", status=401, route=0, **fields):
        return self.problem("POST", "/v1/sessions", fields, token=jwt, status=status, code=code, route=route)["detail"]


class SubjectTests(JWTCase):
    """Which account a subject has."""

    def test_it_is_made_at_first_sight(self):
        first = self.enter(self.jwt(name="Mary Ann"), device="phone")
        self.assertEqual((first["name"], first["device"]), ("Mary Ann", "phone"))
        self.assertEqual(self.enter(self.jwt(name="another name"))["user_id"], first["user_id"])
        find = f"/v1/admin/external-ids?external_id=mary&issuer={ISSUER}"
        self.assertEqual(self.ok("GET", find, key=KEY), {"id": first["user_id"], "name": "Mary Ann"})
        client = self.connect_to(self.enter(self.jwt(), device="web"))
        self.assertEqual(client.packets()[0].welcome.user_id, first["user_id"])

    def test_it_never_leads_to_an_account_by_its_name_or_id(self):
        mary = self.account("mary")
        for sub, name in (("mary", "mary"), (str(mary.id), "Mary"), ("mary", str(mary.id))):
            login = self.enter(self.jwt(sub, name=name))
            self.assertNotEqual(login["user_id"], mary.id)
            self.assertNotEqual(login["name"].lower(), "mary")
        # Nor to what a back end calls so, nor to another issuer's.
        own = self.ok("POST", "/v1/accounts", {"name": "own", "external_id": "zoe"}, key=KEY, status=201)["id"]
        one = self.enter(self.jwt("zoe"))["user_id"]
        other = self.enter(self.jwt("zoe", number=1, iss=OTHER))["user_id"]
        self.assertEqual(len({own, one, other}), 3)

    def test_names(self):
        self.account("taken")
        for name, made in (
            ("taken", "taken-"),
            ("TAKEN", "TAKEN-"),
            ("", "user-"),
            (7, "user-"),
            ("a\nb", "user-"),
            ("x" * 65, "user-"),
            ("al\u200bice", "user-"),
            ("System", "user-"),
        ):
            login = self.enter(self.jwt(f"sub {made} {name!r}", name=name))
            self.assertTrue(login["name"].startswith(made), login["name"])
            self.assertNotEqual(login["name"], made)
        self.assertEqual(self.enter(self.jwt("n", number=1, iss=OTHER, name="x", nick="Nick"))["name"], "Nick")

    def test_an_operator_links_an_account(self):
        alice = self.account("alice")
        ids = f"/v1/admin/users/{alice.id}/external-ids"
        self.ok("PUT", ids, {"external_id": "al", "issuer": ISSUER}, key=KEY, status=204)
        self.assertEqual(self.enter(self.jwt("al"))["user_id"], alice.id)
        self.log_in("alice")
        self.ok("DELETE", f"{ids}?issuer={ISSUER}", key=KEY, status=204)
        self.refused(self.jwt("al"))
        self.clock.advance(10)
        self.assertNotEqual(self.enter(self.jwt("al"))["user_id"], alice.id)

    def test_a_back_end_makes_it_before(self):
        body = {"name": "zoe", "external_id": "z", "issuer": ISSUER}
        zoe = self.ok("POST", "/v1/accounts", body, key=KEY, status=201)["id"]
        self.assertEqual(self.enter(self.jwt("z"))["user_id"], zoe)

    def test_what_is_given_beside_it_must_fit(self):
        mary = self.enter(self.jwt(name="mary"))
        self.enter(self.jwt(), name="Mary", id=mary["user_id"])
        self.refused(self.jwt(), "forbidden", 403, name="other")
        self.refused(self.jwt(), "forbidden", 403, id=mary["user_id"] + 1)
        self.refused(self.jwt(), "forbidden", 403, cookie=True)
        # With a password it does not count, as no token does.
        alice = self.account("alice")
        login = self.enter(self.jwt(), name="alice", password=PASSWORD)
        self.assertEqual(login["user_id"], alice.id)

    def test_many_logins_at_once_make_one_account(self):
        external = ExternalId(ISSUER, "mary")
        create = self.store.credentials.create
        made = []

        def slow(name, password, invitation="", external=None):
            # Another route was faster.
            if not made:
                made.append(self.successResultOf(create("faster", "", external=external)))
            return create(name, password, invitation, external)

        self.patch(self.store.credentials, "create", slow)
        login = self.enter(self.jwt(name="mary"))
        self.assertEqual((login["user_id"], login["name"]), (made[0].id, "faster"))
        self.assertEqual(self.successResultOf(self.store.external_ids.find(external)), Linked(made[0].id))


class NamedTests(JWTCase):
    """Names that a policy decides on."""

    def setUp(self):
        self.message_policy = PolicyDouble()
        super().setUp()
        self.message_policy.answers = {"spam": refused("no advertising here")}

    def test_a_name_that_is_refused(self):
        self.assertTrue(self.enter(self.jwt(name="spam"))["name"].startswith("user-"))
        self.assertEqual(self.enter(self.jwt("zoe", name="zoe"))["name"], "zoe")
        self.assertEqual(self.message_policy.texts, ["spam", "zoe"])


class ClosedTests(JWTCase):
    """Accounts that back ends alone make."""

    accounts = AccountPolicy.KEY

    def test_nobody_gets_an_account_at_first_sight(self):
        self.refused(self.jwt(), "accounts-closed", 403)
        body = {"name": "mary", "external_id": "mary", "issuer": ISSUER}
        mary = self.ok("POST", "/v1/accounts", body, key=KEY, status=201)["id"]
        self.assertEqual(self.enter(self.jwt())["user_id"], mary)


class InvitedTests(JWTCase):
    """Accounts by invitation."""

    accounts = AccountPolicy.INVITED

    def test_nobody_gets_an_account_at_first_sight(self):
        self.refused(self.jwt(), "accounts-closed", 403)


class EarlierTests(JWTCase):
    """JWTs from before something happened."""

    routes = 2

    def setUp(self):
        super().setUp()
        self.old = self.jwt()
        self.mary = self.enter(self.old, device="phone")["user_id"]
        self.clock.advance(10)
        self.user = f"/v1/admin/users/{self.mary}"

    def newer(self):
        """Return a JWT of a second later."""
        self.clock.advance(1)
        return self.jwt(ago=0)

    def test_a_log_out(self):
        same = self.jwt(ago=0)
        self.ok("POST", f"{self.user}/logout", key=KEY, status=204)
        for route in (0, 1):
            for jwt in (self.old, same, self.jwt(ago=0)):
                self.assertIn("get a new one", self.refused(jwt, route=route))
        for route in (0, 1):
            self.enter(self.newer(), route=route)

    def test_what_the_user_does(self):
        login = self.enter(self.jwt(), device="web")
        self.ok("DELETE", "/v1/token", token=login["token"], status=204)
        self.refused(self.old)
        again = self.enter(self.newer())
        self.ok("GET", "/v1/sessions", token=again["token"])

    def test_a_ban(self):
        self.ok("PUT", f"{self.user}/ban", {"seconds": 60}, key=KEY)
        self.assertIn("from before", self.refused(self.old))
        self.refused(self.newer(), "suspended", 403)
        self.clock.advance(61)
        # It is over, and what was issued before is still void.
        self.refused(self.old)
        self.enter(self.newer())

    def test_a_deletion(self):
        self.ok("DELETE", self.user, key=KEY, status=204)
        for route in (0, 1):
            self.refused(self.old, route=route)
        self.assertNotEqual(self.enter(self.newer())["user_id"], self.mary)
        # Nor does an old one lead to the new account.
        self.refused(self.old)

    def test_a_deletion_is_remembered_for_longer_than_a_jwt_lasts(self):
        self.ok("DELETE", self.user, key=KEY, status=204)
        external = ExternalId(ISSUER, "mary")
        self.clock.advance(GONE_SECONDS - 60)
        self.assertGreater(self.successResultOf(self.store.external_ids.find(external)).gone, 0)
        self.clock.advance(120)
        self.assertEqual(self.successResultOf(self.store.external_ids.find(external)).gone, 0)

    def test_a_deletion_while_it_logs_in(self):
        find, seen = self.store.external_ids.find, []

        def first(external):
            found = self.successResultOf(find(external))
            if not seen:
                seen.append(found)
                self.successResultOf(Deferred.fromCoroutine(self.delete()))
            return succeed(found)

        self.patch(self.store.external_ids, "find", first)
        self.refused(self.old)

    async def delete(self):
        await self.store.credentials.delete(self.mary)

    def test_a_new_password(self):
        self.ok("PUT", f"{self.user}/password", {"password": PASSWORD}, key=KEY, status=204)
        self.refused(self.old)
        self.enter(self.newer())

    def test_clocks_that_differ(self):
        """Steady time may be behind what people see, and only the latter is in JWTs."""
        shown = self.store.clock.shown
        self.patch(self.store.clock, "shown", lambda: shown() + 3 * 86_400_000)
        seconds = int(self.clock.seconds()) + 3 * 86400

        def jwt(ago):
            return signed(claims(iat=seconds - ago, exp=seconds - ago + 600))

        self.refused(self.old, "unauthorized")
        login = self.enter(jwt(5), device="x")
        self.assertLessEqual(login["token_expires_in"], 595)
        self.assertGreater(login["token_expires_in"], 590)
        self.ok("POST", f"{self.user}/logout", key=KEY, status=204)
        self.refused(jwt(1))


class BoundTests(JWTCase):
    """What comes of a JWT."""

    def test_nothing_ends_later(self):
        login = self.enter(self.jwt(ago=0, lasts=40), device="phone")
        self.assertLessEqual(login["token_expires_in"], 40)
        client = self.connect_to(login)
        self.assertEqual(client.packets()[0].WhichOneof("body"), "welcome")
        again = self.enter(login["token"], device="web")
        self.assertLessEqual(again["token_expires_in"], 40)
        for _ in range(41):
            self.cluster.pass_seconds(1)
            client.ping()
        self.assertEqual(client.packets()[-1].goodbye.code, "unauthorized")
        for token in (login["token"], again["token"]):
            self.problem("GET", "/v1/groups", token=token, status=401, code="unauthorized")

    def test_nothing_may_do_more(self):
        bob = self.account("bob")
        login = self.enter(self.jwt(cim_scope="read"), device="phone")
        again = self.enter(login["token"], device="web")
        for token in (login["token"], again["token"]):
            self.ok("GET", "/v1/conversations", token=token)
            body = {"to_user": bob.id, "text": "hi", "client_id": "1"}
            self.problem("POST", "/v1/messages", body, token=token, status=403, code="forbidden")
        client = self.connect_to(again)
        client.packets()
        client.send(bob.id, "hi", "c")
        self.assertEqual(client.packets()[-1].failure.code, "forbidden")
        self.refused(self.jwt(cim_scope="send"), "forbidden", 403)
        self.refused(self.jwt(cim_scope="fly"), "forbidden", 403)

    def test_it_opens_nothing_but_a_login(self):
        jwt = self.jwt()
        for method, path in (("GET", "/v1/groups"), ("DELETE", "/v1/token"), ("GET", "/v1/admin/users")):
            self.problem(method, path, token=jwt, status=401, code="unauthorized")
        self.problem("POST", "/v1/sessions", {}, key=jwt, status=401, code="unauthorized")
        status, _, _ = self.call("POST", "/v1/sessions", {}, headers=[f"Cookie: cim-8083={jwt}"])
        self.assertEqual(status, 400)

    def test_what_is_refused(self):
        for jwt in (
            self.jwt(number=1),
            self.jwt(aud="other"),
            self.jwt(iss="https://evil.example"),
            self.jwt(ago=700),
            self.jwt(lasts=3601),
            self.jwt(ago=-20),
            self.jwt() + "A",
            self.jwt()[:-4],
        ):
            self.refused(jwt)
        self.assertEqual(self.ok("GET", "/v1/admin/users", key=KEY)["users"], [])

    def test_keys_that_cannot_be_had(self):
        async def fail(text):
            raise Unavailable("the keys cannot be had now")

        self.patch(self.v1.subjects._issuers, "check", fail)
        self.refused(self.jwt(), "unavailable", 503)

    def test_wrong_ones_are_limited(self):
        """By the address that makes the calls, before anything is checked."""
        self.cluster.routes[0].rates._buckets["address-calls"] = Buckets(Limit(0.5, 3))
        statuses = [self.call("POST", "/v1/sessions", {}, token=self.jwt(number=1))[0] for _ in range(5)]
        self.assertEqual(statuses, [401, 401, 401, 429, 429])


class TokenTests(JWTCase):
    """Our own tokens, where there are issuers."""

    def test_they_log_in_as_ever(self):
        self.account("alice")
        token = self.log_in("alice")["token"]
        self.enter(token)
        self.clock.advance(KEPT_SECONDS)
        self.enter(token)
