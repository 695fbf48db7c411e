"""A client without a network, driven by its test."""

from __future__ import annotations

from attrs import evolve

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed

from cim.client.values import Group, Kind, Member, Message, Sent, State, User
from cim.errors import NotFound
from cim.model import FOREVER
from cim.wire.positions import parse


class FakeClient(Service):
    """Answers at once, and gives sent messages back to its listeners, as a real client does.

    :ivar calls: (name, arguments) of each call that changes something, in order
    :ivar errors: method name -> the error that its calls fail with
    :ivar held: while this is a list, as before the login, sends wait there as (Deferred, result)
    """

    def __init__(self, name="alice", id=1000):
        self.me = User(id, name)
        self.state = State.CONNECTING
        self.listeners = []
        self.calls = []
        self.errors = {}
        self.held = []
        self.people = {}
        self.online_now = []
        self.talks = []
        self.said = []
        self.blocked = {}
        self.muted = {}
        self.invited = []
        self.direct = False
        self.my_groups = {}
        self.in_groups = {}
        self.banned = []
        self.paused = False
        self.echoes = True
        self._whens = []
        self._whens_closed = []
        self._n = 0

    # Called by tests

    def become(self, state, reason=""):
        self.state = state
        if state is State.READY:
            whens, self._whens = self._whens, []
            for when in whens:
                when.callback(None)
        self.tell("state", state, reason)

    def refuse(self, error):
        self.state = State.CLOSED
        self.tell("state", State.CLOSED, error.message)
        whens, self._whens, self._whens_closed = self._whens + self._whens_closed, [], []
        for when in whens:
            when.errback(error)

    def ready(self):
        self.become(State.READY, f"logged in as {self.me.name} (id {self.me.id})")
        self.release()

    def tell(self, what, *arguments):
        for listener in tuple(self.listeners):
            if hasattr(listener, what):
                getattr(listener, what)(self, *arguments)

    def position(self):
        self._n += 1
        return f"1-{self._n}"

    def private(self, user):
        return f"p:{min(user, self.me.id)}:{max(user, self.me.id)}"

    def push(self, sender, name, text, *, group=None, **kwargs):
        conversation = self.private(sender) if group is None else f"g:{group}"
        self.people.setdefault(name, sender)
        kwargs.setdefault("sent_at", 1_700_000_000_000)
        kwargs.setdefault("position", self.position())
        message = Message(conversation, sender=User(sender, name), text=text, group=group or 0, **kwargs)
        self.said.append(message)
        self.tell("received", message)
        return message

    def _answer(self, name, *arguments, result=None):
        self.calls.append((name, *arguments))
        if name in self.errors:
            return fail(self.errors[name])
        return succeed(result)

    # The calls of a Client

    def add_listener(self, listener):
        self.listeners.append(listener)

    def remove_listener(self, listener):
        if listener in self.listeners:
            self.listeners.remove(listener)

    def when_ready(self):
        if self.state is State.READY:
            return succeed(None)
        self._whens.append(Deferred())
        return self._whens[-1]

    def when_closed(self):
        self._whens_closed.append(Deferred())
        return self._whens_closed[-1]

    def pause_receiving(self):
        self.paused = True

    def resume_receiving(self):
        self.paused = False

    def close(self):
        return self._answer("close")

    def send(self, to, text, *, data=b"", content_type="", client_id=""):
        self.calls.append(("send", to, text))
        if "send" in self.errors:
            return fail(self.errors["send"])
        conversation = to if isinstance(to, str) else self.private(to)
        message = Message(
            conversation,
            self.position(),
            self.me,
            1_700_000_000_000,
            text,
            client_id=client_id,
            group=int(conversation[2:]) if conversation[0] == "g" else 0,
            mine=True,
        )
        sent = Sent(client_id, conversation, message.position, message.sent_at)
        if self.held is not None:
            self.held.append((Deferred(), message, sent))
            return self.held[-1][0]
        return succeed(self._accept(message, sent))

    def release(self):
        held, self.held = self.held or (), None
        for waiting, message, sent in held:
            waiting.callback(self._accept(message, sent))

    def _accept(self, message, sent):
        self.said.append(message)
        if self.echoes:
            self.tell("received", message)
        return sent

    def report(self, conversation, position, reason=""):
        return self._answer("report", conversation, position, reason)

    def recall(self, conversation, position):
        return self._answer("recall", conversation, position)

    def edit(self, conversation, position, text):
        return self._answer("edit", conversation, position, text)

    def react(self, conversation, position, text):
        return self._answer("react", conversation, position, text)

    def mark_read(self, conversation, position=""):
        self.calls.append(("mark_read", conversation, position))

    def typing(self, to):
        self.calls.append(("typing", to))

    def watch(self, users):
        self.calls.append(("watch", list(users)))

    def conversations(self):
        return self._answer("conversations", result=self.talks)

    def history(self, conversation, before="", limit=50, *, after="", revisions=True):
        found = [one for one in self.said if one.conversation == conversation and one.kind is Kind.TEXT]
        if after:
            found = [one for one in found if parse(one.position) > parse(after)][:limit]
        return self._answer("history", conversation, limit, result=found[-limit:])

    def search(self, text, limit=50):
        found = [one for one in reversed(self.said) if text in one.text]
        return self._answer("search", text, result=found[:limit])

    def user(self, who):
        for name, id in {**self.people, self.me.name: self.me.id}.items():
            if who in (name, id):
                return succeed(User(id, name))
        return fail(NotFound("there is no such user"))

    def find(self, prefix):
        found = [User(id, name) for name, id in sorted(self.people.items()) if name.startswith(prefix)]
        return self._answer("find", prefix, result=found[:10])

    def online(self, prefix="", after="", limit=100):
        found = sorted((user for user in self.online_now if user.name.startswith(prefix)), key=lambda user: user.name)
        page = [user for user in found if user.name > after][:limit]
        return self._answer("online", prefix, result=(page, len(found)))

    def change_password(self, new, current=""):
        return self._answer("change_password", new, current)

    def block(self, user):
        self.blocked[user] = None
        return self._answer("block", user)

    def unblock(self, user):
        self.blocked.pop(user, None)
        return self._answer("unblock", user)

    def blocks(self):
        names = {id: name for name, id in self.people.items()}
        return self._answer("blocks", result=[User(id, names.get(id, str(id))) for id in self.blocked])

    def mute_conversation(self, conversation, until=FOREVER):
        self.muted[conversation] = until
        return self._answer("mute_conversation", conversation, until)

    def unmute_conversation(self, conversation):
        if self.muted.pop(conversation, None) is None:
            return fail(NotFound("you do not mute this conversation"))
        return self._answer("unmute_conversation", conversation)

    def muted_conversations(self):
        return self._answer("muted_conversations", result=dict(self.muted))

    def groups(self):
        return self._answer("groups", result=list(self.my_groups.values()))

    def create_group(self, name, *, open=False, history=False):
        group = Group(len(self.my_groups) + 1, name, open, history, 1)
        self.my_groups[group.id] = group
        self.in_groups[group.id] = [Member(self.me, "owner")]
        return self._answer("create_group", name, open, history, result=group)

    def rename_group(self, group, name):
        self.my_groups[group] = evolve(self.my_groups[group], name=name)
        return self._answer("rename_group", group, name, result=self.my_groups[group])

    def join(self, group):
        self.my_groups.setdefault(group, Group(group, f"group {group}", True, False, 2))
        return self._answer("join", group)

    def leave(self, group):
        self.my_groups.pop(group, None)
        return self._answer("leave", group)

    def invite(self, group, user, role="member"):
        return self._answer("invite", group, user, role, result=self.direct)

    def invitations(self):
        return self._answer("invitations", result=list(self.invited))

    def accept(self, group):
        self.my_groups.setdefault(group, Group(group, f"group {group}", False, False, 2))
        return self._answer("accept", group)

    def decline(self, group):
        return self._answer("decline", group)

    def remove(self, group, user):
        return self._answer("remove", group, user)

    def edit_group(self, group, *, name=None, open=None, history=None):
        was = self.my_groups[group]
        self.my_groups[group] = evolve(
            was, open=was.open if open is None else open, history=was.history if history is None else history
        )
        return self._answer("edit_group", group, open, history, result=self.my_groups[group])

    def mute(self, group, user=0, seconds=None):
        until = 0 if seconds is None else 1_700_000_000_000
        return self._answer("mute", group, user, seconds, result=until)

    def unmute(self, group, user=0):
        return self._answer("unmute", group, user)

    def ban(self, group, user):
        return self._answer("ban", group, user)

    def unban(self, group, user):
        return self._answer("unban", group, user)

    def bans(self, group):
        return self._answer("bans", group, result=self.banned)

    def dissolve(self, group):
        return self._answer("dissolve", group)

    def members(self, group):
        return self._answer("members", group, result=self.in_groups.get(group, []))
