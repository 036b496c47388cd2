"""A process that renders: jobs come in on its standard input, a line each, and what became of them goes out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TextIO

from asgi_diskcache.calling import LifespanFailed
from asgi_diskcache.loading import LoadError
from asgi_diskcache.serving import Site

from .crews import Crew
from .errands import Errand
from .jobs import LONGEST, Job
from .opening import of_site
from .tuning import tune


def main() -> None:
    """Render until the input ends: also that of a parent which was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which lets us finish.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # What the app prints is not what we say.
    asyncio.run(_work(out))


async def _work(out: TextIO) -> None:
    jobs = asyncio.StreamReader(LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(jobs), sys.stdin)
    told = json.loads(await jobs.readline())
    try:
        opened = of_site(Site(**told["site"]))
        tune()
        async with Errand.of_data(told["errand"]).crew(opened) as crew:
            _say(crew.capacity, out)
            telling = asyncio.create_task(_tell(crew, out))
            await _take(crew, jobs)
            telling.cancel()
    except (LoadError, LifespanFailed) as error:
        _say(str(error), out)


async def _take(crew: Crew, jobs: asyncio.StreamReader) -> None:
    while line := await jobs.readline():
        if job := json.loads(line):
            crew.give(Job(*job))
        else:
            crew.stop()


async def _tell(crew: Crew, out: TextIO) -> None:
    while True:
        _say(await crew.next(), out)


def _say(what: object, out: TextIO) -> None:
    try:
        print(json.dumps(what), file=out)
    except BrokenPipeError:  # The parent has gone, and with it everybody who would hear it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
