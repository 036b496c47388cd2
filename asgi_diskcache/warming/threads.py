"""A crew of threads: a WSGI app called directly, without an event loop, and what it renders published in batches.

Threads of Python that calculate only get in each other's way, and threads that wait do not: so there is one at first,
and more of them for as long as that leaves the processor idle.
"""

from __future__ import annotations

import asyncio
import time
from queue import SimpleQueue
from threading import Lock, Thread

from asgi_diskcache.bridge import WSGIApp
from asgi_diskcache.publisher import MAX_BATCH
from asgi_diskcache.store import Store

from .crews import Crew
from .jobs import Job, Visited
from .visiting import Visiting, Visitor
from .wsgi_calling import call

WATCH = 0.02
"""Seconds between two looks at the threads."""

GATHER = 0.05
"""Seconds for which a page waits for others to be published with it."""

IDLE, BUSY = 0.75, 0.95
"""The process's share of one processor below which a thread comes, and above which one goes."""


class Threads(Crew):
    """Calls a WSGI app in as many threads as it has use for."""

    def __init__(self, app: WSGIApp, store: Store, visitor: Visitor, concurrency: int, timeout: float) -> None:
        """Do up to ``concurrency`` jobs at once, and give each ``timeout`` seconds."""
        self.capacity = concurrency + MAX_BATCH
        self._app = app
        self._store = store
        self._visitor = visitor
        self._concurrency = concurrency
        self._timeout = timeout
        self._stopping = False
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._begun: dict[int, tuple[Visiting, float]] = {}
        self._ready: list[Visiting | Visited] = []
        self._lock = Lock()
        self._flushed = time.monotonic()
        self._done: asyncio.Queue[Visited] = asyncio.Queue()
        self._threads: list[Thread] = []
        self._wanted = 0

    async def __aenter__(self) -> Threads:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._hire()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait for what is under way."""
        self._stopping = True
        self._watching.cancel()
        await self._loop.run_in_executor(None, self._end)

    def give(self, job: Job) -> None:
        """Take a job."""
        self._jobs.put(job)

    async def next(self) -> Visited:
        """Wait for a job to be done."""
        return await self._done.get()

    def stop(self) -> None:
        """Give back what is not begun."""
        self._stopping = True

    def _hire(self) -> None:
        thread = Thread(target=self._work, name="asgi_diskcache-warm", daemon=True)  # An app that hangs hangs not us.
        self._wanted += 1
        self._threads.append(thread)
        thread.start()

    def _end(self) -> None:
        for _ in range(self._wanted):
            self._jobs.put(None)
        late = time.monotonic() + self._timeout
        for thread in self._threads:
            thread.join(max(0.0, late - time.monotonic()))
        self._flush()

    async def _watch(self) -> None:
        used, since = time.process_time(), time.monotonic()
        while True:
            await asyncio.sleep(WATCH)
            before, used, began, since = used, time.process_time(), since, time.monotonic()
            self._adapt((used - before) / (since - began))
            self._leave_the_late_ones(since)
            if self._ready and since - self._flushed > 2 * GATHER:
                await self._loop.run_in_executor(None, self._flush)

    def _adapt(self, share: float) -> None:
        """Have twice as many threads, or one less, for this share of a processor that was used."""
        if share < IDLE and not self._jobs.empty():
            for _ in range(min(self._wanted, self._concurrency - self._wanted)):
                self._hire()
        elif share > BUSY and self._wanted > 1:
            self._wanted -= 1
            self._jobs.put(None)

    def _leave_the_late_ones(self, now: float) -> None:
        for visiting, began in list(self._begun.values()):
            if now - began >= self._timeout and self._begun.pop(visiting.job.id, None) is not None:
                late = f"it took longer than {self._timeout:g} s"
                self._done.put_nowait(self._visitor.conclude(visiting, late))
                self._wanted -= 1
                self._hire()

    def _work(self) -> None:
        while job := self._jobs.get():
            if self._stopping:
                self._keep(Visited(job.id, None))
            elif isinstance(begun := self._visitor.begin(job), Visited):
                self._keep(begun)
            elif not self._visit(begun):
                return  # Another thread has this one's place by now.

    def _visit(self, visiting: Visiting) -> bool:
        self._begun[visiting.job.id] = visiting, time.monotonic()
        error, draft = call(self._app, visiting), visiting.answer.visit.draft
        in_time = self._begun.pop(visiting.job.id, None) is not None
        if draft and (error or not in_time):
            self._store.discard(draft)
        if in_time:
            self._keep(visiting if draft and not error else self._visitor.conclude(visiting, error))
        return in_time

    def _keep(self, ready: Visiting | Visited) -> None:
        with self._lock:
            self._ready.append(ready)
            must = len(self._ready) >= MAX_BATCH or self._jobs.empty()
        if must or time.monotonic() - self._flushed > GATHER:
            self._flush()

    def _flush(self) -> None:
        """Publish what is rendered, and tell what became of it."""
        with self._lock:
            ready, self._ready, self._flushed = self._ready, [], time.monotonic()
        self._visitor.publish([found for found in ready if isinstance(found, Visiting)])
        told = [self._visitor.conclude(found) if isinstance(found, Visiting) else found for found in ready]
        self._loop.call_soon_threadsafe(self._tell, told)

    def _tell(self, told: list[Visited]) -> None:
        for visited in told:
            self._done.put_nowait(visited)
