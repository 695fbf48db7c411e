"""Clients that log in with the tokens of a back end."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from cim.client.history import MemoryHistory
from cim.client.values import State, Token
from cim.errors import Forbidden, Unauthorized, Unavailable
from cim.user_tokens import ALL, UserScope
from tests.client.client_case import ClientCase


class OwnUsersTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.mary = self.account("mary")
        self.asked = []

    def account(self, name):
        return self.successResultOf(self.cluster.store.credentials.create(name, ""))

    def token(self, account=None, seconds=3600, scopes=ALL):
        made = self.v1.tokens.make(account or self.mary, seconds, "", scopes, 0)
        kept, text = self.successResultOf(Deferred.fromCoroutine(made))
        self.made = kept
        return text

    def fresh(self):
        """Return a new token, as a back end does."""
        self.asked.append(self.clock.seconds())
        return succeed(self.token(seconds=30))

    def test_a_token(self):
        mary, bob = self.online("mary", Token(self.token())), self.online("bob")
        self.assertEqual((mary.me.id, mary.me.name), (self.mary.id, "mary"))
        self.result(mary.send(bob.me, "hello"))
        self.assertEqual(bob.heard.texts, ["hello"])
        self.assertFalse(mary.proven)

    def test_it_is_in_no_text(self):
        self.assertNotIn("secret", repr(Token("secret")))

    def test_one_that_has_ended_ends_the_client(self):
        mary = self.online("mary", Token(self.token(seconds=20)))
        self.wait(25)
        self.assertIs(mary.state, State.CLOSED)
        self.failureResultOf(mary.when_closed(), Unauthorized)

    def test_a_fresh_one_when_it_has_ended(self):
        mary, bob = self.online("mary", Token(self.fresh)), self.online("bob")
        self.assertEqual(len(self.asked), 1)
        for number in range(3):
            self.wait(31)
            self.assertIs(mary.state, State.READY)
            self.result(mary.send(bob.me, f"{number}"))
        self.assertEqual(bob.heard.texts, ["0", "1", "2"])
        self.assertGreaterEqual(len(self.asked), 3)
        # Not more often than tokens end.
        self.assertLessEqual(len(self.asked), 5)

    def test_what_it_led_to_is_used_first(self):
        mary = self.online("mary", Token(self.fresh))
        for wire in list(self.network.wires):
            if wire.open:
                wire.cut()
        self.wait(5)
        self.assertIn(State.RECONNECTING, [state for state, _ in mary.heard.states])
        self.assertIs(mary.state, State.READY)
        self.assertEqual(len(self.asked), 1)

    def test_nobody_who_gives_one(self):
        """It is asked again and again."""
        for error in (Unavailable("the shop is closed"), ZeroDivisionError("boom")):
            answers = [lambda error=error: fail(error), self.fresh]
            mary = self.make("mary", Token(lambda answers=answers: answers.pop(0)()), device=str(error))
            mary.startService()
            self.turn()
            self.assertIn(str(error), str(mary.heard.states))
            self.wait(2)
            self.assertIs(mary.state, State.READY)
        answers = [self.fresh, lambda: fail(OSError("no network")), self.fresh]
        mary = self.online("mary", Token(lambda: (answers.pop(0) if answers else self.fresh)()))
        self.wait(40)
        self.assertIs(mary.state, State.READY)
        self.assertIn("no network", str(mary.heard.states))
        self.assertEqual(answers, [])

    def test_one_that_is_no_good(self):
        for token in ("x", "", self.token() + "x"):
            mary = self.make("mary", Token(token))
            mary.startService()
            self.turn()
            self.failureResultOf(mary.when_ready(), Unauthorized)
        mary = self.make("mary", Token(self.token(scopes=frozenset((UserScope.SEND,)))))
        mary.startService()
        self.turn()
        self.failureResultOf(mary.when_ready(), Forbidden)

    def test_one_that_is_revoked(self):
        mary = self.online("mary", Token(self.fresh))
        self.successResultOf(Deferred.fromCoroutine(self.v1.tokens.revoke_made(self.mary.id, self.made.id)))
        ending = Deferred.fromCoroutine(self.cluster.routes[0].logins.end_issued(self.mary.id, self.made.id))
        self.turn()
        self.assertEqual(self.successResultOf(ending), 1)
        self.wait(1)
        # Nobody logs in again unasked.
        self.assertIs(mary.state, State.CLOSED)
        self.assertEqual(len(self.asked), 1)

    def test_what_it_may_not_do(self):
        mary = self.online("mary", Token(self.token(scopes=frozenset((UserScope.READ,)))))
        bob = self.online("bob")
        sending = mary.send(bob.me, "hello")
        self.turn()
        self.failureResultOf(sending, Forbidden)
        self.assertIs(mary.state, State.READY)

    def test_the_history_of_somebody_else(self):
        history = MemoryHistory()
        self.successResultOf(Deferred.fromCoroutine(self.begun(history)))
        mary = self.make("mary", Token(self.token()), history=history)
        mary.startService()
        self.turn()
        self.assertIn("another user", str(self.failureResultOf(mary.when_ready(), Unauthorized).value))

    async def begun(self, history):
        await history.open()
        await history.set_fact("id", str(self.mary.id + 1))
