"""A collector for Prometheus: the counters of this process, and how many pages there are (the extra ``prometheus``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from .cache import DiskCache

COUNTED = (
    ("hits", "Requests answered from a file"),
    ("misses", "Requests that could have been hits, and were answered by the app"),
    ("collapsed", "Misses that shared the render of another one"),
    ("stored", "Pages that were published"),
    ("failures", "Pages that could not be published"),
)
"""Counters, and what they count."""


class CacheCollector(Collector):
    """What ``REGISTRY.register(CacheCollector(cache))`` makes known; of several workers each tells its own."""

    def __init__(self, cache: DiskCache, every: float = 300) -> None:
        """Tell of ``cache``; its files are counted in the background, ``every`` so many seconds at most."""
        self._cache = cache
        self._every = every
        self._counting = threading.Lock()
        self._counted = float("-inf")
        self._pages: tuple[int, int] | None = None

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Nothing, so that registering asks no disk."""
        return iter(())

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The metrics now; of the pages, those of the last count, if there was one."""
        stats = self._cache.stats
        for name, says in COUNTED:
            yield CounterMetricFamily(f"diskcache_{name}", says, value=getattr(stats, name))
        yield CounterMetricFamily("diskcache_stored_bytes", "Bytes of pages that were published", value=stats.bytes)
        refused = CounterMetricFamily("diskcache_refused", "What was not stored", labels=["reason"])
        for reason, count in dict(stats.refused).items():
            refused.add_metric([reason], count)
        yield refused
        self._begin_to_count()
        if self._pages:
            pages, size = self._pages
            yield GaugeMetricFamily("diskcache_pages", "Pages in the directory", value=pages)
            yield GaugeMetricFamily("diskcache_page_bytes", "Bytes of these pages", value=size)

    def _begin_to_count(self) -> None:
        if time.monotonic() - self._counted >= self._every and self._counting.acquire(blocking=False):
            threading.Thread(target=self._count, name="asgi-diskcache counts pages", daemon=True).start()

    def _count(self) -> None:
        try:
            pages = size = 0
            for entry in self._cache.entries():
                pages, size = pages + 1, size + entry.size
            self._pages, self._counted = (pages, size), time.monotonic()
        finally:
            self._counting.release()
