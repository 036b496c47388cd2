"""A WSGI app rendered in the thread that asks: for visits, who have no followers and need no event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from . import cache_status
from .body import SPOOL_ABOVE
from .bridge import Call, StartResponse
from .bridge import Response as Pieces
from .cache import DiskCache
from .exchange import Request, Response, fields
from .policy import STORED, refusal
from .store import Claim, Draft, Unstorable
from .visits import Visit


class Recording:
    """An answer on its way to our own visit: its body is kept as a draft, for as long as it may be stored."""

    def __init__(self, request: Request, claim: Claim, cache: DiskCache, visit: Visit) -> None:
        """Record what the app answers to ``request``; ``claim`` is released with the draft."""
        self._path = request.page.path if request.page else ""
        self._cache = cache
        self._visit = visit
        self._draft: Draft | None = Draft(claim)
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._response: Response | None = None

    def of(self, call: Call, start_response: StartResponse) -> Iterator[bytes]:
        """Call the app, and give its pieces; at the end the visit has the draft, or the reason why there is none.

        Raises what the app raises.
        """
        try:
            for piece in Pieces(call, self._starting(start_response)).pieces():
                self._take(piece)
                yield piece
            self._finish()
        finally:
            self._give_up("incomplete")

    def _starting(self, start_response: StartResponse) -> StartResponse:
        def start(line: str, headers: list[tuple[str, str]]) -> Callable[[bytes], object]:
            self._open(int(line[:3]), headers)
            refused = self._visit.outcome
            status = cache_status.missed(refused) if refused else cache_status.STORED
            marks = [("Cache-Status", status)] if self._cache.cache_status else []
            return self._writing(start_response(line, [*headers, *marks]))

        return start

    def _writing(self, write: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def write_and_take(data: bytes) -> None:
            self._take(data)
            write(data)

        return write_and_take

    def _open(self, status: int, headers: list[tuple[str, str]]) -> None:
        raw = ((name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers)
        self._response = Response(path=self._path, status=status, headers=fields(raw), now=time.time(), length=0)
        # Of the rules only those about the length could judge otherwise at the end: no server lies in between.
        if reason := refusal(STORED, self._response, self._cache):
            self._give_up(reason)

    def _take(self, piece: bytes) -> None:
        if self._response is None or self._draft is None:
            return
        self._response.length = (self._response.length or 0) + len(piece)
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._response.length > int(self._cache.max_body):
            self._give_up("too-large")
        elif self._waiting > SPOOL_ABOVE:
            self._spill(self._draft)

    def _spill(self, draft: Draft) -> None:
        data, self._pieces, self._waiting = b"".join(self._pieces), [], 0
        try:
            self._cache.store.append(draft, data)
        except Unstorable as error:
            self._give_up(error.reason)
        except OSError as error:
            self._give_up(self._cache.store.trouble.reason(error))

    def _finish(self) -> None:
        if self._response is None or self._draft is None:
            return
        lengths = self._response.headers.get("content-length", ())
        if any(length != str(self._response.length) for length in lengths):
            self._give_up("incomplete")
        elif not self._response.length:
            self._give_up("empty")
        if self._draft:
            self._draft.body = self._pieces
            self._visit.draft, self._draft = self._draft, None

    def _give_up(self, reason: str) -> None:
        draft, self._draft, self._pieces = self._draft, None, []
        if draft:
            self._visit.outcome = reason
            self._cache.store.discard(draft)
