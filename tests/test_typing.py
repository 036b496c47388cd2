"""Users' own code is checked by the types of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULE = """
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi_diskcache import DJANGO_HEADERS, DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.warming import Outcome, Report, warm

cache = DiskCache("cache", allowed_hosts=["example.org"], headers=DJANGO_HEADERS, min_free="1G")
app = Starlette(middleware=[Middleware(DiskCacheMiddleware, cache=cache)])
wrapped = DiskCacheMiddleware(app, "cache")
DiskCache(3)  # type: ignore[arg-type]
DiskCache("cache", allowed_host=["example.org"])  # type: ignore[call-arg]
cache.stats.hits + "1"  # type: ignore[operator]


async def deploy() -> int:
    report = Report()
    async for outcome in warm(wrapped, "/", crawl=True):
        found: Outcome = outcome
        report.add(found)
    return await cache.purge("/blog/**") + sum(entry.size for entry in cache.entries())
"""


def test_users_code_is_checked_by_our_types(tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(MODULE)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "types"), "site.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "Success: no issues found in 1 source file\n", ran
