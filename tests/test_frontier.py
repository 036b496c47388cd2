"""Which pages a run visits: each once, by the shortest way, within the limits, whatever order they are settled in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_diskcache.mapping import file_for
from asgi_diskcache.patterns import PathPattern, path_pattern
from asgi_diskcache.snapshots import Snapshot
from asgi_diskcache.warming.crews import Plan
from asgi_diskcache.warming.exporting import MISSING, Export
from asgi_diskcache.warming.frontier import MAX_REFERRERS, Frontier, Seed, Selection
from asgi_diskcache.warming.jobs import Job, Kind, Link, Outcome, Result, Visited, judged

Site = Mapping[str, Sequence[Link]]
"""The links of each page; one whose link is a redirect is no page itself, and one that has no entry is missing."""


def links(*targets: str, kind: Kind = "page") -> list[Link]:
    return [Link(target, kind) for target in targets]


def patterns(*texts: str) -> tuple[PathPattern, ...]:
    return tuple(map(path_pattern, texts))


def crawling(*targets: str, **limits: object) -> Frontier:
    """A frontier that follows links from these."""
    return Frontier([Seed(target, "links") for target in targets], Selection(**limits), crawls=True)  # type: ignore[arg-type]


def naming(*targets: str, **limits: object) -> Frontier:
    """A frontier of these pages, and of those that redirects lead to."""
    return Frontier([Seed(target) for target in targets], Selection(**limits))  # type: ignore[arg-type]


def done(job: Job, result: Result = "stored", *led_to: Link, why: str = "") -> Visited:
    """A job that came to this."""
    return Visited(job.id, Outcome(job.path, result, why), led_to)


def asked(job: Job, site: Site) -> Visited:
    """A job that was done on a site."""
    led_to = site.get(job.target)
    if led_to is None:
        return done(job, "missing", why="status 404")
    if any(link.kind == "redirect" for link in led_to):
        return done(job, "redirected", *led_to)
    return done(job, "stored", *(led_to if job.follow else ()))


def carried_out(
    plan: Plan, site: Site, random: Random | None = None, capacity: int = 3
) -> tuple[list[Job], list[Outcome]]:
    """All jobs that a plan gives, and what it reports of them: they are settled by chance, or in their order."""
    jobs: list[Job] = []
    outcomes: list[Outcome] = []
    under_way: list[Job] = []
    while True:
        while len(under_way) < capacity and (job := plan.next()):
            jobs.append(job)
            under_way.append(job)
        if not under_way:
            return jobs, outcomes
        assert len(jobs) < 1000, "it does not end"
        settled = under_way.pop(random.randrange(len(under_way)) if random else 0)
        if outcome := plan.settle(asked(settled, site)):
            outcomes.append(outcome)


def visited(plan: Plan, site: Site, random: Random | None = None, capacity: int = 3) -> list[str]:
    """The targets that a plan asks for, in their order."""
    return [job.target for job in carried_out(plan, site, random, capacity)[0]]


def rendered(plan: Plan, site: Site, random: Random | None = None) -> list[str]:
    """Those of them that are asked for to be stored."""
    return [job.target for job in carried_out(plan, site, random)[0] if job.wish != "look"]


def taken(plan: Plan) -> list[Job]:
    """All jobs that there are before one is settled."""
    return list(iter(plan.next, None))


def distances(site: Site, seeds: Sequence[str]) -> dict[str, int]:
    """How many links lead to each page by the shortest way; a redirect is none."""
    found, queue = dict.fromkeys(seeds, 0), deque(seeds)
    while queue:
        page = queue.popleft()
        for link in site.get(page, ()):
            far = found[page] + (link.kind == "page")
            if far < found.get(link.target, far + 1):
                found[link.target] = far
                queue.append(link.target)
    return found


def sites(*kinds: Kind) -> st.SearchStrategy[Site]:
    """Small sites whose pages link to one or two, that are there or not, or redirect."""
    leads = st.tuples(st.sampled_from(kinds), st.lists(NUMBERS, min_size=1, max_size=2, unique=True))
    return st.lists(leads, min_size=5, max_size=8).map(
        lambda pages: {f"/{number}": _linked(kind, targets) for number, (kind, targets) in enumerate(pages)}
    )


def _linked(kind: Kind, targets: list[int]) -> list[Link]:
    return links(*(f"/{target}" for target in targets[: 1 if kind == "redirect" else None]), kind=kind)


NUMBERS = st.integers(0, 8)
RANDOMS = st.randoms(use_true_random=False)
CAPACITIES = st.integers(1, 3)
DEPTHS = st.integers(0, 3)
SEEDS = st.lists(NUMBERS.map("/{}".format), min_size=1, max_size=3, unique=True)

TREE = {
    "/": links("/a", "/b"),
    "/a": links("/a/1", "/", "/b"),
    "/b": links("/b/1", "/a/1"),
    "/a/1": links("/a/1/x"),
    "/b/1": links("/"),
    "/a/1/x": links(),
}


@pytest.mark.parametrize("capacity", [1, 2, 8])
def test_pages_come_in_the_order_in_which_they_are_found(capacity: int) -> None:
    assert visited(crawling("/"), TREE, capacity=capacity) == ["/", "/a", "/b", "/a/1", "/b/1", "/a/1/x"]
    assert visited(naming("/b", "/a", "/b", "/"), TREE, capacity=capacity) == ["/b", "/a", "/"]


@given(sites("page", "redirect"), SEEDS, RANDOMS, CAPACITIES)
def test_every_page_that_can_be_reached_is_asked_for_once(
    site: Site, seeds: list[str], random: Random, capacity: int
) -> None:
    assert sorted(visited(crawling(*seeds), site, random, capacity)) == sorted(distances(site, seeds))


@settings(max_examples=200)
@given(sites("page"), RANDOMS, CAPACITIES, DEPTHS)
def test_the_depth_of_a_page_is_that_of_the_shortest_way(
    site: Site, random: Random, capacity: int, max_depth: int
) -> None:
    within = {page for page, far in distances(site, ["/0"]).items() if far <= max_depth}
    found = visited(crawling("/0", max_depth=max_depth), site, random, capacity)
    assert sorted(found) == sorted(within)


@settings(max_examples=300)
@given(sites("page"), SEEDS, RANDOMS, CAPACITIES, DEPTHS)
def test_the_depth_of_a_page_counts_from_the_nearest_that_was_named(
    site: Site, seeds: list[str], random: Random, capacity: int, max_depth: int
) -> None:
    within = {page for page, far in distances(site, seeds).items() if far <= max_depth}
    assert sorted(visited(crawling(*seeds, max_depth=max_depth), site, random, capacity)) == sorted(within)


@settings(max_examples=300)
@given(sites("page", "redirect"), SEEDS, RANDOMS, CAPACITIES, DEPTHS)
def test_a_redirect_takes_no_depth(site: Site, seeds: list[str], random: Random, capacity: int, max_depth: int) -> None:
    within = {page for page, far in distances(site, seeds).items() if far <= max_depth}
    assert sorted(visited(crawling(*seeds, max_depth=max_depth), site, random, capacity)) == sorted(within)


@pytest.mark.parametrize(("max_depth", "found"), [(0, 1), (1, 3), (2, 5), (3, 6), (None, 6)])
def test_a_limit_of_depth_counts_links(max_depth: int | None, found: int) -> None:
    assert len(visited(crawling("/", max_depth=max_depth), TREE)) == found


def test_the_depth_counts_from_a_page_that_is_named_late() -> None:
    site = {"/a": links("/b"), "/b": links("/c"), "/c": links("/d"), "/z": links("/c")}
    assert visited(crawling("/a", "/z", max_depth=2), site, capacity=1)[-1] == "/d"


def test_the_depth_counts_from_where_a_redirect_leads() -> None:
    plan = crawling("/a", "/old", max_depth=2)
    first, old = taken(plan)
    plan.settle(done(first, "stored", Link("/b")))
    plan.settle(done(old, "redirected", Link("/new", "redirect")))
    site = {"/b": links("/c"), "/c": links("/d"), "/new": links("/c")}
    assert "/d" in visited(plan, site, capacity=1)


@given(sites("page", "redirect"), RANDOMS, CAPACITIES, st.integers(1, 9))
def test_no_more_pages_are_asked_for_than_allowed(site: Site, random: Random, capacity: int, max_pages: int) -> None:
    found = visited(crawling("/0", max_pages=max_pages), site, random, capacity)
    assert len(found) == min(max_pages, len(distances(site, ["/0"])))


def test_pages_that_are_only_looked_at_do_not_count() -> None:
    selection = Selection(only=patterns("/b/**"), max_pages=1)
    plan = Frontier([Seed("/", "links"), Seed("/a", "links"), Seed("/c")], selection, crawls=True)
    assert [(job.target, job.wish) for job in carried_out(plan, TREE)[0]] == [
        ("/", "look"),
        ("/a", "look"),
        ("/b", "fill"),
    ]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"only": patterns("/a/**")}, ["/a", "/a/1", "/a/1/x"]),
        ({"only": patterns("/a", "/b")}, ["/a", "/b"]),
        ({"only": patterns("/", "/b/*")}, ["/"]),
        ({"skip": patterns("/a")}, ["/", "/b", "/b/1", "/a/1", "/a/1/x"]),
        ({"skip": patterns("/a/**")}, ["/", "/b", "/b/1"]),
        ({"skip": patterns("/")}, []),
        ({"only": patterns("/a/**"), "skip": patterns("/a/1")}, ["/a"]),
    ],
)
def test_only_what_is_meant_is_rendered(limits: dict[str, object], found: list[str]) -> None:
    assert rendered(crawling("/", **limits), TREE) == found


def test_what_is_skipped_is_not_even_looked_at() -> None:
    assert visited(crawling("/a", "/b", skip=patterns("/b")), TREE) == ["/a", "/a/1", "/", "/a/1/x"]
    assert visited(naming("/a", "/b", skip=patterns("/b")), TREE) == ["/a"]


def test_patterns_are_of_decoded_paths_without_the_query() -> None:
    targets = ["/caf%C3%A9", "/caf%C3%A9?a=1", "/a?b=/caf%C3%A9", "/a%20b"]
    assert visited(naming(*targets, only=patterns("/café", "/a b")), {}) == [targets[0], targets[1], targets[3]]
    assert visited(naming(*targets, skip=patterns("/café")), {}) == targets[2:]


PATHS = ["/", "/a", "/b", "/about", "/blog/", "/blog/one", "/blog/two", "/caf%C3%A9", "/x?a=1", "/x?a=2"]


def test_the_shares_of_a_path_are_the_same_everywhere() -> None:
    shares = [visited(naming(*PATHS, shard=(share, 3)), {}) for share in (1, 2, 3)]
    assert shares == [
        ["/a", "/b", "/about", "/blog/one", "/blog/two", "/caf%C3%A9"],
        ["/"],
        ["/blog/", "/x?a=1", "/x?a=2"],
    ]


@given(st.lists(st.sampled_from(PATHS) | st.integers(0, 99).map("/{}".format), unique=True), st.integers(1, 5))
def test_shares_have_each_page_once(paths: list[str], shares: int) -> None:
    found = [visited(naming(*paths, shard=(share, shares)), {}) for share in range(1, shares + 1)]
    assert sorted(target for targets in found for target in targets) == sorted(paths)


@given(sites("page", "redirect"), SEEDS, RANDOMS, st.integers(1, 4), st.none() | DEPTHS)
def test_each_share_finds_what_it_has_to_store_by_the_links_of_others(
    site: Site, seeds: list[str], random: Random, shares: int, max_depth: int | None
) -> None:
    whole = [page for page, far in distances(site, seeds).items() if max_depth is None or far <= max_depth]
    found = [
        rendered(crawling(*seeds, shard=(share, shares), max_depth=max_depth), site, random)
        for share in range(1, shares + 1)
    ]
    assert sorted(target for targets in found for target in targets) == sorted(whole)


def test_a_page_of_another_share_is_looked_at_only_for_its_links() -> None:
    other = next(share for share in (1, 2) if not visited(naming("/", shard=(share, 2)), {}))
    (job,) = taken(crawling("/", shard=(other, 2)))
    assert (job.wish, job.follow) == ("look", "links")
    assert taken(naming("/", shard=(other, 2))) == []


def test_a_page_of_another_share_that_nobody_means_is_not_looked_at() -> None:
    for share in (1, 2):
        found = visited(crawling("/", only=patterns("/a/**"), shard=(share, 2)), TREE)
        assert found == ["/", "/a", "/a/1", "/a/1/x"]


@given(st.lists(st.integers(0, 30).map("/old/{}".format), unique=True), st.integers(1, 4))
def test_shares_store_what_redirects_lead_to(old: list[str], shares: int) -> None:
    site: dict[str, list[Link]] = {}
    for target in old:
        site |= {target: links(f"{target}/", kind="redirect"), f"{target}/": links()}
    found = {target for share in range(1, shares + 1) for target in rendered(naming(*old, shard=(share, shares)), site)}
    assert sorted(found) == sorted(site)


def test_pages_are_named_that_link_to_a_missing_one() -> None:
    site = {"/": links("/a", "/b"), "/a": links("/gone"), "/b": links("/gone", "/gone")}
    outcomes = {outcome.path: outcome for outcome in carried_out(crawling("/"), site)[1]}
    assert outcomes["/gone"].referrers == ("/a", "/b")
    assert (outcomes["/"].referrers, outcomes["/a"].referrers) == ((), ("/",))


def test_no_more_of_them_are_named_than_people_read() -> None:
    site = {"/": links(*(f"/{number}" for number in range(20)))}
    site |= {f"/{number}": links("/gone", "/gone") for number in range(20)}
    (gone,) = (found for found in carried_out(crawling("/"), site, capacity=30)[1] if found.path == "/gone")
    assert gone.referrers == tuple(f"/{number}" for number in range(MAX_REFERRERS))


def test_who_links_to_a_page_that_is_settled_is_not_kept() -> None:
    plan = crawling("/a", "/b")
    first, second = taken(plan)
    assert plan.settle(done(first, "stored", Link("/b"))) == Outcome("/a", "stored")
    assert plan.settle(done(second, "stored", Link("/a"), Link("/b"))) == Outcome("/b", "stored", referrers=("/a",))
    assert taken(plan) == []


def missing_of(plan: Plan, site: Site, random: Random | None = None) -> dict[str, Result]:
    """What is reported of the pages that are not there."""
    return {found.path: found.result for found in carried_out(plan, site, random)[1] if found.why == "status 404"}


def test_a_missing_page_failed_if_it_was_named_and_is_a_broken_link_if_it_was_found() -> None:
    assert missing_of(crawling("/", "/named"), {"/": links("/linked")}) == {"/named": "failed", "/linked": "missing"}
    assert missing_of(naming("/x"), {}) == {"/x": "failed"}


@pytest.mark.parametrize("seeds", [["/", "/gone"], ["/gone", "/"]])
@given(RANDOMS, CAPACITIES)
def test_a_missing_page_that_was_named_failed_whoever_links_to_it(
    seeds: list[str], random: Random, capacity: int
) -> None:
    site = {"/": links("/a", "/gone"), "/a": links("/gone")}
    outcomes = carried_out(crawling(*seeds), site, random, capacity)[1]
    assert [outcome.result for outcome in outcomes if outcome.path == "/gone"] == ["failed"]


def test_a_page_that_was_named_is_asked_for_whatever_the_cache_has_to_do_with_it() -> None:
    site = {"/": links("/a"), "/old": links("/new", kind="redirect"), "/new": links(), "/a": links("/b")}
    found = {job.target: job.asked for job in carried_out(crawling("/", "/old"), site)[0]}
    assert found == {"/": True, "/old": True, "/new": True, "/a": False, "/b": False}


def test_redirects_are_followed_whatever_is_read() -> None:
    site = {"/old": links("/older", kind="redirect"), "/older": links("/new", kind="redirect"), "/new": links("/x")}
    jobs, outcomes = carried_out(naming("/old"), site)
    assert [(job.target, job.follow) for job in jobs] == [("/old", ""), ("/older", ""), ("/new", "")]
    assert [outcome.result for outcome in outcomes] == ["redirected", "redirected", "stored"]
    assert outcomes[-1].referrers == ("/older",)


def test_a_sitemap_may_be_elsewhere() -> None:
    site = {"/sitemap.xml": links("/index.xml", kind="redirect"), **SITEMAPS}
    jobs = carried_out(Frontier([Seed("/sitemap.xml", "sitemaps")], Selection(), crawls=True), site)[0]
    assert [job.follow for job in jobs if job.target in ("/index.xml", "/one.xml", "/a")] == [
        "sitemaps",
        "sitemaps",
        "links",
    ]


def test_redirects_in_a_circle_end() -> None:
    site = {"/a": links("/b", kind="redirect"), "/b": links("/a", kind="redirect")}
    assert visited(naming("/a"), site) == ["/a", "/b"]


SITEMAPS = {
    "/index.xml": links("/one.xml", "/two.xml", kind="sitemap"),
    "/one.xml": links("/a", "/b"),
    "/two.xml": [*links("/c", "/gone"), *links("/index.xml", kind="sitemap")],
    "/a": links("/a/1"),
    "/b": links(),
    "/c": links("/gone"),
    "/a/1": links("/a/1/x"),
    "/a/1/x": links(),
}


def test_sitemaps_name_pages_and_sitemaps() -> None:
    jobs = carried_out(Frontier([Seed("/index.xml", "sitemaps")], Selection()), SITEMAPS)[0]
    pages = [(job.target, job.follow) for job in jobs]
    assert pages == [
        *(("/index.xml", "sitemaps"), ("/one.xml", "sitemaps"), ("/two.xml", "sitemaps")),
        *(("/a", ""), ("/b", ""), ("/c", ""), ("/gone", "")),
    ]
    assert all(job.asked for job in jobs)


def test_pages_of_a_sitemap_are_named_ones() -> None:
    plan = Frontier([Seed("/index.xml", "sitemaps")], Selection(max_depth=1), crawls=True)
    jobs, outcomes = carried_out(plan, SITEMAPS, capacity=1)
    assert [job.target for job in jobs][-1] == "/a/1"
    assert {job.target: job.follow for job in jobs}["/a"] == "links"
    assert {outcome.path: outcome.referrers for outcome in outcomes}["/a"] == ()
    assert [outcome.result for outcome in outcomes if outcome.path == "/gone"] == ["failed"]


@pytest.mark.parametrize("share", [1, 2, 3])
def test_a_sitemap_of_another_share_is_read_nevertheless(share: int) -> None:
    plan = Frontier([Seed("/index.xml", "sitemaps")], Selection(shard=(share, 3)))
    every = ["/index.xml", "/one.xml", "/two.xml", "/a", "/b", "/c", "/gone"]
    jobs = carried_out(plan, SITEMAPS)[0]
    assert [job.target for job in jobs if job.wish != "look"] == visited(naming(*every, shard=(share, 3)), {})
    assert [job.target for job in jobs if job.follow == "sitemaps"] == every[:3]


@pytest.mark.parametrize(
    ("result", "depth", "reported"),
    [
        ("stored", 0, []),
        ("refused", 0, []),
        ("redirected", 0, []),
        ("failed", 0, ["failed"]),
        ("missing", 0, ["failed"]),
        ("failed", 1, []),
        ("missing", 1, []),
    ],
)
def test_a_page_that_is_only_looked_at_is_reported_if_it_was_named_and_failed(
    result: Result, depth: int, reported: list[str]
) -> None:
    other = next(share for share in (1, 2) if not taken(naming("/x", shard=(share, 2))))
    plan = crawling("/x" if depth == 0 else "/", shard=(other, 2))
    if depth:
        (first,) = taken(plan)
        plan.settle(done(first, "stored", Link("/x")))
    (job,) = taken(plan)
    assert (job.target, job.wish) == ("/x", "look")
    found = plan.settle(done(job, result))
    assert [outcome.result for outcome in (found,) if outcome] == reported


def test_a_page_that_was_given_back_is_not_reported() -> None:
    plan = crawling("/")
    (job,) = taken(plan)
    assert plan.settle(Visited(job.id, None, [Link("/a")])) is None
    assert taken(plan) == []


def test_seeds_are_taken_as_they_are_needed() -> None:
    given: list[str] = []

    def seeds() -> Iterator[Seed]:
        for number in range(1000):
            given.append(f"/{number}")
            yield Seed(f"/{number}")

    plan = Frontier(seeds(), Selection())
    jobs = [plan.next() for _ in range(3)]
    assert [job.target for job in jobs if job] == given == ["/0", "/1", "/2"]
    assert plan.known == 3


def test_every_page_that_was_found_is_known() -> None:
    plan = crawling("/")
    found = visited(plan, TREE)
    assert plan.known == Export(plan, SNAPSHOT, MISSING).known == len(found) == 6


def test_what_is_wished_for_is_what_is_asked_for() -> None:
    assert [job.wish for job in taken(Frontier([Seed("/a")], Selection(), "renew"))] == ["renew"]
    assert [job.wish for job in taken(naming("/a"))] == ["fill"]


# Exporting: several pages can have one file


SNAPSHOT = Snapshot.of_options("pages", {})


def exporting(*targets: str, **limits: object) -> Export:
    return Export(crawling(*targets, **limits), SNAPSHOT, MISSING)


def jobs_of(plan: Export, site: Site, random: Random | None = None) -> list[tuple[str, str]]:
    """What an export asks for, and how; it stores nothing over what is there."""
    return [(job.target, job.wish) for job in carried_out(plan, site, random)[0]]


def pages(*targets: str) -> dict[str, list[Link]]:
    """A site whose first page links to all others."""
    return {target: links(*targets[1:]) if target == targets[0] else links() for target in targets}


def test_a_second_page_of_a_file_is_only_compared_when_the_others_are_done() -> None:
    site = pages("/", "/index.html", "/a", "/a.html", "/a/", "/b/index.html", "/b/")
    assert jobs_of(exporting("/"), site) == [
        *(("/", "fill"), ("/a", "fill"), ("/a/", "fill"), ("/b/index.html", "fill")),
        *(("/index.html", "try"), ("/a.html", "try"), ("/b/", "try")),
        (MISSING, "missing"),
    ]


@pytest.mark.parametrize(
    ("result", "reported"),
    [
        ("stored", Outcome("/a.html", "refused", "path-conflict: /a has other bytes, and the same file")),
        ("unchanged", Outcome("/a.html", "unchanged")),
        ("redirected", Outcome("/a.html", "redirected")),
        ("failed", Outcome("/a.html", "failed")),
    ],
)
def test_a_second_page_of_a_file_is_refused_if_it_is_another(result: Result, reported: Outcome) -> None:
    plan = exporting("/a", "/a.html")
    (first,) = taken(plan)
    assert plan.settle(done(first)) == Outcome("/a", "stored")
    (second,) = taken(plan)
    assert (second.target, second.wish) == ("/a.html", "try")
    assert plan.settle(done(second, result)) == reported


@pytest.mark.parametrize(("first", "second"), [("/a.html", "/a"), ("/a/index.html", "/a/"), ("/a?b=1", "/a")])
@pytest.mark.parametrize("result", ["redirected", "refused", "missing", "failed"])
def test_a_second_page_of_a_file_is_stored_if_the_first_is_not(first: str, second: str, result: Result) -> None:
    plan = exporting(first, second)
    jobs = taken(plan)
    while [job.target for job in jobs] != [second]:
        plan.settle(done(jobs.pop(0), result) if jobs[0].target == first else done(jobs.pop(0)))
        jobs += taken(plan)
    assert jobs[0].wish == "fill"
    assert plan.settle(done(jobs[0])) == Outcome(second, "stored")


def test_a_redirect_between_two_pages_of_a_file_loses_neither() -> None:
    site = {"/": links("/docs/index.html"), "/docs/index.html": links("/docs/", kind="redirect"), "/docs/": links("/x")}
    assert ("/docs/", "fill") in jobs_of(exporting("/"), site)


@pytest.mark.parametrize("target", ["/index.html?page=2", "/?page=2"])
def test_a_query_does_not_end_an_export(target: str) -> None:
    assert (target in dict(jobs_of(exporting("/"), pages("/", target)))) is True


def test_what_a_second_page_links_to_comes_before_the_page_for_what_is_missing() -> None:
    site = {"/": links("/index.html"), "/index.html": links("/x"), "/x": links("/x.html")}
    assert jobs_of(exporting("/"), site) == [
        *(("/", "fill"), ("/index.html", "try"), ("/x", "fill"), ("/x.html", "try")),
        (MISSING, "missing"),
    ]


def test_the_page_for_what_is_missing_is_asked_for_when_nothing_is_under_way() -> None:
    plan = exporting("/")
    (first,) = taken(plan)
    assert plan.next() is None
    plan.settle(done(first))
    (last,) = taken(plan)
    assert (last.target, last.wish, last.follow) == (MISSING, "missing", "whole")
    assert plan.settle(done(last, "stored", Link("/no"))) == Outcome(MISSING, "stored")
    assert taken(plan) == []


@pytest.mark.parametrize(
    ("result", "is_reported"),
    [("stored", True), ("unchanged", True), ("refused", False), ("missing", False), ("failed", False)],
)
def test_a_site_without_a_page_for_what_is_missing_has_none(result: Result, is_reported: bool) -> None:
    plan = exporting()
    (last,) = taken(plan)
    found = done(last, result)
    assert found.outcome
    found = found._replace(outcome=found.outcome._replace(why="content-type"))
    assert (plan.settle(found) is not None) is is_reported


@pytest.mark.parametrize("target", ["/404.html", "/404"])
def test_a_page_of_the_site_may_be_the_one_for_what_is_missing(target: str) -> None:
    assert jobs_of(exporting("/"), pages("/", target)) == [("/", "fill"), (target, "fill")]


def test_a_link_to_a_page_for_what_is_missing_that_is_none_does_not_keep_it_from_being_made() -> None:
    assert jobs_of(exporting("/"), {"/": links("/404.html")})[-1] == (MISSING, "missing")


def test_a_page_below_a_root_path_is_asked_for_there() -> None:
    plan, other = (Export(crawling("/root/"), SNAPSHOT, f"/root{MISSING}") for _ in range(2))
    assert jobs_of(other, pages("/root/"))[-1] == (f"/root{MISSING}", "missing")
    assert jobs_of(plan, pages("/root/", "/root/404")) == [("/root/", "fill"), ("/root/404", "fill")]


def test_pages_without_a_file_are_asked_for_as_they_come() -> None:
    found = jobs_of(exporting("/"), pages("/", "/.a", "/.b", "/c", "/index.html"))
    assert found[:4] == [("/", "fill"), ("/.a", "fill"), ("/.b", "fill"), ("/c", "fill")]


def test_pages_that_are_only_looked_at_have_no_file() -> None:
    plan = exporting("/", "/index.html", only=patterns("/index.html"))
    assert jobs_of(plan, pages("/", "/a"))[:2] == [("/", "look"), ("/index.html", "fill")]


FILES = st.lists(
    st.sampled_from(["/", "/index.html", "/a", "/a.html", "/a/", "/a/index.html", "/b", "/b.html"]), unique=True
)


@given(FILES.filter(bool), RANDOMS)
def test_each_file_is_stored_by_one_page(targets: list[str], random: Random) -> None:
    found = jobs_of(exporting(targets[0]), pages(*targets), random)
    assert sorted(target for target, _ in found) == sorted([*targets, MISSING])
    stored = [file_for(target, SNAPSHOT) for target, wish in found if wish == "fill"]
    assert sorted(map(str, stored)) == sorted({str(file_for(target, SNAPSHOT)) for target in targets})


# What the cache says of an answer, and what that comes to


@pytest.mark.parametrize(
    ("said", "status", "result", "why"),
    [
        ("hit", 200, "present", ""),
        ("superseded", 200, "present", ""),
        ("stored", 200, "stored", ""),
        ("unchanged", 200, "unchanged", ""),
        ("", 200, "failed", "status 200, by something in front of the cache"),
        ("", 0, "failed", "status 0, by something in front of the cache"),
        ("", 301, "failed", "status 301, by something in front of the cache"),
        ("status", 404, "missing", "status 404"),
        ("status", 410, "missing", "status 410"),
        ("no-store", 404, "missing", "status 404"),
        *(("status", status, "redirected", "") for status in (301, 302, 303, 307, 308)),
        ("no-store", 302, "redirected", ""),
        *(("status", status, "refused", "status") for status in (201, 204, 206, 300, 304, 400, 401, 403, 405, 451)),
        *(("status", status, "failed", f"status {status}") for status in (408, 425, 429, 500, 502, 503, 599)),
        ("no-store", 500, "failed", "status 500"),
        ("query", 500, "failed", "status 500"),
        ("query", 404, "refused", "query"),
        ("path", 301, "refused", "path"),
        ("no-store", 200, "refused", "no-store"),
        ("header:x-frame-options", 200, "refused", "header:x-frame-options"),
        ("set-cookie", 200, "refused", "set-cookie"),
        ("purged", 200, "refused", "purged"),
        ("path-conflict", 200, "refused", "path-conflict"),
        ("path-conflict", 404, "missing", "status 404"),
        ("path-conflict", 301, "redirected", ""),
    ],
)
def test_an_answer_is_judged(said: str, status: int, result: Result, why: str) -> None:
    assert judged(said, status) == (result, why)


@pytest.mark.parametrize("trouble", ["incomplete", "disk", "busy"])
def test_trouble_is_a_failure_that_says_what_to_do(trouble: str) -> None:
    result, why = judged(trouble, 200)
    assert result == "failed" and why.startswith(f"{trouble}: ") and "\n" not in why


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a", "/a"), ("/caf%C3%A9", "/café"), ("/a%20b", "/a b"), ("/a?b=c%20d", "/a?b=c%20d"), ("/%E6%97%A5/", "/日/")],
)
def test_a_path_is_told_as_people_read_it(target: str, path: str) -> None:
    assert Job(0, target).path == path


@pytest.mark.parametrize("character", ["%0A", "%0d", "%1B", "%00", "%7F", "%C2%85", "%E2%80%A8"])
def test_a_path_is_no_way_to_forge_a_report(character: str) -> None:
    for target in (f"/a{character}b", f"/a?b={character}"):
        path = Job(0, target).path
        assert path.isprintable() and len(path.splitlines()) == 1
