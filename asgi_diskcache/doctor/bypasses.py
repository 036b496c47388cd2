"""Checks of what the front server must not answer with a file: each plants one, and asks for it in the wrong way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from asgi_diskcache.request_rules import IDENTITY_HEADERS
from asgi_diskcache.reserved import PRECOMPRESSED
from asgi_diskcache.servers.rules import IDENTITY_NAMES
from asgi_diskcache.store import NAME as CONTROL

from .findings import Complaint, Inapplicable
from .planting import Occupied
from .visit import Planted, Visit

_OWN = "asgi-diskcache-doctor"
_HOP_BY_HOP = ("upgrade", "proxy-authorization")


@dataclass(frozen=True)
class Try:
    """A request that must not be answered with this file."""

    page: Planted
    target: str = ""
    """By default the file's own."""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    host: str = ""
    by_app: bool = False
    """Whether the app must answer it; else the server may refuse it itself."""
    respelled: bool = False
    """Whether a server may make another request of it for the app, which then brings the file rightly."""

    def __str__(self) -> str:
        headers = {"Host": self.host, **self.headers} if self.host else self.headers
        said = ", ".join(f"{name}: {value}" for name, value in headers.items())
        return f"{self.method} {self.target or self.page.target}{f' with {said}' if said else ''}"


def never(tries: Callable[[Visit], Iterable[Try]]) -> Callable[[Visit], Iterator[Complaint]]:
    """The check that none of these requests brings its file."""

    def check(visit: Visit) -> Iterator[Complaint]:
        planned = list(tries(visit))
        if not planned:
            raise Inapplicable
        for each in planned:
            yield from _complaints(visit, each)

    return check


def _complaints(visit: Visit, each: Try) -> Iterator[Complaint]:
    target = each.target or each.page.target
    answer = visit.origin.fetch(target, each.headers, method=each.method, host=each.host)
    if each.page.is_in(answer):
        if not answer.by_app:
            yield Complaint(f"{each} brings the file")
        elif not each.respelled:
            yield Complaint(f"{each} reaches the app as another request, and brings the file")
    elif each.by_app and visit.reached and not answer.by_app:
        yield Complaint(f"{each} does not reach the app: the answer is {answer}")


def queries(visit: Visit) -> Iterator[Try]:
    """A parameter that is not ignored, alone, beside one that is, and behind a semicolon."""
    if _OWN in visit.cache.ignored_query:
        return
    known = [name.replace("*", "x") for name in list(visit.cache.ignore_query)[:1]]
    for query in (f"?{_OWN}=1", *(f"?{name}=1{joint}{_OWN}=1" for name in known for joint in "&;")):
        yield Try(visit.main, visit.main.target + query, by_app=True)


def cookies(visit: Visit) -> Iterator[Try]:
    """Each cookie of people who are logged in, alone, and after and before one that is none of theirs."""
    for name in visit.cache.bypass_cookies:
        own = f"{name.replace('*', 'doctor')}=1"
        for cookies in (own, f"a=b; {own}", f"{own}; a=b"):
            yield Try(visit.main, headers={"Cookie": cookies}, by_app=True)


def identities(visit: Visit) -> Iterator[Try]:
    """Each header that names somebody; one that the front server takes away may as well get a page."""
    for name in IDENTITY_HEADERS:
        for rest in IDENTITY_NAMES.get(name, ("",)):
            yield from _with_header(visit, name.rstrip("*") + rest, _OWN)


def variants(visit: Visit) -> Iterator[Try]:
    """Each header that asks for another representation."""
    for entry in visit.cache.bypass_headers:
        name, _, value = entry.partition(":")
        yield from _with_header(visit, name.strip(), value.strip() or _OWN)


def _with_header(visit: Visit, name: str, value: str) -> Iterator[Try]:
    # Without Cache-Status it cannot be told whether the page comes from an app that never saw the header.
    if visit.cache.cache_status or name.lower() not in _HOP_BY_HOP:
        yield Try(visit.main, headers={name: value}, respelled=True)


def methods(visit: Visit) -> Iterator[Try]:
    """Methods that bring no page."""
    for method in ("POST", "OPTIONS", "PUT", "DELETE"):
        yield Try(visit.page("posted"), headers={"Content-Length": "0"}, method=method, by_app=True)


def foreign_hosts(visit: Visit) -> Iterator[Try]:
    """Hosts that are not ours, one that begins as ours does; with a file of theirs where hosts have their own."""
    for host in (f"{visit.naming.word}.invalid", f"{visit.origin.name}.{visit.naming.word}.invalid"):
        if not visit.cache.hosts.allows(host):
            page = visit.plant(visit.main.path, host) if visit.cache.per_host else visit.main
            yield Try(page, host=host)


def left_out(visit: Visit) -> Iterator[Try]:
    """Files of paths that ``exclude`` names, or that ``include`` does not; who answers them is not our business."""
    for path in dict.fromkeys(visit.naming.uncached()):
        if visit.cache.file_for(path, visit.origin.host):
            with suppress(Occupied):
                yield Try(visit.plant(path))


def dot_files(visit: Visit) -> Iterator[Try]:
    """A file and a directory whose names begin with a dot, and the cache's own."""
    yield Try(visit.beside(visit.main, f".{visit.naming.word}"))
    hidden = visit.beside(visit.main, f".{visit.naming.word}.d/page")
    yield Try(hidden)
    with suppress(OSError):
        settings = (Path(visit.planting.root) / CONTROL / "settings").read_bytes()
        yield Try(Planted("", f"/{CONTROL}/settings", "", settings, settings))


def file_names(visit: Visit) -> Iterator[Try]:
    """Files by the names that they have on the disk, where these are not their path."""
    for page in visit.pages.values():
        added = page.file.rpartition("/")[2].removeprefix(page.path.rpartition("/")[2])
        if added:
            yield Try(page, page.target + quote(added))


def reserved(visit: Visit) -> Iterator[Try]:
    """Names that servers take for something else than a page."""
    for name in ("reserved.php", "reserved.cgi", *(f"reserved{ending}" for ending in PRECOMPRESSED)):
        path = f"{visit.main.path.rpartition('/')[0]}/{visit.naming.word}-{name}"
        if visit.cache.file_for(path, visit.origin.host) is None:
            yield Try(visit.beside(visit.main, f"{visit.naming.word}-{name}"))


def spellings(visit: Visit) -> Iterator[Try]:
    """Other spellings of a path; a server that respells them for the app may get its page from there."""
    directory, _, name = visit.main.target.rstrip("/").rpartition("/")
    slash = "/" if visit.main.target.endswith("/") else ""
    for target in (
        f"{directory}/%{ord(name[0]):02X}{name[1:]}{slash}",
        f"/{visit.main.target}",
        f"{directory}//{name}{slash}",
        f"{directory}/./{name}{slash}",
        f"{directory}/x/../{name}{slash}",
        f"{directory}%2F{name}{slash}",
    ):
        yield Try(visit.main, target, respelled=True)


def slashes(visit: Visit) -> Iterator[Try]:
    """A path with a slash too many or too few, which is another path."""
    for page in visit.pages.values():
        if page.target.endswith("/"):
            yield Try(page, page.target[:-1], by_app=True)
        elif page is visit.main:
            yield Try(page, f"{page.target}/", by_app=True)
