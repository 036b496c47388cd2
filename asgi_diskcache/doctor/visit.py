"""One visit of the doctor: the cache, the site, and the pages that stand in the one to be asked for at the other."""

from __future__ import annotations

import gzip
import os
import secrets
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.mapping import encoded

from .fetching import Answer, Origin
from .findings import Untold
from .naming import Naming
from .planting import Planting


@dataclass(frozen=True)
class Planted:
    """A file and what a client asks for to get it."""

    path: str
    target: str
    file: str
    body: bytes
    token: bytes
    """What no other page holds."""

    def is_in(self, answer: Answer) -> bool:
        """Whether this file, or a part of it, is what came."""
        return self.token in plain_body(answer)


@dataclass
class Visit:
    """What every check is given."""

    cache: DiskCache
    origin: Origin
    naming: Naming
    planting: Planting
    reached: bool = False
    """Whether the app says of itself that it was reached."""
    served: bool = False
    """Whether the front server sends what is planted."""
    pages: dict[str, Planted] = field(default_factory=dict)
    """Pages by their path, that stay until the end."""
    _hits: dict[str, Answer] = field(default_factory=dict)

    @cached_property
    def main(self) -> Planted:
        """The page for everything that needs only one."""
        return self.page_at(self.naming.plain("page"))

    def page(self, name: str) -> Planted:
        """A page of this name. Raises ``Untold`` if there is no path for it."""
        path = self.naming.page(name, lambda path: not path.endswith("/")) or self.naming.page(name)
        if not path:
            raise Untold(f"no path for a page named {name} is cached")
        return self.page_at(path)

    def page_at(self, path: str) -> Planted:
        """The page of this path, planted when it is first asked for. Raises ``Untold`` if it has no file."""
        if path not in self.pages:
            self.pages[path] = self.plant(path)
        return self.pages[path]

    def plant(self, path: str, host: str = "") -> Planted:
        """Plant the file of a path, as a host has it. Raises ``Untold`` if it has none."""
        file = self.cache.file_for(path, host or self.origin.host)
        if file is None:
            raise Untold(f"{path} has no file")
        return self.put(path, encoded(path).decode(), os.path.relpath(file, self.planting.root))

    def beside(self, page: Planted, name: str, body: bytes | None = None) -> Planted:
        """Plant a file of this name, which may be that of no page, in the directory of another one."""
        path, target, file = (text.rpartition("/")[0] for text in (page.path, page.target, page.file))
        return self.put(f"{path}/{name}", f"{target}/{quote(name)}", f"{file}/{name}".lstrip("/"), body)

    def put(self, path: str, target: str, file: str, body: bytes | None = None) -> Planted:
        """Plant a file with a token of its own."""
        token = secrets.token_hex(16).encode()
        body = b"".join(b"asgi-diskcache doctor %s\n" % token for _ in range(40)) if body is None else body
        self.planting.put(file, body)
        return Planted(path, target, file, body, token)

    def hit(self, page: Planted) -> Answer:
        """What a plain GET of a page brings; asked once."""
        if page.path not in self._hits:
            self._hits[page.path] = self.origin.fetch(page.target)
        return self._hits[page.path]

    def forget(self, page: Planted) -> None:
        """A page is not what it was any more."""
        self.pages.pop(page.path, None)
        self._hits.pop(page.path, None)

    def hits(self) -> list[tuple[Planted, Answer]]:
        """The pages that the front server serves, with what it sends."""
        found = [(page, self.hit(page)) for page in self.pages.values()]
        return [(page, answer) for page, answer in found if is_hit(page, answer)]


def is_hit(page: Planted, answer: Answer) -> bool:
    """Whether the front server sent this page, whole; the middleware's own hits are marked as such."""
    return answer.status == 200 and plain_body(answer) == page.body and not answer.by_app


def plain_body(answer: Answer) -> bytes:
    """The body without its gzip, if it has one."""
    if answer.headers.get("content-encoding", "").lower() == "gzip":
        try:
            return gzip.decompress(answer.body)
        except (OSError, EOFError, zlib.error):
            return answer.body
    return answer.body
