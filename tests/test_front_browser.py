"""The demo site in a real browser through nginx."""

from __future__ import annotations

from browsers import a_browser
from fronts import public_directory, running
from harness import Spy, a_cache, assert_stored, serving
from test_fronts import site_of

from asgi_diskcache.demo.site import OPTIONS, application

VISITED = ("/", "/style.css", "/licenses/by/3.0/", "/licenses/by/3.0/deed.en", "/licenses/by/3.0/rdf")

RDF = "fetch('rdf').then(response => response.headers.get('content-type'))"


def test_the_second_visit_of_a_browser_is_served_without_python() -> None:
    with public_directory() as directory, a_browser() as browser:
        cache = a_cache(directory / "cache", **OPTIONS)
        spy = Spy(application(cache))
        with serving(spy) as port, running("nginx", site_of("nginx", cache, port)) as front:
            site = f"http://localhost:{front}"
            browser.visit(f"{site}/")
            assert browser.evaluate("document.querySelectorAll('a').length") > 20
            assert "Georgia" in browser.evaluate("getComputedStyle(document.body).fontFamily")
            assert "fwd=uri-miss; stored" in browser.header(f"{site}/", "cache-status")
            for path in VISITED[2:4]:
                browser.visit(f"{site}{path}")
            assert browser.evaluate(RDF) == "application/rdf+xml"
            for path in VISITED:
                assert_stored(cache, path)
            calls = spy.calls
            browser.call("Network.setCacheDisabled", cacheDisabled=True)
            for path in ("/", *VISITED[2:4]):
                browser.visit(f"{site}{path}")
                for needed in (path, "/style.css"):
                    assert browser.header(f"{site}{needed}", "cache-status") == "nginx; hit"
            assert browser.evaluate(RDF) == "application/rdf+xml"
            assert browser.header(f"{site}/licenses/by/3.0/rdf", "cache-status") == "nginx; hit"
            assert spy.calls == calls, spy.paths[calls:]
