"""The fields of upstream's calls that say something to one user: a text, or several that arrive as one batch."""

from __future__ import annotations

from collections.abc import Sequence

from cim.errors import InvalidField
from cim.web.schema import Fields, Optional, Text, Texts

#: Bytes of text in one message: what fits into a frame with what goes around it.
MAX_TEXT = 48 * 1024
MAX_BATCH = 100

MESSAGE: Fields = {"batchMsg": Optional(Texts(MAX_BATCH, MAX_TEXT)), "msg": Optional(Text(MAX_TEXT))}


def texts_of(batch: list[str] | None, text: str | None) -> Sequence[str]:
    """Return what is said.

    :param batch: comes before `text`, unless it is empty
    :raises InvalidField: there is neither
    """
    if batch:
        return batch
    if text is None:
        raise InvalidField("msg", "is missing")
    return (text,)
