"""What tasks wait for: a pulse, and what happens once."""

from __future__ import annotations

import asyncio

from asgi_diskcache.pulses import Latch, Pulse


def test_a_pulse_wakes_those_who_wait_and_nobody_who_comes_later() -> None:
    async def run() -> None:
        pulse = Pulse()
        early = [pulse.wait(), pulse.wait()]
        pulse.set()
        late = pulse.wait()
        assert [waiting.done() for waiting in (*early, late)] == [True, True, False]

    asyncio.run(run())


def test_what_has_happened_holds_nobody_up() -> None:
    async def run() -> None:
        latch = Latch()
        early = latch.wait()
        assert not latch.is_set and not early.done()
        latch.set()
        assert latch.is_set and early.done() and latch.wait().done()
        await latch.within(60)

    asyncio.run(run())


def test_who_waits_for_so_long_only_leaves_nothing_behind() -> None:
    async def run() -> None:
        latch = Latch()
        other = latch.wait()
        for _ in range(3):
            await latch.within(0)
        assert not latch.is_set and latch._waiting == [other]

    asyncio.run(run())


def test_who_stops_waiting_wakes_nobody_else() -> None:
    async def run() -> None:
        latch = Latch()
        leaving, staying = asyncio.create_task(latch.within(60)), latch.wait()
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled() and not staying.done()
        latch.set()
        assert staying.done()

    asyncio.run(run())


def test_what_waits_in_a_loop_that_has_ended_is_left_alone() -> None:
    latch = Latch()

    async def wait() -> None:
        latch.wait()

    asyncio.run(wait())
    latch.set()
    assert latch.is_set
