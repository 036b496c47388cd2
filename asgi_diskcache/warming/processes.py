"""A crew of processes: each imports the app and has a crew of its own, so that pages are rendered in parallel."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from asgi_diskcache.calling import LifespanFailed
from asgi_diskcache.serving import Site

from .crews import Crew, CrewFailed
from .errands import Errand
from .jobs import LONGEST, Job, Outcome, Visited

DEATHS = 10
"""Processes that end by themselves and are replaced."""

COMMAND = (sys.executable, "-c", "from asgi_diskcache.warming.worker import main; main()")


class Worker:
    """One process, and the jobs that it has."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.jobs: dict[int, Job] = {}

    @classmethod
    async def start(cls, said_to_it: str) -> tuple[Worker, int]:
        """Start a process; gives it, and how many jobs it takes at once. Raises ``LifespanFailed``."""
        process = await create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, limit=LONGEST)
        worker = cls(process)
        worker.say(said_to_it)
        said = await worker.heard()
        if not isinstance(said, int):
            if process.returncode is None:
                process.kill()  # It has said all, and threads of the app may keep it.
            await worker.ended()
            raise LifespanFailed(said or f"a process that renders did not start: {worker.end}")
        return worker, said

    def give(self, job: Job) -> None:
        """Send it a job."""
        self.jobs[job.id] = job
        self.say(json.dumps(job))

    def say(self, line: str) -> None:
        """Send it a line; one that has ended does not hear it."""
        if self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{line}\n".encode())

    async def heard(self) -> Any:
        """What it says next; ``None`` when it has ended."""
        assert self._process.stdout
        line = b""
        with suppress(ValueError):  # One that is too long.
            line = await self._process.stdout.readline()
        if line.endswith(b"\n"):
            return json.loads(line)
        if self._process.returncode is None and not self._process.stdout.at_eof():
            self._process.kill()
        await self.ended()
        return None

    async def ended(self) -> None:
        """Wait for its end."""
        self.leave()
        await self._process.wait()
        if self._process.stdin:
            with suppress(OSError):  # What it did not read is nothing to tell of.
                await self._process.stdin.wait_closed()

    def leave(self) -> None:
        """Say that nothing more comes: it finishes what is under way, and ends."""
        if self._process.stdin:
            self._process.stdin.close()

    @property
    def end(self) -> str:
        """How it has ended, for people."""
        status = self._process.returncode or 0
        return f"signal {-status}" if status < 0 else f"status {status}"


class Processes(Crew):
    """Renders in several processes."""

    def __init__(self, site: Site, errand: Errand, number: int) -> None:
        """Have ``number`` of them."""
        self.capacity = 0
        self._number = number
        self._site = site
        self._errand = errand
        self._workers: list[Worker] = []
        self._tending: set[asyncio.Task[None]] = set()
        self._done: asyncio.Queue[Visited | CrewFailed] = asyncio.Queue()
        self._again: set[int] = set()
        self._deaths = 0
        self._ending = False

    async def __aenter__(self) -> Processes:
        """Start them all. Raises ``LifespanFailed``."""
        try:
            started = await asyncio.gather(*(self._start() for _ in range(self._number)), return_exceptions=True)
            for failure in started:
                if isinstance(failure, BaseException):
                    raise failure
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait for what is under way."""
        self._ending = True
        while self._tending:
            for worker in self._workers:
                worker.leave()
            await asyncio.wait(self._tending)

    def give(self, job: Job) -> None:
        """Send a job to the process that has the fewest."""
        min(self._workers, key=lambda worker: len(worker.jobs)).give(job)

    async def next(self) -> Visited:
        """Wait for a job to be done. Raises ``CrewFailed`` if the processes keep ending."""
        found = await self._done.get()
        if isinstance(found, CrewFailed):
            raise found
        return found

    def stop(self) -> None:
        """Have them give back what is not begun."""
        for worker in self._workers:
            worker.say("null")

    async def _start(self) -> Worker:
        said = json.dumps({"site": asdict(self._site), "errand": asdict(self._errand)})
        worker, capacity = await Worker.start(said)
        self.capacity += capacity
        self._workers.append(worker)
        task = asyncio.create_task(self._tend(worker, capacity))
        self._tending.add(task)
        task.add_done_callback(self._tending.discard)
        return worker

    async def _tend(self, worker: Worker, capacity: int) -> None:
        while (said := await worker.heard()) is not None:
            visited = Visited.of_data(*said)
            del worker.jobs[visited.id]
            self._done.put_nowait(visited)
        self._workers.remove(worker)
        self.capacity -= capacity
        if worker.jobs and not self._ending:
            await self._replace(worker)

    async def _replace(self, dead: Worker) -> None:
        """Have what a process left undone be done by another; what it left twice is what ends it."""
        try:
            self._deaths += 1
            if self._deaths > DEATHS:
                raise CrewFailed(f"processes that render keep ending: the last one by {dead.end}")
            heir = await self._start()
        except Exception as error:
            self._done.put_nowait(error if isinstance(error, CrewFailed) else CrewFailed(str(error)))
            return
        begun = list(dead.jobs)[: self._errand.concurrency]
        for job in dead.jobs.values():
            if job.id in self._again:
                why = f"the process that rendered it ended: {dead.end}"
                self._done.put_nowait(Visited(job.id, Outcome(job.path, "failed", why)))
                continue
            if job.id in begun:
                self._again.add(job.id)
            heir.give(job)
