"""The threads in which files are written, apart from the app's own: a busy app cannot hold the cache up."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4


class Threads(ThreadPoolExecutor):
    """A pool that fails as a disk does: what nobody can write is not stored, and the response is untouched."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``function`` in a thread. Raises ``OSError`` if there can be none, as when the interpreter ends."""
        try:
            return super().submit(function, *args, **kwargs)
        except RuntimeError as error:
            ends = "shutdown" in str(error)
            raise OSError(errno.ESHUTDOWN if ends else errno.EAGAIN, str(error)) from error


_executors: dict[int, Threads] = {}


def executor() -> Threads:
    """The threads of this process; a fork begins with none."""
    process = os.getpid()
    if process not in _executors:
        _executors.clear()
        _executors[process] = Threads(THREADS, thread_name_prefix="asgi_diskcache")
    return _executors[process]


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a whole transaction with files in one of our threads. Raises ``OSError`` if there can be no thread.

    It is not cancelled with its caller, who waits for its end and is cancelled then.
    """
    call = partial(function, *args, **kwargs)
    # No task, such as aiofiles.os.wrap makes: a loop that ends cancels all tasks, and would cancel what is queued here.
    return await unbroken(asyncio.get_running_loop().run_in_executor(executor(), call))


async def unbroken(work: Awaitable[T]) -> T:
    """Do ``work`` to its end, even if the caller is cancelled meanwhile; then that is raised."""
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            await _wait_for(future)
        if not future.cancelled():
            future.exception()  # Nobody else will ask for it.
        raise


async def _wait_for(future: asyncio.Future[T]) -> None:
    with suppress(asyncio.CancelledError):  # As often as it comes.
        await asyncio.wait([future])
