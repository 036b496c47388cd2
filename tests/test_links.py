"""What pages link to, in HTML, CSS and headers: as browsers read them, whatever else is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urljoin

import pytest
from commands import python
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_diskcache.warming.links import Missing, can_link, in_header, joined, linked, require
from asgi_diskcache.warming.sources import Sources

SITE = "https://site.test"
PAGE = f"{SITE}/d/page"
HTML = "text/html; charset=utf-8"
CSS = "text/css"


def of(body: str | bytes, content_type: str = HTML) -> list[str]:
    """What a page links to: without scheme and host where they are its own."""
    raw = body.encode() if isinstance(body, str) else body
    return [url.removeprefix(SITE) for url in linked(raw, content_type, PAGE)]


@pytest.mark.parametrize(
    ("html", "urls"),
    [
        ("<a href=x>", ["/d/x"]),
        ("<a name=x>", []),
        ("<map><area href='/y'></map>", ["/y"]),
        ("<link rel=stylesheet href=s.css>", ["/d/s.css"]),
        ("<link href=/norel>", ["/norel"]),
        ("<link rel=canonical href=https://other.test/x>", ["https://other.test/x"]),
        ("<script src=a.js></script>", ["/d/a.js"]),
        ("<img src=a.png>", ["/d/a.png"]),
        ("<image src=old.png>", ["/d/old.png"]),
        ("<iframe src=/i></iframe>", ["/i"]),
        ("<frameset><frame src=/f></frameset>", ["/f"]),
        ("<embed src=/e>", ["/e"]),
        ("<input type=image src=/b.png>", ["/b.png"]),
        ("<object data=o.svg></object>", ["/d/o.svg"]),
        ("<audio src=a.ogg></audio>", ["/d/a.ogg"]),
        ("<video src=v.mp4 poster=p.png></video>", ["/d/v.mp4", "/d/p.png"]),
        ("<video><source src=w.webm><track src=t.vtt></video>", ["/d/w.webm", "/d/t.vtt"]),
        ("<svg><use href='i.svg#a'/><image href=q.png /></svg>", ["/d/i.svg", "/d/q.png"]),
        ("<svg><use xlink:href='i.svg#a'/><image xlink:href=q.png /></svg>", ["/d/i.svg", "/d/q.png"]),
        ("<svg><a xlink:href=/from/svg><text>x</text></a></svg>", ["/from/svg"]),
        ("<p style='background: url(a.png)'>", ["/d/a.png"]),
        ("<a href=/k style='background: url(z.png)'>", ["/d/z.png", "/k"]),
        ("<style>@import 'b.css'; p { background: url(c.png) }</style>", ["/d/b.css", "/d/c.png"]),
        ("<p data-href=/no title=/no>", []),
    ],
)
def test_an_element_links_to_what_a_browser_fetches_for_it(html: str, urls: list[str]) -> None:
    assert of(html) == urls


@pytest.mark.parametrize(
    ("srcset", "urls"),
    [
        ("a.png", ["a.png"]),
        ("a.png 1x, b.png 2x", ["a.png", "b.png"]),
        ("a.png 100w,b.png 200w", ["a.png", "b.png"]),
        (" a.png\n 1x ,\n\tb.png 2x\n", ["a.png", "b.png"]),
        ("a.png, b.png 2x", ["a.png", "b.png"]),
        ("a,w_100.png 100w, b,w_200.png 200w", ["a,w_100.png", "b,w_200.png"]),
        (",a.png 1x,, b.png 2x,", ["a.png", "b.png"]),
        ("a.png 100w 50h, b.png", ["a.png", "b.png"]),
        ("data:image/png;base64,AA== 1x, b.png 2x", ["b.png"]),
        ("", []),
        (" , ", []),
    ],
)
@pytest.mark.parametrize("element", ["<img srcset='{}'>", "<source srcset='{}'>", "<link imagesrcset='{}'>"])
def test_each_candidate_of_a_srcset_is_a_link(element: str, srcset: str, urls: list[str]) -> None:
    assert of(element.format(srcset)) == [f"/d/{url}" for url in urls]


@pytest.mark.parametrize(
    ("content", "urls"),
    [
        ("0;url=/a", ["/a"]),
        ("0; URL=/a", ["/a"]),
        ("5 ; url = /a", ["/a"]),
        ("0,/a", ["/a"]),
        ("0; /a", ["/a"]),
        ("0.5; url=/a b", ["/a b"]),
        ("0; url='/a'", ["/a"]),
        ("0; url=&quot;/a&quot;", ["/a"]),
        ("0; url=a?b='c'", ["/d/a?b='c'"]),
        ("0", []),
        ("300", []),
        (" 3.5 ", []),
        ("", []),
    ],
)
def test_a_refresh_leads_on_if_it_names_a_page(content: str, urls: list[str]) -> None:
    assert of(f'<meta http-equiv=Refresh content="{content}">') == urls


def test_other_metas_lead_nowhere() -> None:
    assert of("<meta name=refresh content='0; url=/a'><meta http-equiv=default-style content=/b>") == []


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("<base href=/b/>", "/b/x"),
        ("<base href=b/>", "/d/b/x"),
        ("<base href=//other.test/b/>", "https://other.test/b/x"),
        ("<base href=https://other.test>", "https://other.test/x"),
        ("<base href=/one/><base href=/two/>", "/one/x"),
        ("<base target=_top><base href=/two/>", "/two/x"),
        ("<base>", "/d/x"),
        ("<base href>", "/d/x"),
        ("<base href=''>", "/d/x"),
        ("<base href='https://[broken'>", "/d/x"),
        ("<base href='data:text/html,x'>", "/d/x"),
        ("\ufeff<base href=/b/>", "/b/x"),
    ],
)
def test_links_begin_at_the_base(base: str, url: str) -> None:
    assert of(f"{base}<a href=x>") == [url]
    assert of(f"{base}<p style='background: url(x)'>") == [url]
    assert of(f"<a href=x>{base}") == [url]


@pytest.mark.parametrize(
    ("form", "urls"),
    [
        ("<form action=/f><button>Go</button></form>", ["/f"]),
        ("<form action=/f method=GET><input type=submit></form>", ["/f"]),
        ("<form action=/f><input name=q></form>", []),
        ("<form action=/f><p><select name=q></select></form>", []),
        ("<form action=/f><textarea name=q></textarea></form>", []),
        ("<form action=/f><button name=b value=1>Go</button></form>", []),
        ("<form action=/f method=post></form>", []),
        ("<form action=/f method=dialog></form>", []),
    ],
)
def test_only_a_form_without_fields_is_a_link(form: str, urls: list[str]) -> None:
    assert of(form) == urls


@pytest.mark.parametrize(
    "relation", ["preconnect", "DNS-Prefetch", "pingback", "EditURI", "wlwmanifest", "x preconnect"]
)
def test_a_relation_that_is_no_page_is_no_link(relation: str) -> None:
    assert of(f"<link rel='{relation}' href=/q><link rel='pre' href=/r>") == ["/r"]


@pytest.mark.parametrize(
    ("href", "url"),
    [
        (" /w ", "/w"),
        ("\n/w\n", "/w"),
        ("/w\n/x", "/w/x"),
        ("/w\t\r\n/x", "/w/x"),
        ("/a b", "/a b"),
        (r"\w\x", "/w/x"),
        (r"\\other.test\x", "https://other.test/x"),
        ("//other.test/x", "https://other.test/x"),
        ("/a#f", "/a"),
        ("a?b=1#f?c", "/d/a?b=1"),
        ("?b=1&amp;c=2", "/d/page?b=1&c=2"),
        ("?b=1&copy=2", "/d/page?b=1&copy=2"),
        (".", "/d/"),
        ("../x/./y/../z", "/x/z"),
        ("/café/日本", "/café/日本"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("http:x", "http:x"),
        ("java\nscript:/x", "javascript:/x"),
        ("HTTPS://OTHER.TEST/X", "https://OTHER.TEST/X"),
    ],
)
def test_a_url_is_read_as_browsers_read_it(href: str, url: str) -> None:
    assert of(f"<a href='{href}'>") == [url]


@pytest.mark.parametrize("href", ["", "https://[broken/x", "//[broken"])
def test_a_url_that_is_none_is_no_link(href: str) -> None:
    assert of(f"<a href='{href}'><a href=/x>") == ["/x"]


@pytest.mark.parametrize(
    "url",
    [
        *("mailto:a@site.test", "tel:1", "javascript:void(0)", " javascript:/x", "about:blank", "cid:1"),
        *("data:text/plain,x", " data:text/plain,/x", "DATA:text/plain,x", "blob:https://site.test/x"),
    ],
)
@pytest.mark.parametrize("template", ["<a href='{}'>", "<img src='{}'>", "<p style='background: url(\"{}\")'>"])
@pytest.mark.parametrize("base", ["", "<base href=/assets/>"])
def test_what_is_not_fetched_by_http_leads_to_no_page(base: str, template: str, url: str) -> None:
    assert [found for found in of(base + template.format(url)) if found.startswith(("/", "http"))] == []


@pytest.mark.parametrize(
    ("html", "urls"),
    [
        ("<a href=/1", []),
        ("<a href=/1><a href=/2", ["/1"]),
        ("<a href=/1><b><p><a href=/2></b></i></p></a>", ["/1", "/2"]),
        ("<div><span><a href=/1></div></table></span><td><a href=/2>", ["/1", "/2"]),
        ("<table><a href=/1><tr><a href=/2><td><a href=/3></table>", ["/1", "/2", "/3"]),
        ("<a href=/1 href=/2>", ["/1"]),
        ("<A HREF=/1><IMG SRC=/2>", ["/1", "/2"]),
        ("<a/href=/1/><a href = '/2'>", ["/1/", "/2"]),
        ("<a href='/1<a href='/2'>", ["/1<a href="]),
        ("</p></br></body><a href=/1></html><a href=/2>", ["/1", "/2"]),
        ("\0<a href=/1>", ["/1"]),
        ("<p>no links", []),
        ("", []),
    ],
)
def test_links_of_broken_html_are_those_that_browsers_see(html: str, urls: list[str]) -> None:
    assert sorted(of(html)) == urls


@pytest.mark.parametrize(
    "html",
    [
        "<textarea><a href=/no></textarea>",
        "<title><a href=/no></title>",
        "<!-- <a href=/no> --><!--[if IE]><link href=/no><![endif]-->",
        "<script>document.write('<a href=/no>')</script>",
        "<style>/* url(/no) */ p::before { content: 'url(/no)' }</style>",
        "<xmp><a href=/no></xmp>",
        "&lt;a href=/no&gt;",
    ],
)
def test_text_is_no_link(html: str) -> None:
    assert of(f"{html}<a href=/yes>") == ["/yes"]


def test_links_for_those_without_scripts_count() -> None:
    assert of("<noscript><img src=/n.png><a href=/n></noscript>") == ["/n.png", "/n"]


def test_links_in_a_template_are_not_there_yet() -> None:
    assert of("<template><a href=/no></template><a href=/yes>") == ["/yes"]


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/html", "utf-8"),
        ("text/html; charset=utf-8", "utf-8"),
        ("text/html; charset=iso-8859-1", "iso-8859-1"),
        ('TEXT/HTML ; Charset = "ISO-8859-1"', "iso-8859-1"),
        ("text/html; version=1; charset=shift_jis", "shift_jis"),
        ("text/html; charset=utf-16", "utf-16"),
        ("text/html; charset=", "utf-8"),
        ("text/html; charset=nonsense", "utf-8"),
        ("text/html; charset=base64", "utf-8"),
        # What scripts print for a variable that is not set, and Python has an encoding of that name.
        ("text/html; charset=undefined", "utf-8"),
        ("text/html; charset=idna", "utf-8"),
        ("text/html; charset=punycode", "utf-8"),
        ("application/xhtml+xml; charset=iso-8859-1", "iso-8859-1"),
    ],
)
def test_the_header_tells_the_charset(content_type: str, charset: str) -> None:
    text = "/日本" if charset == "shift_jis" else "/é"
    assert of(f"<a href={text}>".encode(charset), content_type) == [text]


def test_bytes_that_are_no_text_hide_no_other_links() -> None:
    assert of(b"<a href=/\xe9><a href=/x>") == ["/\ufffd", "/x"]


@pytest.mark.parametrize(
    ("css", "urls"),
    [
        ("p { background: url(a.png) }", ["a.png"]),
        ("p { background: url( 'a.png' ), URL(\"b.png\"), url(\n c.png ) }", ["a.png", "b.png", "c.png"]),
        (r"p { background: url(a\ b.png), url('c\)d.png'), url(e\66.png) }", ["a b.png", "c)d.png", "ef.png"]),
        ("p { background: url(a,b.png) } q { background: url('a(b).png') }", ["a,b.png", "a(b).png"]),
        ("@import 'a.css'; @import url(b.css); @import url('c.css') print;", ["a.css", "b.css", "c.css"]),
        ("@IMPORT/**/'a.css' layer(x) supports(display: grid) screen;", ["a.css"]),
        ("@charset 'utf-8'; @import 'a.css';", ["a.css"]),
        ("@media print { @supports (a: b) { p { background: url(a.png) } } }", ["a.png"]),
        ("p { & q { background: url(a.png) } }", ["a.png"]),
        ("@font-face { src: url(a.woff2) format('woff2'), local('x'), url(b.woff) }", ["a.woff2", "b.woff"]),
        ("p { --image: url(a.png); background: var(--b, url(b.png)) }", ["a.png", "b.png"]),
        ("/* url(no.png) @import 'no.css' */ p { background: /* ' */ url(a.png) }", ["a.png"]),
        ("p { content: 'url(no.png)' } /* url( */", []),
        ("p { background: image-set(url(a.png) 1x, url('b.png') 2x) }", ["a.png", "b.png"]),
        ("p { background: image-set('a.png' 1x, 'b.png' 2x) }", ["a.png", "b.png"]),
        ("p { background: -webkit-image-set('a.png' 1x) }", ["a.png"]),
        ("p { background: url(data:image/png;base64,AA==), url('data:image/svg+xml,<a>'), url(a.png) }", ["a.png"]),
        ("p { background: url(a.svg#part) }", ["a.svg"]),
        ("p { background: url(a b.png) } q { background: url(c.png) }", ["c.png"]),
        ("p { background: url(a.png", ["a.png"]),
        ("p { font-family: 'no.css' } @media 'no.css' {}", []),
        ("", []),
    ],
)
def test_a_stylesheet_links_to_what_it_names(css: str, urls: list[str]) -> None:
    wanted = [f"/d/{url}" for url in urls]
    assert of(css, CSS) == wanted
    assert of(f"<style>{css}</style>") == wanted


def test_a_stylesheet_has_the_charset_of_its_header() -> None:
    assert of("p { background: url(é.png) }".encode("latin-1"), "text/css; charset=iso-8859-1") == ["/d/é.png"]


@pytest.mark.parametrize("css", ["p { b: url(a); c: " + "(" * 5000, "{" * 5000 + "url(a)", "x(" * 5000 + "url(a)"])
def test_brackets_may_be_nested_as_deeply_as_they_like(css: str) -> None:
    assert set(of(css, CSS)) <= {"/d/a"}


@pytest.mark.parametrize(
    ("values", "urls"),
    [
        (["</s.css>; rel=preload; as=style"], ["/s.css"]),
        (["<a>; rel=next, <b,c>; title='x, y'", "<//other.test/d>"], ["/d/a", "/d/b,c", "https://other.test/d"]),
        (["< /a >"], ["/a"]),
        (["</a#f>"], ["/a"]),
        (["<>", "no link", "<unclosed"], []),
        ([], []),
    ],
)
def test_link_headers_link(values: list[str], urls: list[str]) -> None:
    assert [url.removeprefix(SITE) for url in in_header(values, PAGE) if url != PAGE] == urls


def test_a_url_is_given_once_whatever_its_fragment() -> None:
    assert joined(PAGE, ["/a#x", "/b", "/a#y", "/a", "/d/../a", "/b"]) == [f"{SITE}/a", f"{SITE}/b"]


BASES = (PAGE, SITE, f"{SITE}/", f"{SITE}/d/", f"{SITE}/a/b?c=/d", "http://[::1]:8000/x/y", "//site.test/x")
LETTERS = st.sampled_from([*"/.~_-aZ09", "/", "..", "//", ":", "?", "%41", "@", ";", "=", "é", "http:", "[", "]"])


@given(st.sampled_from(BASES), st.lists(LETTERS, max_size=8).map("".join))
@example(PAGE, "/a/b.html/")
@example(PAGE, "/a/../b")
@example(PAGE, "/a/.b")
@example(PAGE, "/a./b")
@example(PAGE, "//a/b")
@example(SITE, "/a")
def test_a_url_is_joined_as_the_standard_library_does(base: str, url: str) -> None:
    try:
        expected = urljoin(base, url)
    except ValueError:
        expected = ""
    assert joined(base, [url] if url else []) == ([expected] if url and expected else [])


PIECES = st.sampled_from(
    [
        *(
            "<a href=",
            "<base href=",
            "<img srcset=",
            "<p style=",
            "<style>",
            "</style>",
            "<meta http-equiv=refresh content=",
        ),
        *("<form action=", "<svg>", "<use xlink:href=", "<template>", "<!--", "-->", "<![CDATA[", "<?xml", "</", "/>"),
        *(
            "url(",
            "@import ",
            "data:",
            "javascript:",
            "http://",
            "//",
            "[",
            "]",
            "(",
            "{",
            "}",
            ")",
            "\\",
            "#",
            "?",
            ";",
        ),
        *("'", '"', ">", "<", " ", "\n", "\t", "\0", ",", "=", "&#0;", "&#xD800;", "a", "é", "\ufeff", "1x"),
    ]
)
TYPES = st.sampled_from([HTML, CSS, "text/html; charset=utf-16", "application/xhtml+xml"])


@given(st.lists(PIECES, max_size=30).map("".join).map(str.encode) | st.binary(max_size=60), TYPES)
@example(b"<a href=' /a\n#b '>", HTML)
def test_whatever_a_page_holds_its_links_are_urls(body: bytes, content_type: str) -> None:
    for url in linked(body, content_type, PAGE):
        assert url and url == url.strip(" ") and not {"\n", "\t", "#"} & set(url)


# How long a test waits before it fails: what it waits for takes no time.
READ = "import sys; from asgi_diskcache.warming.links import linked; list(linked(eval(sys.argv[1]), 'text/html', 'http://x/'))"


@pytest.mark.parametrize(
    "body",
    [
        "b'<img srcset=\"' + b',' * 30_000 + b'\">'",
        "b'<img srcset=\"' + b' ' * 300_000 + b'\">'",
        "b'<img srcset=\"' + b'a.png 1x, ' * 30_000 + b'\">'",
        "b'<meta http-equiv=refresh content=\"0' + b' ' * 30_000 + b\"a''\\\">\"",
        "b'<a href=x>' * 30_000",
        "b'<b><p><form><table>' * 3_000",
        "b'<p style=\"a:' + b'url(' * 30_000 + b'\">'",
    ],
)
def test_no_page_takes_long_to_read(tmp_path: Path, body: str) -> None:
    ran = python("-c", READ, body, cwd=tmp_path)
    assert ran.status == 0, ran.err


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("text/html", True),
        ("TEXT/HTML; charset=x", True),
        ("application/xhtml+xml", True),
        ("text/css ; charset=utf-8", True),
        ("application/xml", True),
        ("text/xml", True),
        ("image/svg+xml", True),
        ("application/rss+xml;x=y", True),
        ("text/plain", False),
        ("application/json", False),
        ("image/png", False),
        ("text/htmlx", False),
        ("", False),
    ],
)
def test_a_page_of_some_types_can_link(content_type: str, found: bool) -> None:
    assert can_link(content_type) is found


SITEMAP = "<urlset><url><loc>https://site.test/a</loc></url></urlset>"


@pytest.mark.parametrize(
    ("content_type", "urls"),
    [
        ("text/html", ["/html"]),
        ("application/xhtml+xml", ["/html"]),
        ("application/xml", []),
        ("text/plain", []),
        ("application/json", []),
        ("", []),
    ],
)
def test_a_page_is_read_by_its_type(content_type: str, urls: list[str]) -> None:
    assert of("<a href=/html>url(/css) @import '/css'", content_type) == urls


@pytest.mark.parametrize("content_type", ["application/xml", "text/xml; charset=utf-8", "application/x+xml"])
def test_a_sitemap_that_is_found_leads_to_its_pages(content_type: str) -> None:
    assert of(SITEMAP, content_type) == ["/a"]
    assert of(SITEMAP, "text/html") == []


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (["selectolax"], "to follow links takes selectolax: "),
        (["tinycss2"], "to follow links takes tinycss2: "),
        (["selectolax", "tinycss2"], "to follow links takes selectolax and tinycss2: "),
    ],
)
def test_a_parser_that_is_not_installed_is_told_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], told: str
) -> None:
    require()
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    for ask in (require, lambda: Sources(crawl=True)):
        with pytest.raises(Missing, match=rf"^{told}pip install 'asgi-diskcache\[crawl\]'$"):
            ask()
    assert Sources(paths=("/",)).paths == ("/",)
