"""A stampede: many clients at once ask for one cold page, which takes 200 ms."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from benchmarks import serving, variants
from benchmarks.report import Ratio, Report

CLIENTS = 500
FACTORIES = ("waiting", "ours_waiting", "starlette_caches_waiting", "hishel_waiting")


def run(report: Report, rounds: int) -> None:
    """Print how often each app was called, and note how long the last client waited, in times of one render."""
    print(f"stampede of {CLIENTS} on a page of {variants.Waiting.seconds:.1f} s")
    with tempfile.TemporaryDirectory() as at, ExitStack() as stack:
        ports = {}
        for name in filter(variants.is_there, FACTORIES):
            place = Path(at) / name
            place.mkdir()
            ports[name] = stack.enter_context(variants.serving_site(name, place)).port
        for name, port in ports.items():
            calls, last = [], []
            for number in range(rounds):
                before = asyncio.run(_calls(port))
                last.append(asyncio.run(_last(port, f"/page/{number}")) / variants.Waiting.seconds)
                calls.append(asyncio.run(_calls(port)) - before)
            mine = name == "ours_waiting"
            report.note(Ratio(f"stampede: calls of {name}", list(map(float, calls)), 1 if mine else None, False))
            report.note(Ratio(f"stampede: last client of {name}, in renders", last, 1.5 if mine else None, False))


async def _calls(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /calls HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return int(answer.rpartition(b"\r\n\r\n")[2])


async def _last(port: int, path: str) -> float:
    """Seconds until the last of all clients, connected already, has the page whole."""
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request)
        answer = await reader.read()
        assert answer.endswith(variants.DEFAULT), answer[:200]

    async with AsyncExitStack() as stack:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
        for _, writer in pairs:
            stack.callback(writer.close)
        began = time.perf_counter()
        await asyncio.gather(*(ask(*pair) for pair in pairs))
        return time.perf_counter() - began


def memory(report: Report, clients: int, rounds: int) -> None:
    """Note how much the server grows by many cold pages of 1 MiB at once, beside the bare app."""
    print(f"{clients} cold pages of 1 MiB at once")
    for name in ("large", "ours_large"):
        grown = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as at, variants.serving_site(name, Path(at)) as server:
                grown.append(asyncio.run(_grown(server, clients)))
        report.note(Ratio(f"memory: MiB of {name} for each of {clients} cold pages", grown))


async def _grown(server: serving.Server, clients: int) -> float:
    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET /{number} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        while await reader.read(1 << 16):
            pass
        writer.close()

    await ask(0)
    before = server.peak()
    await asyncio.gather(*map(ask, range(1, clients + 1)))
    return (server.peak() - before) / clients
