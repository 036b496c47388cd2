"""A bounded memory of answers to short questions. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Question = TypeVar("Question", bound=str | bytes)
Answer = TypeVar("Answer")


class Memo(dict[Question, Answer]):
    """A function's answers: ``memo[question]`` asks it once, and then looks it up.

    Questions come from clients: long ones are answered and not kept, and a full memory begins anew, so that nobody
    fills ours.
    """

    def __init__(self, answer: Callable[[Question], Answer], *, entries: int = 4096, longest: int = 256) -> None:
        """Remember what ``answer`` says to ``entries`` questions of ``longest`` characters or bytes at most."""
        super().__init__()
        self._answer = answer
        self._entries = entries
        self._longest = longest

    def __missing__(self, question: Question) -> Answer:
        answer = self._answer(question)
        if len(question) <= self._longest:
            if len(self) >= self._entries:
                self.clear()
            self[question] = answer
        return answer
