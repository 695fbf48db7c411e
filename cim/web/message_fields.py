"""The message fields of upstream's calls to one user: a text, or several that arrive as one batch."""

from __future__ import annotations

from collections.abc import Sequence

from cim.errors import InvalidField
from cim.web.schema import Fields, Optional, Text, Texts

#: The most bytes of text in one message: it must fit into a frame with its envelope.
MAX_TEXT = 48 * 1024
MAX_BATCH = 100

MESSAGE: Fields = {
    "batchMsg": Optional(Texts(MAX_BATCH, MAX_TEXT, "Several texts that arrive as one batch.")),
    "msg": Optional(Text(MAX_TEXT, about="Or one text.")),
}


def texts_of(batch: list[str] | None, text: str | None) -> Sequence[str]:
    """Return the texts of a message.

    :param batch: takes precedence over `text` unless it is empty
    :raises InvalidField: both are missing
    """
    if batch:
        return batch
    if text is None:
        raise InvalidField("msg", "is missing")
    return (text,)
