"""What tasks of one event loop wait for: lighter than ``asyncio.Event``, as every miss has a handful of them."""

from __future__ import annotations

import asyncio


class Pulse:
    """What wakes everybody who waits for it now, and nobody later."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] | None = None

    def wait(self) -> asyncio.Future[None]:
        """The next pulse, from this call on: a coroutine that ``wait_for`` makes a task would miss one before."""
        pulse = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(pulse)
        return pulse

    def set(self) -> None:
        """Wake them."""
        waiting, self._waiting = self._waiting, None
        for pulse in waiting or ():
            if not (pulse.done() or pulse.get_loop().is_closed()):
                pulse.set_result(None)


class Latch(Pulse):
    """What happens once: it wakes everybody who waits for it, and whoever comes later does not wait."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        super().__init__()
        self.is_set = False

    def set(self) -> None:
        """Let it have happened."""
        self.is_set = True
        super().set()

    def wait(self) -> asyncio.Future[None]:
        """When it has happened."""
        pulse = super().wait()
        if self.is_set:
            super().set()
        return pulse

    async def within(self, seconds: float) -> None:
        """Wait for it, but no longer than this."""
        pulse = self.wait()
        try:
            await asyncio.wait([pulse], timeout=seconds)
        finally:
            if self._waiting and not pulse.done():
                self._waiting.remove(pulse)
