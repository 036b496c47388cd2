"""Which type a hit carries, and when two Content-Types say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_diskcache.media_types import ALIASES, TYPES, extension, meaning

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/s.css", "css"),
        ("/S.CSS", "css"),
        ("/a.b/page", ""),
        ("/v1.0/json", ""),
        ("/json", ""),
        ("/html", ""),
        ("/a.html/", ""),
        ("/x.unknown", ""),
        ("/jquery.min.js", "js"),
        ("/x.", ""),
        ("", ""),
    ],
)
def test_only_the_last_segment_has_an_extension(name: str, found: str) -> None:
    assert extension(name) == found


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (HTML, "Text/HTML;Charset=UTF-8"),
        (HTML, 'text/html; charset="utf-8"'),
        (HTML, "text/html ; charset=utf8 ; "),
        (HTML, "text/html; charset=utf-8; charset=utf-8"),
        ("text/html", " text/html "),
        ("text/css", "text/css; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("text/javascript; charset=utf-8", "application/javascript"),
        ("text/xml", "application/xml; charset=UTF-8"),
        ("image/vnd.microsoft.icon", "image/x-icon"),
        ("image/png", "image/png"),
        ("application/json; profile=a; v=1", "application/json; v=1; profile=a"),
    ],
)
def test_these_say_the_same(left: str, right: str) -> None:
    assert meaning(left) == meaning(right) is not None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (HTML, "text/html"),
        ("text/plain", "text/plain; charset=utf-8"),
        (HTML, "text/plain; charset=utf-8"),
        (HTML, "text/html; charset=iso-8859-1"),
        (HTML, "text/html; charset=xutf8"),
        (HTML, "application/xhtml+xml"),
        ("text/css", "text/css; charset=latin-1"),
        ("application/json", "application/json; profile=a"),
        ("image/svg+xml", "application/xml"),
    ],
)
def test_these_do_not(left: str, right: str) -> None:
    assert meaning(left) is not None
    assert meaning(left) != meaning(right)


@pytest.mark.parametrize(
    "text",
    [
        *("", "html", "text/", "/html", "text/html/x", "text html", "text/html, text/plain", "text/html;charset"),
        *(
            "text/html; charset=",
            "text/html; charset=a; charset=b",
            'text/html; charset="a',
            "text/html;;charset=utf-8",
        ),
        *("text/html; charset=utf-8 x", "té/html", "text/html\r\nx: y"),
    ],
)
def test_what_is_malformed_says_nothing(text: str) -> None:
    assert meaning(text) is None


@given(st.text(max_size=60) | st.text(alphabet='text/hml;= "charsu-8,\\', max_size=40))
def test_any_text_is_judged(text: str) -> None:
    assert meaning(text) is None or isinstance(meaning(text), tuple)


@pytest.mark.parametrize("content_type", sorted(set(TYPES.values())))
def test_every_type_of_the_table_is_well_formed(content_type: str) -> None:
    assert meaning(content_type) is not None


def test_aliases_lead_to_types_that_have_no_alias() -> None:
    assert not set(ALIASES) & set(ALIASES.values())
