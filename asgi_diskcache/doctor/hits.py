"""Checks of what the front server sends by itself: that it does, and that it sends what the middleware would."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_diskcache.media_types import TYPES

from .fetching import Answer, Unreachable
from .findings import Complaint, Inapplicable, Untold
from .planting import Occupied
from .visit import Planted, Visit, is_hit

_UNMARKED = "cache_status=False, so it cannot be told who answered"


def reaches_the_app(visit: Visit) -> Iterator[Complaint]:
    """Ask for a page that has no file."""
    answer = visit.origin.fetch(f"{visit.main.target.rstrip('/')}-missing")
    visit.reached = answer.by_app
    if not answer.status:
        raise Unreachable(f"{visit.origin.url} closes the connection, or is silent, instead of answering")
    if not visit.cache.cache_status and answer.status < 500:
        raise Untold(_UNMARKED)
    if "detail=disabled" in answer.cache_status:
        yield Complaint(
            "the app answers, but its cache is switched off",
            "take ASGI_DISKCACHE=off out of the app's environment, or enabled=False out of its options",
        )
    elif answer.status in (502, 503, 504) and not answer.by_app:
        yield Complaint(f"the answer is {answer}", "start the app where the front server's configuration has it")
    elif not answer.by_app:
        yield Complaint(f"the answer is {answer}, without the Cache-Status of the app's cache")


def serves_the_file(visit: Visit) -> Iterator[Complaint]:
    """Ask for a page whose nonce the app has never seen."""
    answer = visit.hit(visit.main)
    visit.served = is_hit(visit.main, answer)
    if visit.served and not visit.cache.cache_status:
        raise Untold(_UNMARKED)
    if visit.served:
        return
    if answer.is_python_hit:
        yield Complaint("Python reads the file and sends it, and not the front server", _unread(visit, answer))
    elif answer.by_app:
        yield Complaint(
            f"the answer is {answer}: neither the front server nor the app looks in {visit.cache.directory}",
            "give the app, the front server and the doctor the same directory",
        )
    else:
        yield Complaint(f"the answer is {answer} and not the page")


def _unread(visit: Visit, answer: Answer) -> str:
    if answer.headers.get("server") in ("uvicorn", "hypercorn-h11", "granian", "gunicorn", "daphne", "waitress"):
        return "give the URL of the front server: this is the app's own; if there is none, see 'asgi-diskcache config'"
    return (
        f"see that the server's configuration names {visit.planting.root} as the server sees it (--root), that the "
        "next line has no cross, and that the app and the doctor have the same options; else write it again with "
        "'asgi-diskcache config', and reload the server"
    )


def serves_every_kind(visit: Visit) -> Iterator[Complaint]:
    """Plant a page of each kind that these options have, and ask for it."""
    for path in _kinds(visit):
        try:
            page = visit.page_at(path)
        except Occupied:  # By a page of the site.
            continue
        answer = visit.hit(page)
        if not is_hit(page, answer):
            came = "another body" if answer.status == 200 and not page.is_in(answer) else answer
            yield Complaint(f"{page.target} brings {came}")


def _kinds(visit: Visit) -> Iterator[str]:
    naming, cache = visit.naming, visit.cache
    names = (
        "letters \u00e9\u00e8",
        "language.en",
        *(f"page.{extension}" for extension in TYPES),
    )
    found = [naming.page("", lambda path: path.endswith("/")), *map(naming.page, names)]
    patterns = [pattern for pattern, _ in (*cache.typed, *cache.carried)]
    found += [naming.matching(pattern, f"kind{number}") for number, pattern in enumerate(patterns)]
    yield from dict.fromkeys(path for path in found if path and cache.file_for(path, visit.origin.host))


def has_its_type(visit: Visit) -> Iterator[Complaint]:
    """Compare the Content-Type of every hit."""
    for page, answer in visit.hits():
        wanted, came = visit.cache.type_of(page.path), answer.headers.get("content-type", "none")
        if came != wanted:
            yield Complaint(f"{page.target} is {came}, not {wanted}")


def carries_headers(visit: Visit) -> Iterator[Complaint]:
    """Compare what ``headers`` says of every hit."""
    names = {key: name for _, own in visit.cache.carried for key, (name, _) in own.items()}
    if not names:
        raise Inapplicable
    for page, answer in visit.hits():
        configured = visit.cache.headers_of(page.path)
        for key, name in names.items():
            _, wanted = configured.get(key, (name, ""))
            came = answer.headers.get(key, "")
            if wanted is not None and came != wanted:
                yield Complaint(f"{page.target} has {name}: {came or 'none'}, not {wanted or 'none'}")


def adds_nothing(visit: Visit) -> Iterator[Complaint]:
    """Look for what servers make up by the name of a file."""
    for page, answer in visit.hits():
        for name in ("Content-Language", "Content-Encoding"):
            if (came := answer.headers.get(name.lower())) and name.lower() not in visit.cache.headers_of(page.path):
                yield Complaint(f"{page.target} has {name}: {came}")


def _unchanged(visit: Visit, header: str, validator: str) -> Iterator[Complaint]:
    value = visit.hit(visit.main).headers.get(validator.lower())
    if not value:
        yield Complaint(f"hits have no {validator}")
        return
    answer = visit.origin.fetch(visit.main.target, {header: value})
    if answer.status != 304 or answer.body:
        came = "a body" if answer.status == 304 else answer
        yield Complaint(f"{header} of the page's own {validator} brings {came}, not 304 alone")


def knows_its_etag(visit: Visit) -> Iterator[Complaint]:
    """Ask again with the ETag."""
    yield from _unchanged(visit, "If-None-Match", "ETag")


def knows_its_date(visit: Visit) -> Iterator[Complaint]:
    """Ask again with the date."""
    yield from _unchanged(visit, "If-Modified-Since", "Last-Modified")


def answers_head(visit: Visit) -> Iterator[Complaint]:
    """Compare the head of a HEAD with that of a GET."""
    whole, answer = visit.hit(visit.main), visit.origin.fetch(visit.main.target, method="HEAD")
    if answer.status != 200 or answer.by_app:
        yield Complaint(f"the answer is {answer}")
        return
    if answer.body:
        yield Complaint("a body comes with it")
    names = ["content-type", "content-length", "etag", "last-modified", *visit.cache.headers_of(visit.main.path)]
    for name in names:
        came, wanted = answer.headers.get(name), whole.headers.get(name)
        if came != wanted and (name, came) != ("etag", (wanted or "").removeprefix("W/")):
            # Apache calls the ETag of a file weak as long as it is younger than a second.
            yield Complaint(f"{name} is {came}, and {wanted} for a GET")


def answers_a_range(visit: Visit) -> Iterator[Complaint]:
    """Ask for three bytes of a page."""
    body = visit.main.body
    answer = visit.origin.fetch(visit.main.target, {"Range": "bytes=5-7"})
    if answer.status != 206 or answer.body != body[5:8] or answer.by_app:
        yield Complaint(f"the answer is {answer} with {len(answer.body)} bytes, not 206 with the 3 that were asked for")
    elif (came := answer.headers.get("content-range")) != f"bytes 5-7/{len(body)}":
        yield Complaint(f"Content-Range is {came}")


def _still_a_hit(visit: Visit, page: Planted, answer: Answer, says: str) -> Iterator[Complaint]:
    if not is_hit(page, answer):
        yield Complaint(f"with {says} the answer is {answer}, and not the file")


def ignores_parameters(visit: Visit) -> Iterator[Complaint]:
    """Ask with the parameters that trackers add."""
    if not visit.cache.ignore_query:
        raise Inapplicable
    names = [name.replace("*", "doctor") for name in visit.cache.ignore_query]
    query = "&".join(f"{name}=1" for name in names[:3])
    yield from _still_a_hit(visit, visit.main, visit.origin.fetch(f"{visit.main.target}?{query}"), f"?{query}")


def ignores_cookies(visit: Visit) -> Iterator[Complaint]:
    """Ask with the cookies that trackers set."""
    names = [name.replace("*", "doctor") for name in visit.cache.ignore_cookies]
    names = [name for name in names if name not in visit.cache.session_cookies]
    if not names:
        raise Inapplicable
    cookie = "; ".join(f"{name}=1" for name in names[:3])
    answer = visit.origin.fetch(visit.main.target, {"Cookie": cookie})
    yield from _still_a_hit(visit, visit.main, answer, f"Cookie: {cookie}")
