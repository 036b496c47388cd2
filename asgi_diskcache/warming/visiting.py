"""One visit: a job as a request of ours, and the outcome that its answer comes to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.calling import Origin, summary
from asgi_diskcache.exchange import Request, Response, fields
from asgi_diskcache.policy import ANSWERED, STORED, refusal
from asgi_diskcache.store import Draft, Unstorable
from asgi_diskcache.visits import KEY, Visit

from .glimpses import Glimpse
from .jobs import Job, Outcome, Result, Visited, judged
from .reading import Reader

_LOOK = (b"cache-control", b"no-store")
"""The request header by which a page is not stored."""


@dataclass
class Visiting:
    """A request that is to be made, and what comes of it."""

    job: Job
    request: Request
    scope: Scope
    answer: Glimpse


class Visitor:
    """Makes requests of jobs, and outcomes of answers, for one app."""

    def __init__(self, cache: DiskCache, origin: Origin) -> None:
        """Ask as ``origin`` says; ``cache`` is the one that the app is behind."""
        self._cache = cache
        self._origin = origin
        self._reader = Reader(origin, cache)

    def begin(self, job: Job) -> Visiting | Visited:
        """The request that a job needs, or its outcome where none is needed."""
        try:
            visiting = self._prepared(job)
        except ValueError as error:
            return Visited(job.id, Outcome(job.target, "failed", str(error)))
        page = visiting.request.page
        if not job.asked and (reason := refusal(ANSWERED, visiting.request, self._cache)):
            return self._visited(visiting, "refused", reason)
        if page and job.wish == "fill" and not job.follow and self._cache.store.stands(page):
            return self._visited(visiting, "present")
        return visiting

    def conclude(self, visiting: Visiting, error: str = "") -> Visited:
        """The outcome of what was answered, or of an error."""
        if error:
            return self._visited(visiting, "failed", error)
        try:
            return self._concluded(visiting)
        except Exception as unread:  # Pages say what they like: nothing of it may end the run.
            return self._visited(visiting, "failed", f"it cannot be read: {summary(unread)}")

    def publish(self, visits: Sequence[Visiting]) -> None:
        """Store the drafts that a WSGI app has left in visits, or tell what that would come to."""
        store, drafts = self._cache.store, [draft for found in visits if (draft := found.answer.visit.draft)]
        try:
            if visits and visits[0].answer.visit.tries:
                for draft in drafts:
                    store.compare(draft)
            else:
                store.publish(drafts)
        except OSError as error:
            store.trouble.warn(error)
        for visiting, draft in zip(visits, drafts, strict=True):
            visiting.answer.visit.outcome = draft.outcome

    def _concluded(self, visiting: Visiting) -> Visited:
        answer = visiting.answer
        if visiting.job.wish == "missing" and visiting.request.page and answer.status == 404 and answer.complete:
            answer.visit.outcome = self._kept(visiting)
        result, why = judged(answer.visit.known, answer.status)
        if result == "redirected":
            why = answer.first("location")
        return self._visited(visiting, result, why)._replace(links=self._reader.leads(visiting.job.target, answer))

    def _kept(self, visiting: Visiting) -> str:
        """Store the body of an answer that is no page of its own."""
        page, answer, store = visiting.request.page, visiting.answer, self._cache.store
        assert page is not None
        said = Response(page.path, 200, fields(answer.headers), time.time(), {}, answer.trailers, answer.length, True)
        if reason := refusal(STORED, said, self._cache):
            return reason
        if any(length.strip() != str(answer.length) for length in answer.all("content-length")):
            return "incomplete"
        if len(answer.body) != answer.length:
            return "too-large"
        try:
            draft = Draft(store.claim(page), answer.pieces)
        except Unstorable as error:
            return error.reason
        store.publish([draft])
        return draft.outcome

    def _prepared(self, job: Job) -> Visiting:
        visit = Visit(renews=job.wish in ("renew", "try", "missing"), tries=job.wish == "try")
        host = [(b"host", job.host.encode("latin-1"))] if job.host else []
        scope = self._origin.scope(job.target, [*host, *([_LOOK] if job.wish == "look" else [])])
        scope[KEY] = visit
        return Visiting(job, self._cache.request_of(scope), scope, Glimpse(visit=visit, follow=job.follow))

    def _visited(self, visiting: Visiting, result: Result, why: str = "") -> Visited:
        job, answer, page = visiting.job, visiting.answer, visiting.request.page
        outcome = Outcome(job.path, result, why, answer.status, answer.length, page.host if page else "")
        return Visited(job.id, outcome)
