"""A site as documentation is: chapters of pages that link to each other, pictures, stylesheets, and a sitemap.

``flask_app`` and ``starlette_app`` are the same site. ``DOCS_PAGES`` in the environment is its number of pages, by
default 2000; a file in the directory ``DOCS_EDITS`` replaces the text of the page of its name, such as ``7-12``;
``DOCS_EDITION`` stands below every page, and ``DOCS_PARAGRAPHS`` is its length.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment

PAGES = int(os.environ.get("DOCS_PAGES", "2000"))
PARAGRAPHS = int(os.environ.get("DOCS_PARAGRAPHS", "12"))
EDITION = os.environ.get("DOCS_EDITION", "first")
EDITS = Path(os.environ.get("DOCS_EDITS", "/nonexistent"))
PER_CHAPTER = 50
PICTURES = 20

LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<link rel="stylesheet" href="/static/docs.css">
<link rel="sitemap" href="/sitemap.xml">
</head>
<body>
<nav><a href="/">Contents</a>{% for name, url in trail %} &raquo; <a href="{{ url }}">{{ name }}</a>{% endfor %}</nav>
<main>
<h1>{{ title }}</h1>
{% block content %}{% endblock %}
</main>
<footer>The {{ edition }} edition.</footer>
</body>
</html>
"""

CONTENTS = """{% extends "layout" %}{% block content %}
<ol>{% for name, url in entries %}<li><a href="{{ url }}">{{ name }}</a></li>{% endfor %}</ol>
{% endblock %}
"""

PAGE = """{% extends "layout" %}{% block content %}
<p><img src="{{ picture }}" srcset="{{ picture }} 1x, {{ large }} 2x" alt="a picture"></p>
{% for paragraph in paragraphs %}<h2 id="s{{ loop.index }}">{{ loop.index }}. {{ paragraph[:24] }}</h2>
<p>{{ paragraph }}</p>
<table>{% for row in range(6) %}<tr>
{% for cell in range(5) %}<td>{{ row * cell }}</td>{% endfor %}
</tr>{% endfor %}</table>
{% endfor %}
<p>{% if before %}<a rel="prev" href="{{ before }}">back</a>{% endif %}
{% if after %}<a rel="next" href="{{ after }}">on</a>{% endif %} <a href="#s1">up</a></p>
{% endblock %}
"""

SITEMAP = """<?xml version="1.0" encoding="utf-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{% for path in paths %}<url><loc>{{ origin }}{{ path }}</loc></url>
{% endfor %}</urlset>
"""

STYLES = {
    "docs.css": '@import "tables.css";\nbody { background: url(picture-0.svg) no-repeat; font: 16px/1.5 serif }\n',
    "tables.css": "table { border-collapse: collapse } td { padding: 2px 8px; background: url('picture-1.svg') }\n",
}

WORDS = "A page of many words about nothing much, as there are so many of them in the world, and each is read by few. "

TEMPLATES = Environment(
    loader=DictLoader({"layout": LAYOUT, "contents": CONTENTS, "page": PAGE, "sitemap": SITEMAP}), autoescape=True
)


def chapters() -> int:
    """How many chapters there are: each has a list of its own pages, and there is a list of chapters."""
    return max(1, -(-(PAGES - 1) // (PER_CHAPTER + 1)))


def pages_of(chapter: int) -> int:
    """How many pages a chapter has, beside its list."""
    left = PAGES - 1 - chapters() - chapter * PER_CHAPTER
    return max(0, min(PER_CHAPTER, left))


def paths() -> list[str]:
    """Every page."""
    found = ["/"]
    for chapter in range(chapters()):
        found += [f"/{chapter}/", *(f"/{chapter}/{page}.html" for page in range(pages_of(chapter)))]
    return found


def files() -> list[str]:
    """Everything else: stylesheets, pictures, the sitemap."""
    pictures = [f"/static/picture-{number}.svg" for number in range(PICTURES)]
    return [*(f"/static/{name}" for name in STYLES), *pictures, "/sitemap.xml"]


def rendered(template: str, **values: Any) -> str:
    """A template, filled in."""
    return TEMPLATES.get_template(template).render(edition=EDITION, **values)


def home() -> str:
    """The list of chapters."""
    entries = [(f"Chapter {chapter}", f"/{chapter}/") for chapter in range(chapters())]
    return rendered("contents", title="Contents", trail=[], entries=entries)


def contents(chapter: int) -> str:
    """The list of a chapter's pages."""
    entries = [(f"Page {page}", f"/{chapter}/{page}.html") for page in range(pages_of(chapter))]
    trail = [(f"Chapter {chapter}", f"/{chapter}/")]
    return rendered("contents", title=f"Chapter {chapter}", trail=trail, entries=entries)


def text_of(chapter: int, page: int) -> list[str]:
    """The paragraphs of a page."""
    edit = EDITS / f"{chapter}-{page}"
    return [edit.read_text()] if edit.exists() else [f"{number}: {WORDS * 4}" for number in range(PARAGRAPHS)]


def page(chapter: int, number: int) -> str:
    """A page: some ten kilobytes."""
    return rendered(
        "page",
        title=f"Page {number} of chapter {chapter}",
        trail=[(f"Chapter {chapter}", f"/{chapter}/")],
        picture=f"/static/picture-{(chapter + number) % PICTURES}.svg",
        large=f"/static/picture-{(chapter + number + 1) % PICTURES}.svg",
        paragraphs=text_of(chapter, number),
        before=f"/{chapter}/{number - 1}.html" if number else "",
        after=f"/{chapter}/{number + 1}.html" if number + 1 < pages_of(chapter) else "",
    )


def sitemap(origin: str) -> str:
    """Every page, for search engines."""
    return rendered("sitemap", paths=paths(), origin=origin)


def picture(number: int) -> str:
    """A picture."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="{number + 1}"/></svg>\n'


def exists(chapter: int, number: int = 0) -> bool:
    """Whether there is such a page."""
    return 0 <= chapter < chapters() and 0 <= number < max(1, pages_of(chapter))


def make_flask_app() -> Any:
    """The site on Flask."""
    from flask import Flask, Response, abort, request

    app = Flask(__name__, static_folder=None)

    def shown(chapter: int, number: int, show: Callable[[], str]) -> str:
        return show() if exists(chapter, number) else abort(404)

    app.add_url_rule("/", "home", home)
    app.add_url_rule("/<int:chapter>/", "contents", lambda chapter: shown(chapter, 0, lambda: contents(chapter)))
    app.add_url_rule(
        "/<int:chapter>/<int:number>.html",
        "page",
        lambda chapter, number: shown(chapter, number, lambda: page(chapter, number)),
    )
    app.add_url_rule("/static/<name>.css", "style", lambda name: Response(STYLES[f"{name}.css"], mimetype="text/css"))
    app.add_url_rule(
        "/static/picture-<int:number>.svg",
        "picture",
        lambda number: Response(picture(number), mimetype="image/svg+xml"),
    )
    app.add_url_rule(
        "/sitemap.xml",
        "sitemap",
        lambda: Response(sitemap(request.host_url.rstrip("/")), mimetype="application/xml"),
    )
    return app


def make_starlette_app() -> Any:
    """The site on Starlette."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    async def show_home(request: Request) -> Response:
        return HTMLResponse(home())

    async def show_contents(request: Request) -> Response:
        chapter = request.path_params["chapter"]
        if not exists(chapter):
            raise HTTPException(404)
        return HTMLResponse(contents(chapter))

    async def show_page(request: Request) -> Response:
        chapter, number = request.path_params["chapter"], request.path_params["number"]
        if not exists(chapter, number):
            raise HTTPException(404)
        return HTMLResponse(page(chapter, number))

    async def show_style(request: Request) -> Response:
        return Response(STYLES[f"{request.path_params['name']}.css"], media_type="text/css")

    async def show_picture(request: Request) -> Response:
        return Response(picture(request.path_params["number"]), media_type="image/svg+xml")

    async def show_sitemap(request: Request) -> Response:
        return Response(sitemap(str(request.base_url).rstrip("/")), media_type="application/xml")

    return Starlette(
        routes=[
            Route("/", show_home),
            Route("/sitemap.xml", show_sitemap),
            Route("/static/picture-{number:int}.svg", show_picture),
            Route("/static/{name}.css", show_style),
            Route("/{chapter:int}/", show_contents),
            Route("/{chapter:int}/{number:int}.html", show_page),
        ]
    )


def __getattr__(name: str) -> Any:
    makers = {"flask_app": make_flask_app, "starlette_app": make_starlette_app}
    if name not in makers:
        raise AttributeError(name)
    globals()[name] = makers[name]()
    return globals()[name]
