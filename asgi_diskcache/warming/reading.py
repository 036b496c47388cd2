"""Where an answer leads: the pages of our own site that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from asgi_diskcache.calling import Origin
from asgi_diskcache.memo import Memo
from asgi_diskcache.settings import Settings

from . import links
from .glimpses import Glimpse
from .jobs import Kind, Link


class Reader:
    """Reads the answers of one site."""

    def __init__(self, origin: Origin, settings: Settings) -> None:
        self._origin = origin
        self._settings = settings
        self._root = origin.target("/").rstrip("/")
        self._site = Origin(origin.scheme, origin.host)
        self._own = Memo(self._owned)  # Most links stand on many pages.

    def leads(self, target: str, answer: Glimpse) -> list[Link]:
        """The pages that the answer of a target leads to, each once."""
        found = ((self._own[url], kind) for url, kind in self._named(f"{self._origin.base_url}{target}", answer))
        return list(dict.fromkeys(Link(own, kind) for own, kind in found if own))

    def seeds(self, sitemap: bytes) -> list[Link]:
        """The pages that a sitemap names, whatever host it names them for."""
        return list(dict.fromkeys(self._in_sitemap(sitemap)))

    def _named(self, url: str, answer: Glimpse) -> Iterator[tuple[str, Kind]]:
        if 300 <= answer.status < 400:
            yield from ((found, "redirect") for found in links.joined(url, answer.all("location")))
        elif answer.follow == "sitemaps" and answer.is_read:
            yield from ((f"{self._origin.base_url}{link.target}", link.kind) for link in self.seeds(answer.body))
        elif answer.follow == "links" and answer.status == 200:
            yield from ((found, "page") for found in links.in_header(answer.all("link"), url))
            yield from ((found, "page") for found in self._linked(url, answer))

    def _linked(self, url: str, answer: Glimpse) -> Iterable[str]:
        return links.linked(answer.body, answer.first("content-type"), url) if answer.is_read else ()

    def _in_sitemap(self, body: bytes) -> Iterator[Link]:
        for found in links.in_sitemap(body):
            try:
                yield Link(self._trimmed(self._origin.target(found.url)), "sitemap" if found.is_sitemap else "page")
            except ValueError:
                continue  # A line that is no URL.

    def _owned(self, url: str) -> str:
        """The target of a URL, or ``""`` if it is not of our site."""
        try:
            parts = urlsplit(url)
            ours = parts.scheme in ("http", "https") and self._is_ours(parts.netloc)
            target = self._site.target(url) if ours else ""
        except ValueError:
            return ""
        return self._trimmed(target) if f"{target.partition('?')[0]}/".startswith(f"{self._root}/") else ""

    def _is_ours(self, host: str) -> bool:
        settings = self._settings
        if host.lower() == self._origin.host.lower():
            return True
        return not settings.per_host and "*" not in settings.allowed_hosts and settings.hosts.allows(host)

    def _trimmed(self, target: str) -> str:
        """A target without a query that changes nothing."""
        path, _, query = target.partition("?")
        names = (parameter.partition("=")[0] for parameter in query.split("&"))
        matters = ";" in query or any(name not in self._settings.ignored_query for name in names)
        return target if query and matters else path
