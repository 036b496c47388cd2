"""At home on every framework: the same site on each, put behind a cache by the line of the README.

``python tests/test_frameworks.py`` writes the README's table anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest
from clients import Answer
from frameworks import FRAMEWORKS, Site, a_site, wrapped
from harness import a_cache, eventually
from readme import README, TEXT, with_table
from sites.content import Content

from asgi_diskcache.loading import carried_cache, interface_of
from asgi_diskcache.media_types import meaning
from asgi_diskcache.response_rules import PROTECTED

PAGES = ["/page", "/streamed", "/style.css"]
REFUSED = {"/cookie": "set-cookie", "/session": "set-cookie", "/private": "cache-control"}
OUR_OWN = {"cache-status", "date", "expires", "connection", "keep-alive", "transfer-encoding"}
"""Headers that a server makes, or we do, or that tell the time."""


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    framework = FRAMEWORKS[request.param]
    with a_site(framework, a_cache(tmp_path_factory.mktemp("cache"), **framework.options)) as found:
        yield found


@pytest.fixture
def site(served: Site) -> Site:
    served.begin()
    return served


def told(answer: Answer) -> dict[str, str]:
    """What an app says in its headers, but for the values of its cookies: some are signed with the time."""
    found = {name: value for name, value in answer.headers.items() if name not in OUR_OWN}
    found["set-cookie"] = re.sub(r"=[^;]*", "", answer.headers.get("set-cookie", ""))
    return found


def assert_the_same(answer: Answer, bare: Answer) -> None:
    assert (answer.status, answer.body) == (bare.status, bare.body)
    assert told(answer) == told(bare)


def protecting(answer: Answer) -> dict[str, str]:
    """The headers that a hit must not lose."""
    found = {
        name: value for name, value in answer.headers.items() if name in PROTECTED and not value.startswith("inline")
    }
    return {**found, "content-type": repr(meaning(answer.headers["content-type"]))}


@pytest.mark.parametrize("path", PAGES)
def test_a_cold_page_is_the_apps_own_and_is_stored(site: Site, path: str) -> None:
    answer = site.warm(path)
    assert answer.status == 200
    assert_the_same(answer, site.ask_bare(path))


@pytest.mark.parametrize("path", PAGES)
def test_a_warm_page_is_the_same_without_the_app(site: Site, path: str) -> None:
    cold = site.warm(path)
    calls = list(site.content.calls)
    hit = site.ask(path)
    assert (hit.status, hit.body, hit.cache_status) == (200, cold.body, "asgi-diskcache; hit")
    assert site.content.calls == calls
    assert protecting(hit) == protecting(cold)


def test_a_purged_page_is_made_anew(site: Site) -> None:
    old = site.warm("/page")
    site.content.version += 1
    assert site.ask("/page").body == old.body
    assert site.cache.purge_sync(site.path("/page")) == 1
    new = site.warm("/page")
    assert (
        new.body
        == site.ask("/page").body
        == old.body.replace(b"version %d" % (site.content.version - 1), b"version %d" % site.content.version)
    )


@pytest.mark.parametrize(("path", "reason"), REFUSED.items())
def test_what_is_somebodys_own_is_refused_and_untouched(site: Site, path: str, reason: str) -> None:
    for _ in range(2):  # The second time it is known.
        answer = site.ask(path)
        assert answer.cache_status == f"asgi-diskcache; fwd=uri-miss; detail={reason}"
        assert_the_same(answer, site.ask_bare(path))
    assert list(site.cache.pages()) == []


def test_who_has_logged_in_is_asked_of_the_app(site: Site) -> None:
    assert_a_login(site, "/session")


def test_a_ticket_of_pyramid_is_a_login(tmp_path: Path) -> None:
    with a_site(FRAMEWORKS["Pyramid"], a_cache(tmp_path)) as site:
        assert_a_login(site, "/ticket")


def assert_a_login(site: Site, path: str) -> None:
    site.warm("/page")
    site.content.calls.clear()
    cookies = re.findall(r"(?:^|, )([\w-]+=[^;]*)", site.ask(path).headers["set-cookie"])
    answer = site.ask("/page", cookie="; ".join(cookies))
    assert answer.cache_status == "asgi-diskcache; fwd=bypass; detail=bypass-cookie"
    assert site.content.calls == ["page", "page"]


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/broken", 500)])
def test_an_errors_page_is_the_apps_own_and_is_not_stored(site: Site, path: str, status: int) -> None:
    answer = site.ask(path)
    assert answer.status == status
    assert "stored" not in answer.cache_status
    assert_the_same(answer, site.ask_bare(path))
    assert list(site.cache.pages()) == []


def test_a_post_purges_its_page(site: Site) -> None:
    old = site.warm("/page")
    changed = site.ask("/page", "POST")
    assert changed.status in (200, 201)
    assert changed.cache_status == "asgi-diskcache; fwd=method"
    assert not site.file("/page").exists()
    # The page is purged again when the app call has returned, and with it what was rendered since.
    eventually(lambda: site.ask("/page").cache_status == "asgi-diskcache; hit", "the new page to be stored")
    assert site.ask("/page").body == site.ask_bare("/page").body != old.body


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_commands_find_the_cache_of_the_app(name: str, tmp_path: Path) -> None:
    framework, cache = FRAMEWORKS[name], a_cache(tmp_path)
    app = wrapped(framework, Content(), cache)
    assert carried_cache(app) is cache
    assert interface_of(app) == interface_of(framework.site(Content())["app"]) == framework.interface


CHECKS = {
    "cold": test_a_cold_page_is_the_apps_own_and_is_stored,
    "warm": test_a_warm_page_is_the_same_without_the_app,
    "purge": test_a_purged_page_is_made_anew,
    "refused pages": test_what_is_somebodys_own_is_refused_and_untouched,
    "logged in": test_who_has_logged_in_is_asked_of_the_app,
    "errors": test_an_errors_page_is_the_apps_own_and_is_not_stored,
    "POST": test_a_post_purges_its_page,
}
"""The columns of the README's table; each of these tests runs for each framework."""


def matrix() -> str:
    head = ["framework", *CHECKS, "the line"]
    rows = [[name, *["yes"] * len(CHECKS), f"`{framework.recipe}`"] for name, framework in FRAMEWORKS.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def test_the_readme_has_the_matrix_of_frameworks_and_no_cell_is_without_a_test() -> None:
    assert with_table(TEXT, "frameworks", matrix()) == TEXT, "run: python tests/test_frameworks.py"
    assert all("site" in signature(check).parameters for check in CHECKS.values())


if __name__ == "__main__":
    README.write_text(with_table(TEXT, "frameworks", matrix()), "utf-8")
