"""A static site of an app: each file by one page, and a page for what is missing at the end. Pure."""

from __future__ import annotations

from collections import deque
from urllib.parse import unquote

from asgi_diskcache.mapping import file_for
from asgi_diskcache.settings import Settings

from .frontier import Frontier
from .jobs import Job, Outcome, Visited

MISSING = "/404.html"
"""What is asked for to see the app's page for what is missing: servers of plain files know it by this name."""

_MISSING_ID = -1
_UNTOLD = frozenset({"content-type", "empty"})
"""Refusals of the page for what is missing that are nobody's concern: the app has none for people."""

_KEPT = frozenset({"stored", "unchanged", "present"})


def _is_told(missing: Outcome) -> bool:
    return missing.result in ("stored", "unchanged") or (missing.result == "refused" and missing.why not in _UNTOLD)


class Export:
    """The pages of a frontier: those that share a file with another one come last, and are only compared with it."""

    def __init__(self, frontier: Frontier, settings: Settings, missing: str) -> None:
        """Take all that ``frontier`` finds, and at last ``missing``, the target of the page for what is missing."""
        self._frontier = frontier
        self._settings = settings
        self._missing: str | None = missing
        self._first: dict[str, str] = {}
        self._second: deque[Job] = deque()
        self._compared: dict[int, str] = {}
        self._under_way = 0
        self._files: dict[int, str] = {}

    @property
    def known(self) -> int | None:
        """How many pages are known so far."""
        return self._frontier.known

    def next(self) -> Job | None:
        """The next page."""
        job = self._next_file()
        if job is None and not self._under_way:
            job = self._next_twin() or self._last()
        self._under_way += job is not None
        return job

    def settle(self, visited: Visited) -> Outcome | None:
        """Take in what became of a page."""
        self._under_way -= 1
        if visited.id == _MISSING_ID:
            return visited.outcome if visited.outcome and _is_told(visited.outcome) else None
        outcome, twin = self._frontier.settle(visited), self._compared.pop(visited.id, None)
        file = self._files.pop(visited.id, None)
        if file is not None and not (visited.outcome and visited.outcome.result in _KEPT):
            del self._first[file]
        if outcome and twin and outcome.result == "stored":
            return outcome._replace(result="refused", why=f"path-conflict: {twin} has other bytes, and the same file")
        return outcome

    def _next_file(self) -> Job | None:
        while job := self._frontier.next():
            file = self._file_of(job)
            if file is None or job.wish == "look":
                return job
            if file not in self._first:
                self._first[file], self._files[job.id] = job.path, file
                return job
            self._second.append(job)
        return None

    def _file_of(self, job: Job) -> str | None:
        return file_for(unquote(job.target.partition("?")[0]), self._settings)

    def _next_twin(self) -> Job | None:
        if not self._second:
            return None
        job = self._second.popleft()
        file = self._file_of(job) or ""
        if file not in self._first:
            self._first[file], self._files[job.id] = job.path, file
            return job
        self._compared[job.id] = self._first[file]
        return job._replace(wish="try")

    def _last(self) -> Job | None:
        missing, self._missing = self._missing, None
        if missing is None or file_for(unquote(missing), self._settings) in self._first:
            return None
        return Job(_MISSING_ID, missing, wish="missing", follow="whole")
