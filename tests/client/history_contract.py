"""Tests of what every history promises (cim.client.iclient.IHistory), to mix into a case that supplies one."""

from __future__ import annotations

import itertools

from attrs import evolve

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.client.iclient import IHistory
from cim.client.values import Kind, Message, User, Waiting
from cim.errors import InvalidField

BOB = User(1002, "bob")
TALK = "p:1001:1002"
EPOCH = 1_795_000_000_000


def said(text, n, conversation=TALK, **more):
    return Message(conversation, f"{EPOCH}-{n}" if n else "", BOB, EPOCH + n, text, **more)


def at(n):
    return f"{EPOCH}-{n}"


class HistoryContract:
    """Mix into a TestCase whose `setUp` makes `self.history`, open, and whose `await_` returns results."""

    def texts(self, conversation=TALK, **more):
        return [message.text for message in self.await_(self.history.page(conversation, **more))]

    def add(self, *messages, **places):
        self.await_(self.history.add(messages, places))

    def found(self, text, **more):
        return [message.text for message in self.await_(self.history.search(text, **more))]

    def test_it_provides_the_interface(self):
        verifyObject(IHistory, self.history)

    def test_an_empty_history(self):
        self.assertEqual(self.await_(self.history.places()), {})
        self.assertEqual(list(self.await_(self.history.waiting())), [])
        self.assertEqual(self.await_(self.history.facts()), {})
        self.assertEqual(self.texts(), [])
        self.assertEqual(self.found("x"), [])

    def test_a_message_comes_back_unchanged(self):
        message = Message(
            conversation="g:7",
            position=at(3),
            sender=User(1001, "ä\u202e爱丽丝"),
            sent_at=EPOCH,
            text="a\0b\n👩‍👩‍👧 'quoted' \"twice\"",
            data=b"\0\xff",
            content_type="image/png",
            kind=Kind.REACTION,
            ref=at(1),
            client_id="c-1",
            group=7,
            mine=True,
        )
        self.add(message)
        self.assertEqual(list(self.await_(self.history.page("g:7"))), [message])

    def test_text_that_utf_8_cannot_encode_is_stored_with_replacements(self):
        self.add(said("before \ud800 after", 1))
        self.assertEqual(self.texts(), ["before ? after"])
        self.assertEqual(self.found("\ud800"), [])

    def test_places_move_and_stay(self):
        self.add(said("one", 1), **{TALK: at(1), "g:7": ""})
        self.assertEqual(self.await_(self.history.places()), {TALK: at(1), "g:7": ""})
        self.add(**{TALK: at(9)})
        self.assertEqual(self.await_(self.history.places()), {TALK: at(9), "g:7": ""})

    def test_a_message_without_a_place_moves_none(self):
        self.add(said("one", 1))
        self.assertEqual(self.await_(self.history.places()), {})

    def test_messages_and_places_are_stored_together_or_not_at_all(self):
        bad = evolve(said("bad", 2), position="nonsense")
        adding = self.history.add([said("one", 1), bad], {TALK: at(2)})
        self.await_failure(adding, InvalidField)
        self.assertEqual(self.texts(), [])
        self.assertEqual(self.found("one"), [])
        self.assertEqual(self.await_(self.history.places()), {})

    def test_the_same_message_is_stored_once(self):
        self.add(said("one", 1), said("one", 1))
        self.add(said("other", 1), said("one", 1, "g:7"))
        self.assertEqual(self.texts(), ["one"])
        self.assertEqual(self.found("one"), ["one", "one"])
        self.assertEqual(self.found("other"), [])

    def test_messages_without_a_position_are_all_stored_in_order(self):
        self.add(said("same", 0), said("same", 0))
        self.add(said("last", 0), said("placed", 1))
        self.assertEqual(self.texts(), ["same", "same", "last", "placed"])
        self.assertEqual(self.texts(before=at(1), limit=2), ["same", "last"])

    def test_pages(self):
        self.add(*(said(str(n), n) for n in (5, 10, 1, 100)))
        self.add(said("elsewhere", 7, "g:7"))
        self.assertEqual(self.texts(), ["1", "5", "10", "100"])
        self.assertEqual(self.texts(limit=2), ["10", "100"])
        self.assertEqual(self.texts(before=at(100), limit=2), ["5", "10"])
        self.assertEqual(self.texts(before=at(1)), [])
        self.assertEqual(self.texts(limit=0), [])
        self.assertEqual(self.texts(limit=-1), [])
        self.assertEqual(self.texts("g:8"), [])
        self.await_failure(self.history.page(TALK, "x"), InvalidField)

    def test_positions_compare_number_by_number(self):
        self.add(*(evolve(said(p, 1), position=p) for p in ("9-1", "10-2", "10-10", "9223372036854775807-1")))
        self.assertEqual(self.texts(), ["9-1", "10-2", "10-10", "9223372036854775807-1"])

    # Revisions

    def revised(self, *messages):
        self.add(*messages)
        return self.await_(self.history.page(TALK))[0]

    def test_an_edit_replaces_the_text(self):
        message = self.revised(said("first words", 1), said("second thoughts", 2, kind=Kind.EDIT, ref=at(1)))
        self.assertEqual((message.text, message.position, message.kind), ("second thoughts", at(1), Kind.TEXT))
        self.assertTrue(message.edited)
        self.assertEqual([one.edited for one in self.await_(self.history.page(TALK))], [True, False])
        self.assertEqual(self.found("first"), [])
        self.assertEqual(self.found("second"), ["second thoughts"])

    def test_the_last_edit_counts_in_whatever_order_they_are_stored(self):
        edits = [said(f"edit {n}", n, kind=Kind.EDIT, ref=at(1)) for n in (2, 3)]
        self.assertEqual(self.revised(edits[1], said("text", 1), edits[0]).text, "edit 3")
        self.assertEqual(self.found("edit"), ["edit 3"])

    def test_a_recall_blanks_the_message_and_its_edits(self):
        text = said("secret", 1, data=b"secret", content_type="a/b")
        edit = said("secret too", 2, kind=Kind.EDIT, ref=at(1))
        recall = said("", 3, kind=Kind.RECALL, ref=at(1))
        late = said("secret as well", 4, kind=Kind.EDIT, ref=at(1))
        other = said("secret elsewhere", 1, "g:7")
        for order in itertools.permutations((text, edit, recall, late)):
            self.renew()
            message = self.revised(*order, other)
            self.assertEqual((message.text, message.data, message.content_type), ("", b"", ""), order)
            self.assertEqual(self.texts(), [""] * 4, order)
            self.assertEqual(self.found("secret"), ["secret elsewhere"], order)
            self.assertEqual(self.found("se"), ["secret elsewhere"], order)

    def test_reactions_change_nothing(self):
        self.assertEqual(self.revised(said("text", 1), said("👍", 2, kind=Kind.REACTION, ref=at(1))).text, "text")
        self.assertEqual(self.found("👍"), [])

    # Searches

    def test_searches_find_substrings_of_any_script_and_length(self):
        self.add(said("今天天气很好，我们去公园吧", 1), said("Hello World", 2), said("ПРИВЕТ мир", 3), said("👍", 4))
        for text, n in (
            *(("天", 1), ("天气", 1), ("天气很", 1), ("公园吧", 1), ("我们去公园", 1)),
            *(("o", 2), ("lo", 2), ("HELLO", 2), ("lo wor", 2), ("h", 2), ("He", 2)),
            *(("п", 3), ("Пр", 3), ("привет", 3), ("👍", 4)),
        ):
            self.assertEqual([m.position for m in self.await_(self.history.search(text))], [at(n)], text)
        for text in ("天好", "Hello!", "wrld", "气天", ""):
            self.assertEqual(self.found(text), [], text)

    def test_any_text_is_searched_literally(self):
        texts = [
            *(
                'say "hello" twice',
                '""',
                "a AND b",
                "a OR b",
                "NOT a",
                "NEAR(a b)",
                "text:a",
                "a*",
                "^a",
                "100%",
                "a_b",
            ),
            *("\\", "%", "_", "'", "(", "-", "a\0b", "\0", "{}", "+", "a;DROP TABLE message;--", "%_", "\\%", '"', "*"),
        ]
        for n, text in enumerate(texts, 1):
            self.add(said(f"=={text}==", n))
        self.add(said("nothing of the kind: x", len(texts) + 1))
        for text in texts:
            found = self.found(text)
            self.assertIn(f"=={text}==", found)
            self.assertEqual([f for f in found if text.lower() not in f.lower()], [], text)
            self.assertEqual(self.found(f"=={text}=="), [f"=={text}=="])

    def test_searches_return_the_latest_first_up_to_the_limit(self):
        self.add(said("word 1", 1), said("word 3", 3, "g:7"), said("word 2", 2))
        for word in ("word", "wo"):
            self.assertEqual(self.found(word), ["word 3", "word 2", "word 1"])
            self.assertEqual(self.found(word, limit=2), ["word 3", "word 2"])
            self.assertEqual(self.found(word, limit=0), [])
            self.assertEqual(self.found(word, limit=-1), [])

    # What waits, and facts

    def test_waiting_messages_come_back_in_order(self):
        first = Waiting("b", 1002, 0, "one\0", b"\xff", "a/b", Kind.EDIT, at(1))
        second = Waiting("a", 0, 7, "two")
        third = Waiting("c", 0, 7, "three")
        for message in (first, second, third, evolve(first, text="again")):
            self.await_(self.history.put_waiting(message))
        self.assertEqual(list(self.await_(self.history.waiting())), [first, second, third])
        self.await_(self.history.drop_waiting("a"))
        self.await_(self.history.drop_waiting("unknown"))
        self.assertEqual(list(self.await_(self.history.waiting())), [first, third])
        self.await_(self.history.put_waiting(second))
        self.assertEqual(list(self.await_(self.history.waiting())), [first, third, second])

    def test_facts(self):
        for name, value in (("token", "x"), ("as_of", ""), ("token", "y")):
            self.await_(self.history.set_fact(name, value))
        self.assertEqual(self.await_(self.history.facts()), {"token": "y", "as_of": ""})

    def test_concurrent_calls_run_in_order(self):
        asked = [self.history.add([said("one", 1)], {}), self.history.page(TALK), self.history.add([said("2", 2)], {})]
        results = self.await_(gatherResults([*asked, self.history.page(TALK), self.history.search("one")]))
        self.assertEqual([len(results[n]) for n in (1, 3, 4)], [1, 2, 1])
