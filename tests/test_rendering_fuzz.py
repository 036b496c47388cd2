"""Random apps and random clients, thousands of times: nobody hangs, nobody gets other bytes, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
from pathlib import Path
from typing import Any

import pytest
from clients import HTML, SECONDS, body, forever, http_scope, start
from harness import a_cache, pages_below, rounds

import asgi_diskcache.body
from asgi_diskcache import DiskCache, DiskCacheMiddleware

REFUSED = [*HTML, (b"set-cookie", b"a=b")]


class App:
    """Sends a body that tells which call made it, in random pieces with random pauses, and fails at random."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._headers = dice.choice([HTML, HTML, HTML, REFUSED])
        self._pieces = [dice.randrange(0, 3000) for _ in range(dice.randrange(0, 12))]
        self._fails_at = dice.choice([None, None, dice.randrange(-1, 12)])
        self.calls = 0

    def text(self, call: int) -> bytes:
        """The whole body of a call."""
        return b"".join(self._piece(call, number, size) for number, size in enumerate(self._pieces))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        call = self.calls
        await self._pause()
        self._fail(-1)
        await send(start(headers=[*self._headers, (b"x-call", b"%d" % call)]))
        for number, size in enumerate(self._pieces):
            self._fail(number)
            await self._pause()
            await send(body(self._piece(call, number, size), more=True))
        await send(body(b""))
        await self._pause()
        self._fail(11)

    def _piece(self, call: int, number: int, size: int) -> bytes:
        return (b"%d:%d " % (call, number) * size)[:size]

    def _fail(self, number: int) -> None:
        if number == self._fails_at:
            raise KeyError(number)

    async def _pause(self) -> None:
        for _ in range(self._dice.choice([0, 0, 1, 2, 10])):
            await asyncio.sleep(0)
        if self._dice.random() < 0.1:
            await asyncio.sleep(0.001)


class Client:
    """Comes, reads at a random pace, and leaves or is cancelled at random."""

    outcome: Any = asyncio.CancelledError

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._comes_after = dice.choice([0, 0, 1, 5, 20])
        self._fails_at = dice.choice([None, None, None, dice.randrange(10)])
        self.messages: list[Any] = []

    async def run(self, app: Any) -> None:
        """Ask for the page; keeps what came of it."""
        try:
            for _ in range(self._comes_after):
                await asyncio.sleep(0)
            await app(http_scope("/page"), forever, self._send)
            self.outcome = None
        except (Exception, asyncio.CancelledError) as error:
            self.outcome = error

    def check(self, app: App) -> None:
        """What came is what one call of the app sent, whole unless something failed."""
        if not self.messages:
            assert self.outcome is not None
            return
        text = b"".join(message["body"] for message in self.messages[1:])
        call = dict(self.messages[0]["headers"]).get(b"x-call")
        wholes = [app.text(int(call))] if call else [app.text(number + 1) for number in range(app.calls)]
        is_whole = len(self.messages) > 1 and not self.messages[-1]["more_body"]
        assert text in wholes if is_whole else any(whole.startswith(text) for whole in wholes)
        assert is_whole or self.outcome is not None
        assert [message["more_body"] for message in self.messages[1:-1]] == [True] * (len(self.messages) - 2)

    async def _send(self, message: Any) -> None:
        if len(self.messages) == self._fails_at:
            raise OSError("the client has left")
        self.messages.append(message)
        for _ in range(self._dice.choice([0, 0, 0, 3, 50])):
            await asyncio.sleep(0)


async def scene(dice: random.Random, cache: DiskCache) -> None:
    """Some clients ask for one page at about the same time; some are cancelled, and the page may be purged."""
    app, crowd = App(dice), [Client(dice) for _ in range(dice.randrange(1, 8))]
    middleware = DiskCacheMiddleware(app, cache)
    tasks = [asyncio.create_task(client.run(middleware)) for client in crowd]
    for _ in range(dice.randrange(0, 60)):
        await asyncio.sleep(0)
    if dice.random() < 0.3:
        dice.choice(tasks).cancel()
    if dice.random() < 0.2:
        cache.purge_sync("/page")
    assert not (await asyncio.wait(tasks, timeout=SECONDS))[1], "somebody hangs"
    while len(left := asyncio.all_tasks()) > 1:
        assert not (await asyncio.wait(left - {asyncio.current_task()}, timeout=SECONDS))[1], "a task is left behind"
    for client in crowd:
        client.check(app)
    file = Path(cache.directory, "page")
    if file.exists():
        assert file.read_bytes() in [app.text(call) for call in range(1, app.calls + 1)]
    file.unlink(missing_ok=True)
    assert list(pages_below(Path(cache.directory))) == []
    cache.purge_sync("/page")


@pytest.mark.parametrize("max_body", ["1M", 9000, 100])
def test_random_apps_and_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_body: Any) -> None:
    monkeypatch.setattr(asgi_diskcache.body, "SPOOL_ABOVE", 4000)
    monkeypatch.setattr(asgi_diskcache.body, "UNREAD", 5000)
    cache = a_cache(tmp_path, max_body=max_body, durable=False)
    logging.getLogger("asgi_diskcache").setLevel(logging.CRITICAL)

    async def scenes(seed: int) -> None:
        for number in range(seed, seed + 50):
            try:
                await scene(random.Random(number), cache)
            except AssertionError as error:
                raise AssertionError(f"seed {number}") from error

    asyncio.run(scenes(0))
    before = len(os.listdir("/proc/self/fd"))
    for seed in range(50, rounds(500), 50):
        asyncio.run(scenes(seed))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
    logging.getLogger("asgi_diskcache").setLevel(logging.NOTSET)
