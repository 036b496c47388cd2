"""What a sitemap names, and which of the pages that an answer leads to are our own."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_diskcache.calling import Origin
from asgi_diskcache.settings import Settings
from asgi_diskcache.warming.glimpses import READ_AT_MOST, Glimpse
from asgi_diskcache.warming.jobs import Follow, Kind, Link
from asgi_diskcache.warming.links import Located, in_sitemap
from asgi_diskcache.warming.reading import Reader

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
ONE = "<urlset><url><loc>/a</loc></url></urlset>"
PAGES = (
    f"<urlset {NAMESPACE}><url><loc>https://site.test/a</loc></url><url><loc>https://site.test/b</loc></url></urlset>"
)
INDEX = f"<sitemapindex {NAMESPACE}><sitemap><loc>https://site.test/s.xml</loc></sitemap></sitemapindex>"
IMAGES = (
    f'<urlset {NAMESPACE} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc>/a</loc>'
    "<image:image><image:loc>/i.png</image:loc></image:image></url></urlset>"
)


def named(body: str | bytes) -> list[str]:
    """The URLs that a sitemap names."""
    return [found.url for found in in_sitemap(body.encode() if isinstance(body, str) else body)]


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        (PAGES, ["https://site.test/a", "https://site.test/b"]),
        (ONE, ["/a"]),
        (f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- made by hand -->\n{ONE}\n', ["/a"]),
        (f'<s:urlset xmlns:s="x">{ONE[8:-9].replace("url>", "s:url>").replace("loc>", "s:loc>")}</s:urlset>', ["/a"]),
        ("<urlset><url><lastmod>2020</lastmod><loc>\n  /a \n</loc><priority>1</priority></url></urlset>", ["/a"]),
        (
            "<urlset><url><loc><![CDATA[/a?b=1&c=2]]></loc></url><url><loc>/a?b&amp;c</loc></url></urlset>",
            ["/a?b=1&c=2", "/a?b&c"],
        ),
        ("<urlset><url><loc>/café/日本</loc></url></urlset>", ["/café/日本"]),
        ("<urlset></urlset>", []),
        (f"\n{ONE}", ["/a"]),
        (f'\n  <?xml version="1.0"?>{ONE}', ["/a"]),
        (f'\ufeff<?xml version="1.0"?>{ONE}', ["/a"]),
        (f'\ufeff\n<?xml version="1.0"?>{ONE}', ["/a"]),
        (IMAGES, ["/a"]),
    ],
)
def test_a_sitemap_in_xml_names_pages(body: str, urls: list[str]) -> None:
    assert named(body) == urls
    assert named(gzip.compress(body.encode())) == urls


@pytest.mark.parametrize("encoding", ["utf-8", "us-ascii", "iso-8859-1", "windows-1252"])
def test_a_sitemap_has_the_encoding_that_it_names(encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?><urlset><url><loc>/é</loc></url></urlset>'
    assert named(body.encode(encoding, "xmlcharrefreplace")) == ["/é"]


def test_an_index_names_sitemaps_and_a_sitemap_pages() -> None:
    assert list(in_sitemap(INDEX.encode())) == [Located("https://site.test/s.xml", True)]
    assert [found.is_sitemap for found in in_sitemap(PAGES.encode())] == [False, False]


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ("/a\n/b\n", ["/a", "/b"]),
        ("\r\n https://site.test/a \r\n\r\nhttps://site.test/b", ["https://site.test/a", "https://site.test/b"]),
        ("\ufeff/a\n/b", ["/a", "/b"]),
        ("/café", ["/café"]),
        ("", []),
        (" \n\n", []),
    ],
)
def test_a_sitemap_in_plain_text_names_a_page_a_line(body: str, urls: list[str]) -> None:
    assert named(body) == urls
    assert named(gzip.compress(body.encode())) == urls


@pytest.mark.parametrize(
    "body",
    [
        "<rss><channel><item><link>https://site.test/a</link><loc>/b</loc></item></channel></rss>",
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="/a"/><loc>/b</loc></entry></feed>',
        "<!DOCTYPE html><html><body><a href=/a>This page is not there</a><br></body></html>",
        f"<x>{ONE}</x>",
        "<urlset><url><loc>/a</loc>",
        "<urlset><url><loc>/a</loc></url></urlset>trailing",
        "<urlset><url><loc>/a & b</loc></url></urlset>",
        "<",
    ],
)
def test_what_is_no_sitemap_names_nothing(body: str) -> None:
    assert named(body) == []


def broken(position: int) -> bytes:
    """A compressed sitemap with one byte that is another."""
    whole = bytearray(gzip.compress(PAGES.encode(), mtime=0))
    whole[position % len(whole)] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(PAGES.encode())[:20],
        gzip.compress(PAGES.encode())[:-4],
        b"\x1f\x8b",
        b"\x1f\x8bno gzip at all",
        gzip.compress(PAGES.encode()) + b"junk",
        *map(broken, (2, 10, 15, 30, -8, -1)),
        b'<?xml version="1.0" encoding="nonsense"?>' + ONE.encode(),
        b'<?xml version="1.0" encoding="shift_jis"?>' + ONE.encode(),
        b'<?xml version="1.0" encoding="utf-16"?>' + ONE.encode(),
        b"<urlset><url><loc>/\xe9</loc></url></urlset>",
    ],
)
def test_a_broken_sitemap_names_nothing_and_ends_nothing(body: bytes) -> None:
    assert named(body) == []


@given(st.binary(max_size=80) | st.integers(2, 200).map(broken))
@example(b"\x1f\x8b\x08\x00" + b"\xff" * 20)
def test_no_bytes_are_too_odd_for_a_sitemap(body: bytes) -> None:
    assert all(isinstance(url, str) and "\n" not in url for url in named(body))


SETTINGS = Settings(allowed_hosts=["site.test", "www.site.test", "*.cdn.test"])


def a_reader(base_url: str = "https://site.test", settings: Settings = SETTINGS) -> Reader:
    return Reader(Origin.of(base_url, settings), settings)


def an_answer(
    body: str | bytes = "",
    *headers: tuple[str, str],
    status: int = 200,
    follow: Follow = "links",
    content_type: str = "text/html; charset=utf-8",
) -> Glimpse:
    """An answer as it has come in."""
    answer = Glimpse(status=status, follow=follow)
    answer.headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    answer.headers.append((b"content-type", content_type.encode()))
    answer.add(body.encode() if isinstance(body, str) else body)
    answer.complete = True
    return answer


def targets(found: list[Link], kind: Kind) -> list[str]:
    """The targets of links that are all of one kind."""
    assert {link.kind for link in found} <= {kind}
    return [link.target for link in found]


def own(
    *urls: str, base_url: str = "https://site.test", settings: Settings = SETTINGS, target: str = "/d/page"
) -> list[str]:
    """The targets that a page with links to these URLs leads to."""
    html = "".join(f"<a href='{url}'></a>" for url in urls)
    return targets(a_reader(base_url, settings).leads(target, an_answer(html)), "page")


@pytest.mark.parametrize(
    ("location", "led_to"),
    [
        ("/new", ["/new"]),
        ("new", ["/d/new"]),
        ("../new?a=1", ["/new?a=1"]),
        ("https://site.test/new#part", ["/new"]),
        ("http://site.test/new", ["/new"]),
        ("//www.site.test/new", ["/new"]),
        ("https://site.test", ["/"]),
        ("/caf\xe9", ["/caf%C3%A9"]),
        ("/a b", ["/a%20b"]),
        ("https://other.test/new", []),
        ("https://[broken", []),
        ("mailto:a@site.test", []),
    ],
)
@pytest.mark.parametrize("follow", ["", "links", "sitemaps", "whole"])
def test_a_redirect_leads_to_its_location(follow: Follow, location: str, led_to: list[str]) -> None:
    for status in (301, 302, 303, 307, 308):
        answer = an_answer("<a href=/no>", ("Location", location), status=status, follow=follow)
        assert targets(a_reader().leads("/d/old", answer), "redirect") == led_to


def test_a_redirect_without_a_location_leads_nowhere() -> None:
    assert a_reader().leads("/old", an_answer("<a href=/no>", status=302)) == []


def test_only_a_redirect_has_a_location() -> None:
    answer = an_answer("<a href=/yes>", ("Location", "/no"), status=200)
    assert targets(a_reader().leads("/old", answer), "page") == ["/yes"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("x", ["/d/x"]),
        ("/x", ["/x"]),
        ("https://site.test/x", ["/x"]),
        ("http://SITE.test/x", ["/x"]),
        ("//site.test", ["/"]),
        ("https://site.test?a=1", ["/?a=1"]),
        ("https://www.site.test/x", ["/x"]),
        ("https://a.cdn.test/x", ["/x"]),
        ("https://cdn.test/x", []),
        ("https://other.test/x", []),
        ("https://site.test:8443/x", []),
        ("https://site.test.evil.test/x", []),
        ("https://user@site.test/x", []),
        ("ftp://site.test/x", []),
        ("mailto:a@site.test", []),
        ("javascript:location='https://site.test/x'", []),
        ("https://[broken/x", []),
        ("/a/../x", ["/x"]),
        ("/café x", ["/caf%C3%A9%20x"]),
        ("/caf%C3%A9", ["/caf%C3%A9"]),
        ("/%61", ["/%61"]),
    ],
)
def test_a_link_is_ours_by_its_host(url: str, found: list[str]) -> None:
    assert own(url.replace("'", "&#39;")) == found


@pytest.mark.parametrize("base_url", ["https://site.test:8443", "http://site.test:8443"])
def test_the_port_belongs_to_the_host(base_url: str) -> None:
    settings = Settings(allowed_hosts=["site.test:8443"])
    urls = ["/a", "https://site.test:8443/b", "https://site.test/c", "https://site.test:1/d"]
    assert own(*urls, base_url=base_url, settings=settings) == ["/a", "/b"]


def test_allowing_every_host_does_not_make_the_web_ours() -> None:
    urls = ["https://site.test/a", "https://www.site.test/b", "https://other.test/c"]
    assert own(*urls, settings=Settings(allowed_hosts=["*"])) == ["/a"]
    assert own("https://SITE.test/a", settings=Settings(allowed_hosts=["*"])) == ["/a"]
    assert own(*urls, settings=Settings(allowed_hosts=["www.site.test", "*"])) == ["/a"]


def test_where_hosts_have_pages_of_their_own_the_others_are_not_ours() -> None:
    settings = Settings(allowed_hosts=["site.test", "www.site.test"], per_host=True)
    assert own("https://site.test/a", "https://www.site.test/b", settings=settings) == ["/a"]


def test_what_lies_outside_of_the_root_path_is_not_ours() -> None:
    urls = ["/root", "/root/", "/root/a", "b", "/rooted", "/a", "/", "https://site.test/root/c?d=1", "?e=/root"]
    found = own(*urls, base_url="https://site.test/root/", target="/root/d/page")
    assert found == ["/root", "/root/", "/root/a", "/root/d/b", "/root/c?d=1", "/root/d/page?e=/root"]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("?utm_source=x", ""),
        ("?utm_source=x&gclid=1&fbclid", ""),
        ("?page=2", "?page=2"),
        ("?page=2&utm_source=x", "?page=2&utm_source=x"),
        ("?utm_source=x&page=2", "?utm_source=x&page=2"),
        ("?utm_source=x;page=2", "?utm_source=x;page=2"),
        ("?a=b c&d=é", "?a=b%20c&d=%C3%A9"),
        ("?", ""),
        ("?#f", ""),
    ],
)
def test_only_a_query_that_changes_nothing_is_dropped(query: str, kept: str) -> None:
    assert own(f"/a{query}") == [f"/a{kept}"]
    assert targets(a_reader().seeds(f"/a{query}".encode()), "page") == [f"/a{kept}"]


def test_parameters_of_our_own_are_dropped_too() -> None:
    settings = Settings(allowed_hosts=["site.test"], ignore_query=["ref"])
    assert own("/a?ref=x", "/b?utm_source=x", settings=settings) == ["/a", "/b?utm_source=x"]


def test_a_page_leads_to_each_other_once() -> None:
    urls = ["/a", "/b", "/a#x", "/a?utm_source=x", "https://www.site.test/a", "/b"]
    assert own(*urls) == ["/a", "/b"]


def test_link_headers_and_the_body_lead_on() -> None:
    answer = an_answer("<a href=/body>", ("Link", "</s.css>; rel=preload, <https://other.test/x>"), ("Link", "<next>"))
    assert targets(a_reader().leads("/d/page", answer), "page") == ["/s.css", "/d/next", "/body"]


@pytest.mark.parametrize("status", [204, 304, 404, 410, 500, 503, 0])
def test_what_is_no_page_leads_nowhere(status: int) -> None:
    answer = an_answer("<a href=/no>", ("Link", "</no>"), status=status)
    assert a_reader().leads("/page", answer) == []


@pytest.mark.parametrize("follow", ["", "whole"])
def test_a_page_that_is_not_read_leads_nowhere(follow: Follow) -> None:
    assert a_reader().leads("/page", an_answer("<a href=/no>", ("Link", "</no>"), follow=follow)) == []


def test_a_page_of_another_type_leads_on_by_its_headers_alone() -> None:
    answer = an_answer("<a href=/no>", ("Link", "</yes>"), content_type="image/png")
    assert not answer.pieces
    assert targets(a_reader().leads("/page", answer), "page") == ["/yes"]


def test_a_page_without_end_is_not_read_to_the_end() -> None:
    answer = an_answer("<a href=/no>")
    answer.add(b" " * READ_AT_MOST)
    answer.add(b"<a href=/no>")
    assert answer.length > READ_AT_MOST and len(answer.pieces) < 3
    assert a_reader().leads("/page", answer) == []


def test_a_sitemap_of_any_type_leads_to_pages_and_sitemaps() -> None:
    both = PAGES.replace("</urlset>", "<sitemap><loc>/s.xml</loc></sitemap></urlset>")
    answer = an_answer(gzip.compress(both.encode()), follow="sitemaps", content_type="application/octet-stream")
    assert a_reader().leads("/sitemap", answer) == [Link("/a"), Link("/b"), Link("/s.xml", "sitemap")]
    assert a_reader().leads("/sitemap", an_answer("/a\n/b", follow="sitemaps", content_type="x/y")) == [
        Link("/a"),
        Link("/b"),
    ]
    assert a_reader().leads("/sitemap", an_answer(PAGES, follow="sitemaps", status=404)) == []


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://site.test/a", "/a"),
        ("https://other.test/a", "/a"),
        ("HTTP://OTHER.TEST:81/a?b=1#c", "/a?b=1"),
        ("https://other.test", "/"),
        ("/a", "/a"),
        ("/café", "/caf%C3%A9"),
        ("/a?gclid=1", "/a"),
    ],
)
def test_a_seed_is_a_path_whatever_its_host(url: str, target: str) -> None:
    body = f"<urlset><url><loc>{url}</loc></url></urlset>"
    assert a_reader().seeds(body.encode()) == [Link(target)]
    assert a_reader().seeds(body.replace("url>", "sitemap>").encode()) == [Link(target, "sitemap")]
    assert a_reader().seeds(url.encode()) == [Link(target)]


def test_a_sitemap_on_the_site_names_pages_whatever_their_host() -> None:
    sitemap = PAGES.replace("site.test", "www.of-production.test")
    assert targets(a_reader().leads("/s.xml", an_answer(sitemap, follow="sitemaps")), "page") == ["/a", "/b"]


def test_seeds_lie_below_the_root_path() -> None:
    found = a_reader("https://site.test/root").seeds(b"/root/a\nhttps://site.test/root/b\n/c\n/root\n/")
    assert targets(found, "page") == ["/root/a", "/root/b", "/root/c", "/root", "/root/"]


def test_lines_that_are_no_url_are_no_seeds() -> None:
    assert targets(a_reader().seeds(b"/a\nno url\nmailto:a@b.test\nftp://site.test/x\n# /c\n/b\n/a\n"), "page") == [
        "/a",
        "/b",
    ]
