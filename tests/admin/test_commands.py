"""Tests of the commands that call a route, on one in memory."""

from __future__ import annotations

import getpass
import io
import json
import sys

from twisted.internet.defer import Deferred, fail, succeed
from twisted.web.http_headers import Headers

from cim.admin.printing import Printing
from cim.admin.tap import Admin
from cim.client.routes import Routes
from cim.client.v1 import V1Calls
from cim.errors import CIMError, StoreUnavailable
from cim.model import LoginPolicy
from cim.web.calling import Answer
from tests.harness.spawning import private_file
from tests.route.http.api_case import KEY, PASSWORD, APICase


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self):
        return True


class CommandCase(APICase):
    def ask(self, method, url, body=None, token=""):
        """Make a call as HTTPCalls does."""
        path = url.removeprefix("http://127.0.0.1:8083")
        status, answered, said = self.call(method, path, body, token=token)
        headers = Headers({name: [value] for name in ("Content-Type", "Retry-After") if (value := answered[name])})
        return succeed(Answer(status, headers, b"" if said is None else json.dumps(said).encode()))

    def started(self, *arguments):
        """Run a command; return the Deferred of its end, and what it prints."""
        options = Admin({})
        options.parseOptions(arguments)
        command = options
        while command.subCommand is not None:
            command = command.subOptions
        v1 = V1Calls(self, Routes(self.clock, [command["route"]]))
        v1.token = KEY
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stderr", err)
        printing = Printing(out, err, json=bool(command["json"]))
        return Deferred.fromCoroutine(command.call(v1, printing)), out, err

    def run_command(self, *arguments):
        """Return what a command prints, and what it tells people beside that."""
        ended, out, err = self.started(*arguments)
        self.successResultOf(ended)
        return out.getvalue(), err.getvalue()

    def rows(self, *arguments):
        """Return what scripts get."""
        return [json.loads(line) for line in self.run_command(*arguments, "--json")[0].splitlines()]

    def failing(self, *arguments):
        ended, out, _ = self.started(*arguments)
        error = self.failureResultOf(ended, CIMError).value
        self.assertEqual(out.getvalue(), "")
        return str(error)

    def typed(self, text):
        self.patch(sys, "stdin", Terminal(text))


class StatusTests(CommandCase):
    servers = 2
    policy = LoginPolicy.MANY

    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")
        self.client = self.online("alice")

    def test_status(self):
        text, _ = self.run_command("status")
        first, *lines = text.splitlines()
        self.assertRegex(first, r"^127\.0\.0\.1:\d+:\d+, version \S+: ok, 1 online$")
        self.assertIn("store     ok", lines)
        self.assertEqual(sum(line.endswith(("linked  listed    0", "linked  listed    1")) for line in lines), 2)
        self.assertTrue(any(line.startswith("acknowledged  in memory") for line in lines), text)
        (said,) = self.rows("status")
        self.assertEqual((said["ok"], len(said["servers"])), (True, 2))
        self.store.available = False
        text, _ = self.run_command("status")
        self.assertIn(": failing, ", text)
        self.assertIn("store     the store in memory is away", text)

    def test_sessions(self):
        (session,) = self.rows("sessions")
        self.assertEqual((session["user"]["name"], session["device"]), ("alice", "phone"))
        self.assertEqual(self.rows("sessions", "--server", session["server"]), [session])
        self.assertEqual(self.rows("sessions", "--server", "nowhere"), [])
        heading, line = self.run_command("sessions")[0].splitlines()
        self.assertEqual(heading.split(), ["USER", "ID", "DEVICE", "SERVER"])
        self.assertEqual(line.split(), ["alice", str(self.alice.id), "phone", session["server"]])
        (record,) = self.rows("sessions", "alice")
        self.assertEqual((record["device"], record["live"], record["server"]), ("phone", True, session["server"]))
        self.assertIn("live", self.run_command("sessions", str(self.alice.id), "--id")[0])

    def test_kicking(self):
        self.assertIn("no session on this device", self.failing("kick", "alice", "--device", "desk"))
        token = self.log_in("alice", device="a/b ?")["token"]
        self.assertIn("is logged out on a/b ?", self.run_command("kick", "alice", "--device", "a/b ?")[1])
        self.ok("GET", "/v1/sessions", token=token)
        self.assertFalse(self.client.closed)
        self.run_command("kick", "alice")
        self.assertTrue(self.client.closed)
        self.problem("GET", "/v1/sessions", token=token, status=401, code="unauthorized")

    def test_nobody(self):
        self.assertEqual(self.failing("kick", "nobody"), 'there is no user "nobody"')
        self.assertEqual(self.failing("kick", "--id", "77"), "there is no user 77")


class UsersTests(CommandCase):
    def test_listing(self):
        alice = self.account("alice")
        self.account("bob")
        self.cluster.account("al\u202e the guest")
        self.online("alice")
        rows = self.rows("users", "list", "--prefix", "ali")
        unharmed = {"suspended": False, "ban": None, "mute": None}
        self.assertEqual(rows, [{"id": alice.id, "name": "alice", "password": True, "online": True, **unharmed}])
        self.assertEqual(len(self.rows("users", "list")), 3)
        text, _ = self.run_command("users", "list")
        self.assertNotIn("\u202e", text)
        self.assertRegex(text, rf"(?m)^alice +{alice.id}  password  online$")

    def test_making(self):
        path = self.mktemp()
        private_file(path, f"{PASSWORD}\n")
        (made,) = self.rows("users", "make", "alice", "--password-file", path)
        self.assertEqual(self.log_in("alice")["user_id"], made["id"])
        (made,) = self.rows("users", "make", "--generate", "bob")
        self.log_in("bob", made["password"])
        text, told = self.run_command("users", "make", "--generate", "carol")
        self.log_in("carol", text.strip())
        self.assertIn("carol (", told)
        self.assertIn("taken", self.failing("users", "make", "alice", "--password-file", path))
        self.assertIn("cannot be read", self.failing("users", "make", "x", "--password-file", "none"))
        self.patch(sys, "stdin", io.StringIO())
        self.assertIn("give --password-file", self.failing("users", "make", "dave"))

    def test_a_password_that_is_typed(self):
        self.account("alice")
        typed = iter([PASSWORD, PASSWORD + "x", "another password", "another password"])
        self.patch(getpass, "getpass", lambda prompt: next(typed))
        self.typed("")
        self.assertIn("nothing was done", self.failing("users", "password", "alice"))
        self.run_command("users", "password", "alice")
        self.log_in("alice", "another password")

    def test_showing(self):
        alice = self.account("alice")
        self.assertEqual(self.run_command("users", "show", "alice")[0], f"alice ({alice.id})\n")
        self.assertEqual(self.rows("users", "show", "--id", str(alice.id)), [{"id": alice.id, "name": "alice"}])

    def test_a_reset_link(self):
        alice = self.account("alice")
        code, told = self.run_command("users", "reset-link", "alice")
        self.assertIn(f"for alice ({alice.id}), once, until ", told)
        self.ok("POST", "/v1/password-resets", {"code": code.strip(), "password": "remembered"})
        self.log_in("alice", "remembered")
        link = "https://chat.example.com/reset"
        (made,) = self.rows("users", "reset-link", "alice", "--url", link)
        self.assertEqual(made["link"], f"{link}#code={made['code']}")
        self.ok("POST", "/v1/password-resets", {"code": made["code"], "password": PASSWORD})

    def test_blocking(self):
        alice = self.account("alice")
        self.online("alice")
        self.assertEqual(self.failing("users", "block", "alice"), f"block alice ({alice.id})? Say so with --yes")
        _, told = self.run_command("users", "block", "alice", "--yes")
        self.assertEqual(told, f"alice ({alice.id}) is blocked; all sessions have ended\n")
        self.assertRegex(self.run_command("users", "list")[0], rf"(?m)^alice +{alice.id}  banned *$")
        _, told = self.run_command("users", "unblock", "alice")
        self.assertEqual(told, f"alice ({alice.id}) may log in again\n")
        self.online("alice")
        self.assertIn("not banned", self.failing("users", "unblock", "alice"))

    def test_deleting(self):
        alice = self.account("alice")
        self.patch(sys, "stdin", io.StringIO("y\n"))
        self.assertEqual(self.failing("users", "delete", "alice"), f"delete alice ({alice.id})? Say so with --yes")
        for answer in ("\n", "n\n", ""):
            self.typed(answer)
            self.assertEqual(self.failing("users", "delete", "alice"), "nothing was done")
        self.typed("y\n")
        self.run_command("users", "delete", "alice")
        self.assertIn("no user", self.failing("users", "show", "alice"))
        bob = self.account("bob")
        self.run_command("users", "delete", "--yes", "--id", str(bob.id))
        self.assertIn("no user", self.failing("users", "show", "bob"))


class GroupsTests(CommandCase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")
        body = {"name": "friends", "open": True}
        self.group = self.ok("POST", "/v1/groups", body, **self.by(self.alice), status=201)["id"]

    def members(self):
        return {one["user"]["id"]: one["role"] for one in self.rows("groups", "members", f"g:{self.group}")}

    def test_listing(self):
        text, _ = self.run_command("groups", "list")
        heading, line = text.splitlines()
        self.assertEqual(heading.split(), ["GROUP", "NAME", "MEMBERS", "ENTRY", "HISTORY"])
        self.assertEqual(line.split(), [f"g:{self.group}", "friends", "1", "open", "from", "joining", "on"])
        self.assertEqual(self.run_command("groups", "show", str(self.group))[0], text)
        (row,) = self.rows("groups", "list")
        self.assertEqual((row["id"], row["open"]), (self.group, True))

    def test_members(self):
        _, told = self.run_command("groups", "add", str(self.group), "bob")
        self.assertEqual(told, f"bob ({self.bob.id}) is a member of g:{self.group}\n")
        self.run_command("groups", "add", str(self.group), "bob", "--owner")
        self.run_command("groups", "remove", str(self.group), "alice")
        self.assertEqual(self.members(), {self.bob.id: "owner"})
        text, _ = self.run_command("groups", "members", str(self.group))
        self.assertEqual(text.splitlines()[1].split(), ["bob", str(self.bob.id), "owner"])
        self.run_command("groups", "add", "--admin", str(self.group), str(self.alice.id), "--id")
        self.assertEqual(self.members(), {self.bob.id: "owner", self.alice.id: "admin"})
        self.assertIn("owner first", self.failing("groups", "remove", str(self.group), "bob"))

    def test_moderation(self):
        group, bob = str(self.group), f"bob ({self.bob.id})"
        (row,) = self.rows("groups", "set", group, "--closed", "--history")
        self.assertEqual((row["open"], row["history"]), (False, True))
        self.run_command("groups", "add", group, "bob")
        for arguments, said in (
            (("mute", group, "bob"), f"{bob} is muted in g:{group} until somebody ends it"),
            (("mute", group, "bob", "--minutes", "5"), f"{bob} is muted in g:{group} until 20"),
            (("unmute", group, "bob"), f"{bob} may write in g:{group} again"),
            (("mute-all", group), f"only admins and owners write in g:{group} until somebody ends it"),
            (("unmute-all", group), f"all members may write in g:{group} again"),
            (("ban", group, "bob"), f"{bob} is banned from g:{group}"),
        ):
            self.assertTrue(self.run_command("groups", *arguments)[1].startswith(said), arguments)
        self.assertIn("banned", self.failing("groups", "add", group, "bob"))
        text, _ = self.run_command("groups", "bans", group)
        self.assertEqual(text.splitlines()[1].split()[:4], ["bob", str(self.bob.id), "an", "operator"])
        self.run_command("groups", "unban", group, "bob")
        self.assertIn("not banned", self.failing("groups", "unban", group, "bob"))

    def test_renaming_and_deleting(self):
        self.assertEqual(self.rows("groups", "rename", str(self.group), "old friends")[0]["name"], "old friends")
        self.typed("y\n")
        _, told = self.run_command("groups", "delete", str(self.group))
        self.assertEqual(
            told,
            f"delete g:{self.group} old friends, which has 1 member, and its messages? [y/N] "
            f"g:{self.group} old friends is deleted\n",
        )
        self.assertIn("no such group", self.failing("groups", "show", str(self.group)))


class UserDataTests(CommandCase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")
        self.talk = f"p:{self.alice.id}:{self.bob.id}"
        group = self.ok("POST", "/v1/groups", {"name": "friends"}, **self.by(self.bob), status=201)["id"]
        self.ok("PUT", f"/v1/groups/{group}/members/{self.alice.id}", key=KEY, status=201)
        for sender, to in (
            (self.alice, {"to_user": self.bob.id}),
            (self.bob, {"to_user": self.alice.id}),
            (self.bob, {"to_group": group}),
        ):
            body = {"client_id": f"c-{next(self.ids)}", "text": f"{sender.name} says so", **to}
            self.ok("POST", "/v1/messages", body, **self.by(sender), status=201)
        self.group = f"g:{group}"

    def test_export(self):
        lines = [json.loads(line) for line in self.run_command("users", "export", "alice")[0].splitlines()]
        self.assertEqual((lines[0]["type"], lines[0]["name"]), ("user", "alice"))
        self.assertEqual(
            sorted((one["type"], one["conversation"], one["text"]) for one in lines[1:]),
            [
                ("message", self.group, "bob says so"),
                ("message", self.talk, "alice says so"),
                ("message", self.talk, "bob says so"),
            ],
        )

    def test_erase(self):
        self.typed("n\n")
        self.assertEqual(self.failing("users", "erase", "alice"), "nothing was done")
        self.typed("y\n")
        said, asked = self.run_command("users", "erase", "alice")
        self.assertEqual(said, f"alice ({self.alice.id}) is erased, with 1 message\n")
        self.assertIn(f"erase alice ({self.alice.id}) and all that was said? [y/N]", asked)
        self.assertIn("there is no user", self.failing("users", "erase", "alice", "--yes"))
        self.assertNotIn("alice says so", self.run_command("users", "export", "bob")[0])

    def test_erase_goes_on_where_it_failed(self):
        """The name is gone by then, so that the user has to be named in another way."""
        self.patch(self.store.conversations, "spoken", lambda user, cursor: fail(StoreUnavailable()))
        said = self.failing("users", "erase", "alice", "--yes")
        self.assertIn(f"go on by the id: {self.alice.id} --id", said)
        self.assertIn("there is no user", self.failing("users", "erase", "alice", "--yes"))

    def test_erase_who_was_deleted_before(self):
        self.run_command("users", "delete", "alice", "--yes")
        (row,) = self.rows("users", "erase", str(self.alice.id), "--id", "--yes")
        self.assertEqual((row["id"], row["messages"]), (self.alice.id, 1))
