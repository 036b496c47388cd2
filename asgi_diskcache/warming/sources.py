"""Where a run begins: the pages that somebody names, in whatever form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asgi_diskcache.calling import Origin

from . import links
from .frontier import Seed
from .jobs import Follow
from .opening import Opened
from .reading import Reader
from .routes import static_routes


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a run is told to begin with; all of it together."""

    paths: tuple[str, ...] = ()
    """Paths, or full URLs, whose path counts."""
    urls: Iterable[str] = ()
    """Lines of a file, taken as they are needed; an empty one, or one that starts with ``#``, says nothing."""
    sitemaps: tuple[str, ...] = ()
    """Paths of the site's own sitemaps, or names of files."""
    crawl: bool = False
    """Whether links are followed: from ``/``, if nothing else is named."""
    routes: bool = False
    """Whether the routes that the framework knows are taken."""

    def __post_init__(self) -> None:
        if not (self.paths or self.urls or self.sitemaps or self.crawl or self.routes):
            raise ValueError(
                "nothing to begin with: name paths, or give --crawl to follow links from '/', --sitemap, --urls or"
                " --routes"
            )
        if self.crawl:
            links.require()

    def seeds(self, opened: Opened, origin: Origin) -> Iterator[Seed]:
        """The pages to begin with, lazily but for what can be wrong.

        Raises ``Unreadable`` for routes, ``OSError`` for a file, ``ValueError`` for a path.
        """
        reader = Reader(origin, opened.cache)
        named = [origin.target(path) for path in self.paths]
        routes = [origin.target(path) for path in static_routes(opened.found)] if self.routes else []
        sitemaps = [seed for sitemap in self.sitemaps for seed in self._sitemap(sitemap, origin, reader)]
        crawled = [origin.target("/")] if self.crawl and not (named or routes or sitemaps or self.urls) else []
        return self._all([*named, *crawled, *routes], sitemaps, origin)

    @property
    def follow(self) -> Follow:
        """What pages are read for."""
        return "links" if self.crawl else ""

    def _all(self, targets: Iterable[str], sitemaps: Iterable[Seed], origin: Origin) -> Iterator[Seed]:
        yield from sitemaps  # First: one that is also a page is read as what it is.
        yield from (Seed(target, self.follow) for target in targets)
        for line in map(str.strip, self.urls):
            if line and not line.startswith("#"):
                yield Seed(_target(line, origin), self.follow)

    def _sitemap(self, sitemap: str, origin: Origin, reader: Reader) -> Iterator[Seed]:
        if not Path(sitemap).is_file():
            yield Seed(origin.target(sitemap), "sitemaps")
            return
        for link in reader.seeds(Path(sitemap).read_bytes()):
            yield Seed(link.target, "sitemaps" if link.kind == "sitemap" else self.follow)


def _target(line: str, origin: Origin) -> str:
    try:
        return origin.target(line)
    except ValueError:
        return line  # Which fails when its turn comes: the others are not to blame.
