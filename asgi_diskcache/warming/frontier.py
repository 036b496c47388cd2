"""Which page is next: every one once, in the order in which they were found, within the limits. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import unquote
from zlib import crc32

from asgi_diskcache.patterns import PathPattern

from .jobs import Follow, Job, Link, Outcome, Visited, Wish

MAX_REFERRERS = 5
"""Pages that are named as linking to one that is missing."""


@dataclass(frozen=True)
class Seed:
    """A page to begin with."""

    target: str
    follow: Follow = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which of the pages that are found are meant."""

    only: tuple[PathPattern, ...] = ()
    skip: tuple[PathPattern, ...] = ()
    max_depth: int | None = None
    """Links from a page that was named to the farthest one."""
    max_pages: int | None = None
    shard: tuple[int, int] = (1, 1)
    """Which share of how many, by a hash of the path: the same on every machine."""

    def __post_init__(self) -> None:
        share, shares = self.shard
        if not 1 <= share <= shares:
            raise ValueError(f"shard={self.shard!r}: give (1, 2) for the first half and (2, 2) for the second")
        if self.max_depth is not None and self.max_depth < 0:
            raise ValueError(f"max_depth={self.max_depth!r}: give 0 or more")

    def means(self, path: str) -> bool:
        """Whether this decoded path is to be rendered here."""
        wanted = not self.only or any(pattern.matches(path) for pattern in self.only)
        share, shares = self.shard
        return wanted and crc32(path.encode("utf-8", "surrogatepass")) % shares == share - 1

    def skips(self, path: str) -> bool:
        """Whether this decoded path is not even asked for its links."""
        return any(pattern.matches(path) for pattern in self.skip)

    def leads_on(self, path: str) -> bool:
        """Whether a page that was found by a link, and is another machine's, has to be read for its links."""
        return self.shard[1] > 1 and (not self.only or any(pattern.matches(path) for pattern in self.only))


@dataclass(slots=True)
class Waiting:
    """A page that was found and is not settled yet."""

    job: Job
    depth: int
    named: bool
    """Whether somebody wants it, and not only a link."""
    referrers: list[str] = field(default_factory=list)


class Frontier:
    """The pages that are to be visited, and those that have been."""

    def __init__(self, seeds: Iterable[Seed], selection: Selection, wish: Wish = "fill", crawls: bool = False) -> None:
        """Begin with ``seeds``, which are taken lazily; ``crawls`` says whether links are followed."""
        self._seeds: Iterator[Seed] = iter(seeds)
        self._selection = selection
        self._wish = wish
        self._below: Follow = "links" if crawls else ""
        self._ids = count()
        self._seen: dict[str, int] = {}
        self._queues: dict[int, deque[Waiting]] = {}
        self._under_way: dict[int, Waiting] = {}
        self._waiting: dict[int, Waiting] = {}
        self._rendered = 0

    @property
    def known(self) -> int:
        """How many pages are known so far."""
        return len(self._seen)

    def next(self) -> Job | None:
        """The next page to ask for, or ``None`` if there is none for now."""
        while (depth := self._nearest()) is not None and not self._is_full and not self._must_wait(depth):
            waiting = self._queues[depth].popleft()
            if not self._queues[depth]:
                del self._queues[depth]
            if waiting.depth == depth:  # Else it has come nearer meanwhile, and its turn was before.
                self._under_way[waiting.job.id] = waiting
                self._rendered += waiting.job.wish != "look"
                return waiting.job
        return None

    def settle(self, visited: Visited) -> Outcome | None:
        """Take in what became of a page; gives what there is to report."""
        waiting = self._under_way.pop(visited.id)
        del self._waiting[visited.id]
        if visited.outcome is None:
            return None
        for link in visited.links:
            self._follow(link, waiting, visited.outcome.path)
        outcome = visited.outcome._replace(referrers=tuple(waiting.referrers))
        if outcome.result == "missing" and waiting.named:
            outcome = outcome._replace(result="failed")
        trouble = outcome.result == "failed" and not waiting.depth
        return outcome if waiting.job.wish != "look" or trouble else None

    def _nearest(self) -> int | None:
        while not self._queues.get(0) and (seed := next(self._seeds, None)):
            self._admit(Link(seed.target), seed.follow, depth=0, referrer="")
        return min((depth for depth, queue in self._queues.items() if queue), default=None)

    @property
    def _is_full(self) -> bool:
        return self._selection.max_pages is not None and self._rendered >= self._selection.max_pages

    def _must_wait(self, depth: int) -> bool:
        # With a limit of depth the shortest way to each page counts, so that all of one depth come before the next.
        limited = self._selection.max_depth is not None
        return limited and any(waiting.depth < depth for waiting in self._under_way.values())

    def _follow(self, link: Link, found_in: Waiting, referrer: str) -> None:
        same = link.kind == "redirect"
        named = found_in.job.follow == "sitemaps"
        follow = found_in.job.follow if same else "sitemaps" if link.kind == "sitemap" else self._below
        depth = found_in.depth + (not same and not named)
        ours = same and found_in.job.wish != "look"
        self._admit(link, follow, depth, "" if named else referrer, self._wish if ours else None)

    def _admit(self, link: Link, follow: Follow, depth: int, referrer: str, wish: Wish | None = None) -> None:
        if (known := self._seen.get(link.target)) is not None:
            self._refer(known, referrer)
            self._come_nearer(known, depth)
            return
        path = unquote(link.target.partition("?")[0])
        wish = self._wish_for(path, follow, depth) if wish is None or self._below else wish
        if wish is None:
            return
        job = Job(next(self._ids), link.target, "", wish, follow, asked=not depth)
        self._seen[link.target] = job.id
        self._waiting[job.id] = waiting = Waiting(job, depth, not referrer, [referrer] if referrer else [])
        self._queues.setdefault(depth, deque()).append(waiting)

    def _come_nearer(self, known: int, depth: int) -> None:
        """Have a page that waits come as early as the shorter way to it wants."""
        waiting = self._waiting.get(known)
        if waiting and known not in self._under_way and depth < waiting.depth:
            waiting.depth, waiting.job = depth, waiting.job._replace(asked=not depth)
            self._queues.setdefault(depth, deque()).append(waiting)

    def _refer(self, known: int, referrer: str) -> None:
        waiting = self._waiting.get(known)
        if waiting and not referrer:
            waiting.named = True
        if waiting and referrer and len(waiting.referrers) < MAX_REFERRERS and referrer not in waiting.referrers:
            waiting.referrers.append(referrer)

    def _wish_for(self, path: str, follow: Follow, depth: int) -> Wish | None:
        selection = self._selection
        if selection.skips(path) or (selection.max_depth is not None and depth > selection.max_depth):
            return None
        if selection.means(path):
            return self._wish
        return "look" if follow and (not depth or selection.leads_on(path)) else None
