"""After a power cut every page that has its name is whole, and the cache goes on."""

from __future__ import annotations

import asyncio
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clients import Client, fetch
from disks import a_disk, commit, cut_power, drafts_below, mounted, needs_root
from harness import eventually, rounds
from nursery import Nursery, a_nursery, ask, is_page_of, pages_in, torn


@contextmanager
def after_a_boot(directory: Path) -> Iterator[Nursery]:
    """A nursery whose servers see a boot id of their own."""
    boot = directory.parent / "boot_id"
    boot.write_text(f"{uuid.uuid4()}\n")
    mount = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    with a_nursery(directory, under=["unshare", "-m", "sh", "-c", mount, str(boot)]) as nursery:
        yield nursery


@contextmanager
def committing(directory: Path) -> Iterator[None]:
    """As if somebody else on the machine synced a file of theirs, again and again."""
    ended = threading.Event()

    def commits() -> None:
        with suppress(OSError):  # The power was cut.
            while not ended.wait(0.02):
                commit(directory)

    thread = threading.Thread(target=commits)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def storm(port: int, paths: list[str], disk: Path) -> int:
    """Ask for all, a hundred at a time, and cut the power in the middle; gives the number of whole responses."""
    gate, ended = asyncio.Semaphore(100), 0

    async def one(path: str) -> bool:
        nonlocal ended
        async with gate:
            whole = await ask(port, path)
        ended += 1
        if ended == len(paths) // 2:
            cut_power(disk)
        return whole

    return sum(await asyncio.gather(*map(one, paths)))


@needs_root
def test_after_a_power_cut_under_load_every_page_is_whole_and_no_response_was_torn(tmp_path: Path) -> None:
    disk, directory = a_disk(tmp_path / "disk", 512), tmp_path / "mounted"
    for cut in range(rounds(4)):
        paths = [f"/{cut}/{number % 20}/{number}" for number in range(1000)]
        singles = [f"/small/{cut}/{number}" for number in range(20)]
        with mounted(disk, directory), after_a_boot(directory) as nursery:
            nursery.start("on" if cut % 2 else "off")
            for path in singles:  # One by one: the system is not asked to write any of them before it has its name.
                assert is_page_of(fetch(nursery.port, path).body, path)
            assert nursery.said() == []
            commit(directory)
            with committing(directory):
                assert asyncio.run(storm(nursery.port, paths, directory)) == len(paths)
            nursery.end(signal.SIGKILL)
        with mounted(disk, directory):
            assert torn(directory / "cache") == []
            assert all((directory / f"cache{path}").is_file() for path in singles)
            assert pages_in(directory / f"cache/{cut}"), "the power was cut too early"


@needs_root
def test_the_first_start_after_a_power_cut_removes_the_drafts_and_stores(tmp_path: Path) -> None:
    disk, directory = a_disk(tmp_path / "disk", 64), tmp_path / "mounted"
    cache = directory / "cache"
    with mounted(disk, directory), after_a_boot(directory) as nursery:
        nursery.start()
        assert fetch(nursery.port, "/small/page").status == 200
        held = [Client(nursery.port, f"/large/{number}/held") for number in range(4)]
        eventually(lambda: len(drafts_below(cache)) == 4, "drafts")
        commit(directory)
        cut_power(directory)
        nursery.end(signal.SIGKILL)
        for client in held:
            client.close()
    with mounted(disk, directory):
        assert len(drafts_below(cache)) == 4
        with after_a_boot(directory) as nursery:
            nursery.start()
            eventually(lambda: not drafts_below(cache), "the drafts to be removed")
            assert fetch(nursery.port, "/small/page").cache_status.endswith("hit")
            assert fetch(nursery.port, "/small/other").status == 200
            assert nursery.said() == [] and torn(cache) == []
            assert (cache / "small/other").is_file()
            nursery.end(signal.SIGKILL)
