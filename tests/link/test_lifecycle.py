"""The states of a link's connection: what each input does in each, without a connection."""

from __future__ import annotations

from automat import NoTransition

from twisted.trial.unittest import SynchronousTestCase

from cim.link.lifecycle import lifecycle

INPUTS = ("proven", "broken", "late", "lose", "drained", "abort", "replace", "lost")
REASONED = {"broken", "lose", "abort", "replace", "lost"}

#: The inputs that lead to each state; the reasons that they give are "first".
WAYS = {
    "unproven": (),
    "up": ("proven",),
    "draining": ("proven", "lose"),
    "closing": ("proven", "lose", "drained"),
    "dismissed": ("broken",),
    "gone": ("broken", "lost"),
}
#: What each input does in each state, and where it leads; an input that is not listed cannot occur in that state.
TABLE = {
    "unproven": {
        "proven": ("up", "open"),
        "broken": ("dismissed", ("tell_refused", "why"), "dismiss"),
        "late": ("dismissed", ("tell_refused", "the handshake did not end in time"), "cut"),
        "lose": ("dismissed", "cut"),
        "abort": ("dismissed", "cut"),
        "lost": ("gone", ("tell_refused", "why"), "tell_gone"),
    },
    "up": {
        "broken": ("closing", "cut"),
        "lose": ("draining", "drain"),
        "abort": ("closing", "cut"),
        "replace": ("dismissed", "cut", ("tell_down", "why")),
        "lost": ("gone", ("tell_down", "why"), "tell_gone"),
    },
    "draining": {
        "broken": ("closing", "cut"),
        "late": ("closing", "cut"),
        "lose": ("draining",),
        "drained": ("closing", "finish"),
        "abort": ("closing", "cut"),
        "replace": ("dismissed", "cut", ("tell_down", "first")),
        "lost": ("gone", ("tell_down", "first"), "tell_gone"),
    },
    "closing": {
        "late": ("closing", "cut"),
        "lose": ("closing",),
        "abort": ("closing", "cut"),
        "replace": ("dismissed", "cut", ("tell_down", "first")),
        "lost": ("gone", ("tell_down", "first"), "tell_gone"),
    },
    "dismissed": {
        "late": ("dismissed", "cut"),
        "lose": ("dismissed", "cut"),
        "abort": ("dismissed", "cut"),
        "lost": ("gone", "tell_gone"),
    },
    "gone": {
        "lose": ("gone",),
        "abort": ("gone",),
    },
}


class Connection:
    """Records what was done to it and who was told."""

    def __init__(self):
        self.did = []

    def __getattr__(self, name):
        return lambda *reason: self.did.append((name, *reason) if reason else name)


def say(machine, what, reason):
    """Give a machine an input."""
    getattr(machine, what)(*[reason] if what in REASONED else [])


class LifecycleTests(SynchronousTestCase):
    def done(self, way, what):
        """Return what an input does after those of a way; None if it cannot occur."""
        connection = Connection()
        machine = lifecycle(connection)
        for before in way:
            say(machine, before, "first")
        connection.did.clear()
        try:
            say(machine, what, "why")
        except NoTransition:
            return None
        return tuple(connection.did)

    def kind(self, way):
        """Return what identifies the state after those inputs: what each input does then, apart from the reasons."""
        return [done and [act if isinstance(act, str) else act[0] for act in done] for done in self.after(way)]

    def after(self, way):
        return [self.done(way, what) for what in INPUTS]

    def test_every_input_in_every_state(self):
        for state, row in TABLE.items():
            for what in INPUTS:
                done = self.done(WAYS[state], what)
                self.assertEqual(done, row[what][1:] if what in row else None, f"{what} in {state}")

    def test_where_each_input_leads(self):
        kinds = {state: self.kind(way) for state, way in WAYS.items()}
        for state, row in TABLE.items():
            for what, (to, *_) in row.items():
                kind = self.kind((*WAYS[state], what))
                self.assertEqual([name for name in kinds if kinds[name] == kind], [to], f"{what} in {state}")

    def test_the_first_reason_is_told(self):
        connection = Connection()
        machine = lifecycle(connection)
        machine.proven()
        machine.abort("silent")
        machine.abort("too slow")
        machine.lost("connection aborted")
        self.assertEqual(connection.did, ["open", "cut", "cut", ("tell_down", "silent"), "tell_gone"])

    def test_what_the_user_does_when_told_takes_effect_afterwards(self):
        connection = Connection()
        machine = lifecycle(connection)
        machine.proven()
        connection.tell_down = lambda reason: (connection.did.append("tell_down"), machine.abort("again"))
        machine.lost("gone")
        self.assertEqual(connection.did, ["open", "tell_down", "tell_gone"])
