"""A crew of tasks: an ASGI app in this event loop, its lifespan around all of it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from starlette.types import ASGIApp

from asgi_diskcache.calling import AppFailed, call, lifespan
from asgi_diskcache.publisher import MAX_BATCH
from asgi_diskcache.store import in_thread

from .crews import Crew
from .jobs import Job, Visited
from .visiting import Visiting, Visitor


class Tasks(Crew):
    """Calls an ASGI app for several pages at once."""

    def __init__(self, app: ASGIApp, visitor: Visitor, concurrency: int, timeout: float) -> None:
        """Do ``concurrency`` jobs at once, and give each ``timeout`` seconds."""
        self.capacity = concurrency + MAX_BATCH  # Pages on their way to the disk keep no other from being rendered.
        self._slots = asyncio.Semaphore(concurrency)
        self._stopping = False
        self._app = app
        self._visitor = visitor
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Queue[Visited] = asyncio.Queue()
        self._stack = AsyncExitStack()
        self._state: dict[str, object] = {}

    async def __aenter__(self) -> Tasks:
        """Start the app. Raises ``LifespanFailed``."""
        self._state = await self._stack.enter_async_context(lifespan(self._app))
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait for what is under way, and shut the app down."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._stack.aclose()

    def give(self, job: Job) -> None:
        """Begin a job."""
        task = asyncio.create_task(self._visit(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def next(self) -> Visited:
        """Wait for a job to be done."""
        return await self._done.get()

    def stop(self) -> None:
        """Give back what is not begun."""
        self._stopping = True

    async def _visit(self, job: Job) -> None:
        begun = self._visitor.begin(job)
        self._done.put_nowait(begun if isinstance(begun, Visited) else await self._asked(begun))

    async def _asked(self, visiting: Visiting) -> Visited:
        await self._slots.acquire()
        visiting.answer.at_end = self._slots.release
        try:
            return Visited(visiting.job.id, None) if self._stopping else await self._called(visiting)
        finally:
            visiting.answer.end()

    async def _called(self, visiting: Visiting) -> Visited:
        try:
            scope = {**visiting.scope, "state": dict(self._state)}
            await call(self._app, scope, timeout=self._timeout, answer=visiting.answer)
        except AppFailed as error:
            return self._visitor.conclude(visiting, str(error))
        if visiting.answer.visit.draft and not visiting.answer.late:  # The cache is in a WSGI app, further in.
            await in_thread(self._visitor.publish, [visiting])
        late = f"it took longer than {self._timeout:g} s" if visiting.answer.late else ""
        return self._visitor.conclude(visiting, late)
