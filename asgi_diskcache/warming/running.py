"""Warming and refreshing as users of Python have it: runs, made of an app and of what is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.calling import Origin
from asgi_diskcache.hosts import hosts_with, switches_for
from asgi_diskcache.patterns import path_pattern
from asgi_diskcache.serving import Site

from .crews import Crew, Run
from .errands import CONCURRENCY, LONGEST_TIMEOUT, TIMEOUT, Errand
from .exporting import MISSING, Export
from .frontier import Frontier, Selection
from .opening import Opened, of_app, of_site
from .processes import Processes
from .renewal import Renewal
from .sources import Sources

Directory = DiskCache | str | os.PathLike[str] | None


def warm(
    app: object,
    *paths: str,
    cache: Directory = None,
    urls: Iterable[str] = (),
    sitemaps: Iterable[str] = (),
    crawl: bool = False,
    routes: bool = False,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    max_depth: int | None = None,
    max_pages: int | None = None,
    shard: tuple[int, int] = (1, 1),
    force: bool = False,
    base_url: str | None = None,
    concurrency: int = CONCURRENCY,
    processes: int = 1,
    timeout: float = TIMEOUT,
) -> Run:
    """Render pages before anybody asks for them, through the app's own cache and by all of its rules.

    ``app`` is an app, an import string or a ``Site``; one that carries no cache needs ``cache``, a ``DiskCache`` or a
    directory. Pages come from ``paths``, ``urls`` (lines), ``sitemaps`` (paths, or names of files), ``routes`` and,
    with ``crawl``, from links. ``only`` and ``skip`` are patterns of paths; ``max_depth`` counts links; ``shard`` is
    ``(1, 2)`` for the first half of all paths. ``force`` renders what is there, too. ``base_url`` gives scheme, host
    and root path, by default the first of ``allowed_hosts``. ``concurrency`` pages are rendered at once in each of
    ``processes`` (more than one needs an import string), and each may take ``timeout`` seconds.

    Iterate over what it gives. Raises ``ValueError`` for what cannot be done.
    """
    opened, site = _opened(app, cache)
    errand = _errand(base_url, opened.cache, concurrency, timeout)
    origin = errand.origin
    urls = (urls,) if isinstance(urls, str) else urls
    sources = Sources(paths=paths, urls=urls, sitemaps=_texts(sitemaps), crawl=crawl, routes=routes)
    selection = Selection(
        only=tuple(map(path_pattern, _texts(only))),
        skip=tuple(map(path_pattern, _texts(skip))),
        max_depth=max_depth,
        max_pages=max_pages,
        shard=shard,
    )
    plan = Frontier(sources.seeds(opened, origin), selection, "renew" if force else "fill", crawl)
    crew = _crew(opened, site, errand, processes)
    if opened.cache.is_snapshot:
        return Run(Export(plan, opened.cache, origin.target(MISSING)), crew, opened.cache, origin)
    return Run(plan, crew, opened.cache, origin)


def refresh(
    app: object,
    *patterns: str,
    cache: Directory = None,
    host: str = "",
    older_than: float = 0,
    dry_run: bool = False,
    base_url: str | None = None,
    concurrency: int = CONCURRENCY,
    processes: int = 1,
    timeout: float = TIMEOUT,
) -> Run:
    """Render again what is stored, in place: whoever reads meanwhile gets the old page or the new one.

    A page that gives the same bytes is left alone; one that would not be stored any more is removed; one that fails
    stays. ``patterns`` are of paths, by default all of them; ``host`` limits them with ``per_host``; ``older_than`` is
    in seconds since the last render. A ``dry_run`` changes nothing and tells what would change. The rest is as for
    ``warm``.

    Iterate over what it gives. Raises ``ValueError`` for what cannot be done.
    """
    opened, site = _opened(app, cache)
    _require_pages(opened.cache, opened.carries)
    errand = _errand(base_url, opened.cache, concurrency, timeout)
    for pattern in patterns:
        path_pattern(pattern)
    plan = Renewal(opened.cache, patterns, host, older_than, dry_run)
    return Run(plan, _crew(opened, site, errand, processes), opened.cache, errand.origin)


def origin_for(base_url: str | None, cache: DiskCache) -> Origin:
    """The origin of requests that may fill this cache. Raises ``ValueError`` where none of them could."""
    origin = Origin.of(base_url, cache)
    if not cache.enabled:
        raise ValueError("the cache is switched off (ASGI_DISKCACHE=off or enabled=False): nothing would be stored")
    if not cache.hosts.allows(origin.host):
        names = ", ".join(cache.allowed_hosts) or "empty"
        raise ValueError(
            f"{origin.host!r} is not in allowed_hosts ({names}): nothing would be stored for it;"
            f" if it is one of yours: {_allowing(origin.host, cache)}"
        )
    if cache.scheme and origin.scheme != cache.scheme:
        raise ValueError(f"the cache has scheme={cache.scheme!r}: give a --base-url of that scheme")
    return origin


def _allowing(host: str, cache: DiskCache) -> str:
    hosts = hosts_with(host, cache.allowed_hosts)
    if cache.of_ini_file:
        return cache.spelled("allowed_hosts", hosts)
    return f"{switches_for(hosts)}, or allowed_hosts in the code"


def _require_pages(cache: DiskCache, carried: bool) -> None:
    """Raise ``ValueError`` where the first request would begin with an empty directory: nothing is refreshed there.

    Files that no cache has described are pages only where an ini file names the directory, as it did for wsgi_cache.
    """
    if not (carried and cache.of_ini_file and any(True for _ in cache.pages())):
        DiskCache.of_directory(cache.directory)
    if not cache.store.keeps_pages():
        raise ValueError(
            f"the pages in {cache.directory} were stored with other settings (or before a reboot), so that the app"
            " empties it when it starts: nothing is left to refresh, warm it instead"
        )


def _errand(base_url: str | None, cache: DiskCache, concurrency: int, timeout: float) -> Errand:
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency!r}: give 1 or more")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r}: give more than 0 seconds")
    return Errand(origin_for(base_url, cache), concurrency, min(timeout, LONGEST_TIMEOUT))


def _opened(app: object, cache: Directory) -> tuple[Opened, Site | None]:
    if isinstance(app, str):
        app = _site(app, cache)
    if isinstance(app, Site):
        return of_site(app), app
    return of_app(app, cache), None


def _site(app: str, cache: Directory) -> Site:
    if isinstance(cache, DiskCache):
        return Site(app, cache=os.fspath(cache.directory), options=cache.options())
    return Site(app, cache=None if cache is None else os.fspath(cache))


def _crew(opened: Opened, site: Site | None, errand: Errand, processes: int) -> Callable[[], Crew]:
    if processes < 1:
        raise ValueError(f"processes={processes!r}: give 1 or more")
    if processes == 1:
        return partial(errand.crew, opened)
    if site is None:
        raise ValueError("processes=2 or more import the app anew: give it as an import string")
    return partial(Processes, site, errand, processes)


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
