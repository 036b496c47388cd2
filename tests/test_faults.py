"""Whatever call to the disk fails, and whenever: the response is the app's, nothing is torn, and storing resumes."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from clients import Truncated, fetch
from disks import drafts_below, needs_strace
from faults import faulty
from harness import listens
from nursery import Nursery, a_nursery, is_page_of, pages_in, torn

pytestmark = needs_strace

ERRORS = {
    "openat": ("EMFILE", "ENFILE", "EIO", "EACCES", "ENOSPC"),
    "mkdir": ("ENOSPC", "EDQUOT", "EIO", "EROFS"),
    "chmod": ("EIO", "EPERM"),
    "write": ("ENOSPC", "EDQUOT", "EIO"),
    "sync": ("EIO", "ENOSPC", "EDQUOT"),
    "rename": ("EIO", "ENOSPC", "EROFS"),
    "lock": ("ENOLCK", "EIO"),
    "stat": ("EIO", "EACCES"),
    "statfs": ("EIO",),
    "list": ("EIO",),
    "utime": ("EIO", "EROFS"),
    "read": ("EIO",),
    "dup": ("EMFILE",),
    "unlink": ("EIO",),
}
"""How the calls of ``faults.CALLS`` fail."""


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with a_nursery(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture
def cache(nursery: Nursery) -> Iterator[Path]:
    """Where there is no cache yet; its server is ended afterwards."""
    shutil.rmtree(nursery.cache, ignore_errors=True)
    yield nursery.cache
    if nursery.pid:
        nursery.end(signal.SIGKILL)


@pytest.mark.parametrize(("kind", "size"), [("asgi", "small"), ("asgi", "large"), ("wsgi", "small")])
@pytest.mark.parametrize("call", ERRORS)
def test_the_response_is_the_apps_and_storing_resumes(
    nursery: Nursery, cache: Path, call: str, kind: str, size: str
) -> None:
    nursery.start("off", kind)
    assert fetch(nursery.port, "/small/first").status == 200
    for error in ERRORS[call]:
        before = len(nursery.said())
        for number in count(1):
            path = f"/{size}/{error}{number}/page"
            with faulty(nursery.pid, f"{call}:error={error}:when={number}") as injection:
                assert is_page_of(fetch(nursery.port, path).body, path)
                nursery.said()  # Once it has settled.
            assert torn(cache) == []
            assert_stored(nursery, path)
            if not injection.count:
                break
        assert len(nursery.said()) - before <= 1
    assert {level for level, _ in nursery.said()} <= {"WARNING"}


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize("call", ERRORS)
def test_a_cache_that_could_not_be_begun_is_begun_by_a_later_request(
    nursery: Nursery, cache: Path, call: str, kind: str
) -> None:
    for number in count(1):
        nursery.start("off", kind)
        with faulty(nursery.pid, f"{call}:error=EIO:when={number}") as injection:
            assert is_page_of(fetch(nursery.port, "/small/a/page").body, "/small/a/page")
            nursery.said()
        assert torn(cache) == []
        assert_stored(nursery, "/small/b/page")
        nursery.end(signal.SIGKILL)
        if not injection.count:
            return
        shutil.rmtree(cache)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("call", [call for call in ERRORS if call not in ("statfs", "dup", "read")])
def test_a_process_that_is_killed_at_any_call_leaves_nothing_torn(
    nursery: Nursery, cache: Path, call: str, size: str
) -> None:
    for number in count(1):
        path = f"/{size}/{number}/page"
        nursery.start("on")
        with faulty(nursery.pid, f"{call}:signal=KILL:when={number}"):
            try:
                assert is_page_of(fetch(nursery.port, path).body, path)
                nursery.said()
            except (Truncated, OSError):
                pass
        assert torn(cache) == []
        killed = not listens(nursery.port)
        nursery.ended() if killed else nursery.end(signal.SIGKILL)
        nursery.start("on")
        assert_stored(nursery, path)
        assert drafts_below(cache) == []
        nursery.end(signal.SIGKILL)
        if not killed:
            return


def assert_stored(nursery: Nursery, path: str) -> None:
    """Nothing fails any more: the page is what it is, stored or stored now, and no draft is left."""
    assert is_page_of(fetch(nursery.port, path).body, path)
    nursery.said()
    assert nursery.cache / path[1:] in pages_in(nursery.cache)
    assert drafts_below(nursery.cache) == []
