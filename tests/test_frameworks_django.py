"""Django's own ways: its headers, its transactions, its CSRF tokens, its connections to a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from browsers import a_browser
from clients import Answer, fetch
from disks import needs_proc
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from frameworks import FRAMEWORKS, Site, a_site
from harness import a_cache, eventually
from readme import blocks
from sites import on_django

from asgi_diskcache import ANALYTICS_COOKIES, DJANGO_HEADERS, DiskCache
from asgi_diskcache.response_rules import PROTECTED

BOTH = pytest.mark.parametrize("name", ["Django, ASGI", "Django, WSGI"])


@pytest.fixture
def readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the README's Python for Django defines: ``cache``, ``publish``, ``csrf_token``."""
    names: dict[str, Any] = {
        **{"News": on_django.News, "transaction": transaction, "HttpResponse": HttpResponse, "get_token": get_token},
        **{"DJANGO_HEADERS": DJANGO_HEADERS, "ANALYTICS_COOKIES": ANALYTICS_COOKIES, "DiskCache": DiskCache},
    }
    code = next(code for code in blocks("python") if "on_commit" in code)
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('DiskCache("cache"', 'DiskCache("cache", min_free=0'), "README.md", "exec"), names)
    return names


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[[HttpRequest], HttpResponse]]]:
    """What is at a path of the site for one test."""
    monkeypatch.setattr(on_django, "VIEWS", found := {})
    yield found


def news(request: HttpRequest) -> HttpResponse:
    texts = on_django.News.objects.values_list("text", flat=True)
    return HttpResponse("news: " + ", ".join(texts))


@BOTH
def test_djangos_headers_are_what_django_sends(name: str, tmp_path: Path) -> None:
    with a_site(FRAMEWORKS[name], a_cache(tmp_path)) as site:
        sent = site.ask_bare("/page").headers
    assert {header for header in sent if header in PROTECTED} == {header.lower() for header in DJANGO_HEADERS}
    assert {header: sent[header.lower()] for header in DJANGO_HEADERS} == DJANGO_HEADERS


@BOTH
def test_a_purge_when_a_transaction_is_committed_shows_what_it_changed(
    name: str, readme: dict[str, Any], views: dict[str, Any]
) -> None:
    views.update({"": news, "news/": news, "publish": readme["publish"], "csrf-token": readme["csrf_token"]})
    with a_site(FRAMEWORKS[name], readme["cache"]) as site:
        for path in ("/", "/news/"):
            site.warm(path)
        assert posted(site, "/publish", text=name).body == b"published"
        for path in ("/", "/news/"):
            assert site.warm(path).body.endswith(name.encode())
        assert posted(site, "/publish").status == 500
        assert site.ask("/").cache_status == "asgi-diskcache; hit"


def posted(site: Site, path: str, **form: str) -> Answer:
    """What comes of a form with the token that its script has fetched."""
    token = site.ask("/csrf-token")
    headers = {"content-type": "application/x-www-form-urlencoded", "cookie": token.headers["set-cookie"]}
    body = urlencode({**form, "csrfmiddlewaretoken": token.body.decode()}).encode()
    return fetch(site.port, path, "POST", headers.items(), body)


@BOTH
@pytest.mark.parametrize(
    ("markup", "reason"), [("{% csrf_token %}", "set-cookie"), ("{{ request.user.is_anonymous }}", "vary")]
)
def test_a_page_with_a_token_or_that_looks_at_the_user_is_refused(
    name: str, markup: str, reason: str, readme: dict[str, Any], views: dict[str, Any]
) -> None:
    template = engines["django"].from_string(f"<p>{markup}</p>")
    views["own"] = lambda request: HttpResponse(template.render({"request": request}, request))
    with a_site(FRAMEWORKS[name], readme["cache"]) as site:
        assert site.ask("/own").cache_status == f"asgi-diskcache; fwd=uri-miss; detail={reason}"


def test_a_form_on_a_stored_page_gets_its_token_when_it_is_filled_in(
    readme: dict[str, Any], views: dict[str, Any]
) -> None:
    comments: list[str] = []

    def comment(request: HttpRequest) -> HttpResponse:
        comments.append(request.POST["text"])
        return HttpResponse("thank you")

    views.update({"footer": lambda request: HttpResponse(form), "comment": comment, "other": news})
    views["csrf-token"] = readme["csrf_token"]
    (form,) = blocks("html")
    with a_site(FRAMEWORKS["Django, ASGI"], readme["cache"]) as site, a_browser() as browser:
        site.warm("/footer")
        url = f"http://localhost:{site.port}"
        browser.visit(f"{url}/footer")
        assert browser.header(f"{url}/footer", "cache-status") == "asgi-diskcache; hit"
        assert site.ask("/comment", "POST").status == 403
        assert browser.evaluate("comment.text.focus(), document.activeElement.name") == "text"
        browser.call("Input.insertText", text="well said")
        eventually(lambda: browser.evaluate("comment.csrfmiddlewaretoken.value"), "the token")
        assert browser.evaluate("comment.submit(), true")
        eventually(lambda: comments, "the comment")
        browser.visit(f"{url}/other")
        assert browser.header(f"{url}/other", "cache-status") == "asgi-diskcache; fwd=uri-miss; stored"
        assert "csrftoken" in browser.evaluate("document.cookie")
    assert comments == ["well said"]


@needs_proc
@BOTH
def test_a_render_gives_its_connection_to_the_database_back(
    name: str, readme: dict[str, Any], views: dict[str, Any]
) -> None:
    opened: list[int] = []

    def page(request: HttpRequest) -> HttpResponse:
        found = news(request)
        opened.append(connections())
        return found

    views["news"] = page
    with a_site(FRAMEWORKS[name], readme["cache"]) as site:
        site.warm("/news")
        eventually(lambda: connections() == 0, "the connection to be closed")
    assert opened == [1]


def connections() -> int:
    """How many files of this process are Django's database."""
    paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(path) == os.path.realpath(on_django.DATABASE) for path in paths)
