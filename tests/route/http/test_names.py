"""Names at every door through which accounts and groups get them (docs/security.md, Names)."""

from __future__ import annotations

from twisted.internet.defer import succeed

from cim.route.http.upstream import UpstreamAPI
from tests.route.http.api_case import PASSWORD, APICase
from tests.test_names import REFUSED, TAKEN

#: Names that look the same.
TWINS = (
    ("Alice", "alice"),
    ("\u00e9va", "e\u0301va"),
    ("Ａnna", "anna"),
    ("a b", "a\u00a0b"),
    ("❤\ufe0f", "❤"),
    ("👨\u200d👩", "👨👩"),
)


class NamesCase(APICase):
    def beside(self, route):
        return (UpstreamAPI(route, route.store.accounts, self.metrics),)

    def upstream(self, path, **fields):
        """Make a call of upstream's API; return the code, the message and the data of the answer."""
        status, _, said = self.call("POST", path, fields)
        self.assertEqual(status, 200)
        return said["code"], said["message"], said["dataBody"]

    def register(self, name):
        return self.upstream("/registerAccount", userName=name)


class NewNamesTests(NamesCase):
    def test_names_that_people_have(self):
        names = {form: name for name, form in TAKEN.items()}.values()
        for number, name in enumerate(names):
            if number % 2:
                self.assertEqual(self.account(name).name, name)
            else:
                code, _, made = self.register(name)
                self.assertEqual((code, made["userName"]), ("9000", name))

    def test_names_that_nobody_may_be_given(self):
        alice = self.user("alice")
        group = self.ok("POST", "/v1/groups", {"name": "friends"}, **self.by(alice), status=201)
        for name, reason in REFUSED.items():
            code, message, made = self.register(name)
            self.assertEqual((code, made), ("3000", None), ascii(name))
            self.assertIn(reason, message)
            self.assertIn("userName", message)
            for method, path, body in (
                ("POST", "/v1/accounts", {"name": name, "password": PASSWORD}),
                ("POST", "/v1/groups", {"name": name}),
                ("PATCH", f"/v1/groups/{group['id']}", {"name": name}),
            ):
                problem = self.problem(method, path, body, **self.by(alice), status=400, code="invalid")
                self.assertEqual(problem["field"], "name")
                self.assertIn(reason, problem["detail"])
        self.assertEqual(self.ok("GET", f"/v1/groups/{group['id']}", **self.by(alice))["name"], "friends")

    def test_twins(self):
        for first, second in TWINS:
            with_password = self.account(first)
            problem = self.problem(
                "POST", "/v1/accounts", {"name": second, "password": PASSWORD}, status=409, code="conflict"
            )
            self.assertIn("looks like that of another account: choose another", problem["detail"])
            code, message, made = self.register(second)
            self.assertEqual((code, made), ("3000", None))
            self.assertIn("userName looks like the name of another account: choose another", message)
            self.assertEqual(self.successResultOf(self.store.accounts.known_as(second)), with_password)

    def test_twins_of_a_guest(self):
        for first, second in TWINS:
            _, _, made = self.register(first)
            self.problem("POST", "/v1/accounts", {"name": second, "password": PASSWORD}, status=409, code="conflict")
            self.assertEqual(self.register(second)[0], "3000")
            # The guest is answered as ever.
            self.assertEqual(self.register(first), ("9000", "Success", made))

    def test_a_twin_made_at_the_same_time(self):
        """The store decides, whatever was looked up before."""
        self.account("alice")
        self.patch(self.store.accounts, "named", lambda name: succeed(None))
        self.problem("POST", "/v1/accounts", {"name": "ALICE", "password": PASSWORD}, status=409, code="conflict")
        self.assertEqual(self.register("ALICE")[0], "3000")

    def test_groups_may_have_the_same_name(self):
        alice = self.user("alice")
        for name in ("friends", "Friends", "alice"):
            self.ok("POST", "/v1/groups", {"name": name}, **self.by(alice), status=201)


class OldNamesTests(NamesCase):
    """Accounts keep the names that an earlier release let them have."""

    def test_a_guest(self):
        for name in ("al\u200bice", " alice", "\u3164", "p\u0430ypal", "a\u2028b"):
            old = self.successResultOf(self.store.accounts.register(name))
            code, _, made = self.register(name)
            self.assertEqual((code, made), ("9000", {"userId": old.id, "userName": name}))
            code, _, place = self.upstream("/login", userId=old.id, userName=name)
            self.assertEqual((code, place["ip"]), ("9000", "127.0.0.1"))

    def test_with_a_password(self):
        hashed = self.successResultOf(self.store.credentials.credential(self.account("model").id)).password
        for name in ("al\u200bice", " alice", "\u3164"):
            old = self.successResultOf(self.store.credentials.create(name, hashed))
            self.assertEqual(self.log_in(name)["user_id"], old.id)
            self.assertEqual(self.log_in(name)["name"], name)
        # Nobody else is let in by what looks like it.
        self.problem(
            "POST", "/v1/sessions", {"name": "al\u2060ice", "password": PASSWORD}, status=401, code="unauthorized"
        )


class LogInTests(NamesCase):
    def test_a_name_that_looks_the_same(self):
        alice = self.account("Alice \u00e9")
        for name in ("Alice \u00e9", "alice e\u0301", "ALICE  \u00c9"):
            login = self.log_in(name, device="phone")
            self.assertEqual((login["user_id"], login["name"]), (alice.id, "Alice \u00e9"))
            again = self.ok("POST", "/v1/sessions", {"name": name, "device": "phone"}, token=login["token"], status=201)
            self.assertEqual(again["name"], "Alice \u00e9")
        self.problem("POST", "/v1/sessions", {"name": "bob"}, token=login["token"], status=403, code="forbidden")
        self.problem("POST", "/v1/sessions", {"name": "\u200b"}, token=login["token"], status=403, code="forbidden")

    def test_the_exact_name_comes_first(self):
        """Twins of an earlier release each have their own name, and only one has the form."""
        hashed = self.successResultOf(self.store.credentials.credential(self.account("model").id)).password
        older = self.successResultOf(self.store.credentials.create("alice", hashed))
        work = (
            "INSERT INTO account VALUES (5, 'Alice')",
            "INSERT INTO credential SELECT 5, password, 0 FROM credential LIMIT 1",
        )
        for statement in work:
            self.successResultOf(
                self.store.accounts._sqlite.write("test", lambda connection, what=statement: connection.execute(what))
            )
        self.assertEqual(self.log_in("Alice")["user_id"], 5)
        self.assertEqual(self.log_in("alice")["user_id"], older.id)
        self.assertEqual(self.log_in("aLICE")["user_id"], older.id)

    def test_wrong_passwords_count_for_the_account_whatever_the_name_looks_like(self):
        self.account("alice")
        for name in ("alice", "Alice", "ALICE", "aLice", "alIce", "aliCe", "alicE", "ALice", "ALIce", "ALICe"):
            self.problem(
                "POST", "/v1/sessions", {"name": name, "password": "wrong one"}, status=401, code="unauthorized"
            )
        self.problem("POST", "/v1/sessions", {"name": "alIcE", "password": PASSWORD}, status=429, code="rate-limited")


class WithPasswordTests(NamesCase):
    """What upstream's API, where nobody proves anything, tells of accounts with a password: nothing."""

    def test_their_names_tell_no_id(self):
        alice = self.account("alice")
        code, message, made = self.register("alice")
        self.assertEqual((code, made), ("9100", None))
        self.assertNotIn(str(alice.id), message)

    def test_nor_does_one_that_was_made_in_between(self):
        self.account("alice")
        self.patch(self.store.accounts, "named", lambda name: succeed(None))
        self.assertEqual(self.register("alice"), ("9100", "The User information you have used is incorrect!", None))

    def test_they_are_not_listed(self):
        self.account("alice")
        self.online("alice")
        guest = self.cluster.account("guest-one")
        self.cluster.log_in(guest)
        for method, body in (("GET", None), ("POST", {})):
            _, _, said = self.call(method, "/onlineUser", body)
            self.assertEqual(said["dataBody"], [{"userId": guest.id, "userName": "guest-one"}])
