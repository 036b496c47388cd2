"""Those who render: a crew takes jobs, does some at once, and gives what became of each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.calling import Origin

from .jobs import Job, Outcome, Visited


class CrewFailed(Exception):
    """Nobody is left to render."""


class Plan(Protocol):
    """What is to be done, and in which order."""

    @property
    def known(self) -> int | None:
        """How many pages there are, as far as that is known."""

    def next(self) -> Job | None:
        """The next job, or ``None`` if there is none before another one is settled."""

    def settle(self, visited: Visited) -> Outcome | None:
        """Take in what became of a job; gives what there is to report."""


class Crew(AbstractAsyncContextManager["Crew"], Protocol):
    """A context in which jobs are done; entering it raises what keeps the app from starting."""

    capacity: int
    """Jobs that it takes at once: more than it does, so that it never waits for us."""

    def give(self, job: Job) -> None:
        """Take a job."""

    async def next(self) -> Visited:
        """Wait for a job to be done, or given back. Raises ``CrewFailed``."""

    def stop(self) -> None:
        """Give back what is not begun."""


class Run(AsyncIterator[Outcome]):
    """Pages on their way: iterate over it, and each outcome comes when it is known.

    Iterating raises ``LifespanFailed`` if the app does not start, and ``CrewFailed`` if all who render have ended.
    """

    def __init__(self, plan: Plan, crew: Callable[[], Crew], cache: DiskCache, origin: Origin) -> None:
        """Do all that ``plan`` has, as much at once as the crew takes."""
        self.cache = cache
        """Where the pages are stored."""
        self.origin = origin
        """Whom the app is asked as."""
        self._plan = plan
        self._crew = crew
        self._working: Crew | None = None
        self._stopped = False
        self._outcomes = self._carry_out()

    @property
    def known(self) -> int | None:
        """How many pages there are, as far as that is known by now; ``None`` if nobody can tell."""
        return self._plan.known

    def stop(self) -> None:
        """Begin nothing more: what is under way is finished, and then the iteration ends."""
        self._stopped = True
        if self._working:
            self._working.stop()

    def __aiter__(self) -> Run:
        """Itself: a run is made once."""
        return self

    async def __anext__(self) -> Outcome:
        """The next outcome."""
        return await self._outcomes.__anext__()

    async def aclose(self) -> None:
        """End it without its outcomes: what is under way is finished."""
        await self._outcomes.aclose()

    async def _carry_out(self) -> AsyncGenerator[Outcome, None]:
        async with self._crew() as crew:
            self._working, under_way = crew, 0
            while True:
                while not self._stopped and under_way < crew.capacity and (job := self._plan.next()):
                    crew.give(job)
                    under_way += 1
                if not under_way:
                    return
                visited = await crew.next()
                under_way -= 1
                if outcome := self._plan.settle(visited):
                    yield outcome
