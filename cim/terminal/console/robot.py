"""Who answers while `:ai` is on: upstream's joke (docs/upstream.md)."""

from __future__ import annotations

from zope.interface import implementer

from cim.terminal.iconsole import IAnswerer

_TURNED = str.maketrans({"?": "!", "？": "!", "你": "我", "吗": None, "嘛": None})


@implementer(IAnswerer)
class Robot:
    """Answers a question with the question itself."""

    greeting = "Hello,我是估值两亿的 AI 机器人！"
    farewell = "｡ﾟ(ﾟ´ω`ﾟ)ﾟ｡  AI 下线了！"

    def answer(self, text: str) -> str:
        """See IAnswerer."""
        return text.translate(_TURNED)
