"""Takes users' reports of messages that they may read, with a copy of what those say at that moment."""

from __future__ import annotations

from cim.errors import InvalidField, NotFound
from cim.interfaces import IReports
from cim.model import Entry, Report, Reported
from cim.route.messages.reading import Reading
from cim.wire import native, positions

#: The most bytes of text in a copy.
MAX_COPY = 4096


class Reporting:
    """Reports messages on behalf of users."""

    def __init__(self, store: IReports, reading: Reading) -> None:
        self._store = store
        self._reading = reading

    async def report(self, user: int, conversation: str, position: str, reason: str) -> Reported:
        """Report a message.

        :raises Forbidden: the user is not part of the conversation
        :raises NotFound: there is no such message that the user may read, or it says nothing, since it was recalled
        :raises InvalidField: it is the user's own
        :raises RateLimited: too many reports are open, of the user or of all
        """
        entry = await self._entry(user, conversation, position)
        said = native.parse_body(entry.body) if entry is not None else None
        if said is None or not said.sender or not (said.text or said.data):
            raise NotFound("there is no such message that you may read, or it was recalled")
        if said.sender == user:
            raise InvalidField("position", "is that of your own message")
        whole = said.text.encode()
        report = Report(
            reporter=user,
            conversation=conversation,
            position=position,
            sender=said.sender,
            sender_name=said.sender_name,
            sent_at=said.sent_at,
            text=whole[:MAX_COPY].decode(errors="ignore"),
            cut=len(whole) > MAX_COPY,
            content_type=said.content_type,
            size=len(said.data),
            reason=reason,
        )
        return await self._store.make(report)

    async def _entry(self, user: int, conversation: str, position: str) -> Entry | None:
        """Return a message as it stands, if the user may read it: the page that begins right before it has it."""
        epoch, n = positions.parse(position)
        if not n:
            return None
        page = await self._reading.page(user, conversation, positions.text((epoch, n - 1)), limit=1)
        return next((one for one in page.entries if one.position == position), None)
