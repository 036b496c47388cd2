"""A legacy WSGI site of licence deeds, as it might have been written in 2005, and the ASGI application around it.

The deeds are written for this demonstration and have no legal effect.
"""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import Callable, Iterable, Mapping
from string import Template
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs

from a2wsgi import WSGIMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from asgi_diskcache import DiskCache, DiskCacheMiddleware

Environ = Mapping[str, Any]
StartResponse = Callable[..., Any]

RENDER_SECONDS = 0.2
"""How long a page takes to render."""

OPTIONS: dict[str, Any] = {
    "content_types": {"/licenses/**/rdf": "application/rdf+xml", "/licenses/**/deed.pl": "text/html; charset=utf-8"}
}
"""What a ``DiskCache`` has to know of this site: types that its URLs do not tell (``deed.pl`` is Polish, not Perl)."""

VERSIONS = ("2.0", "2.5", "3.0", "4.0")
LICENCES = ("by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")


class Language(NamedTuple):
    """The sentences of a deed in one language; the last four are the conditions that give a licence its name."""

    name: str
    licence: str
    share: str
    adapt: str
    by: str
    nc: str
    nd: str
    sa: str


# fmt: off
LANGUAGES = {
    "cs": Language("Čeština", "Licence", "Dílo smíte kopírovat a předávat dál.", "Smíte je měnit a stavět na něm.",
                   "Uveďte autora.", "Žádné komerční užití.", "Žádné upravené verze.",
                   "Co vytvoříte, předávejte dál pod touto licencí."),
    "de": Language("Deutsch", "Lizenz", "Sie dürfen das Werk kopieren und weitergeben.",
                   "Sie dürfen es verändern.", "Nennen Sie den Urheber.", "Keine kommerzielle Nutzung.",
                   "Keine veränderten Fassungen.", "Geben Sie Ihr Ergebnis unter derselben Lizenz weiter."),
    "en": Language("English", "Licence", "You may copy the work and pass it on.",
                   "You may change it and build upon it.", "Name the author.", "No commercial use.",
                   "No changed versions.", "Pass on what you make under this same licence."),
    "es": Language("Español", "Licencia", "Puede copiar la obra y compartirla.",
                   "Puede modificarla y crear a partir de ella.", "Nombre al autor.", "Sin uso comercial.",
                   "Sin versiones modificadas.", "Comparta lo que haga bajo esta misma licencia."),
    "fi": Language("Suomi", "Lisenssi", "Saat kopioida teoksen ja jakaa sitä.",
                   "Saat muuttaa sitä ja rakentaa sen pohjalta.", "Mainitse tekijä.", "Ei kaupallista käyttöä.",
                   "Ei muutettuja versioita.", "Jaa tuloksesi samalla lisenssillä."),
    "fr": Language("Français", "Licence", "Vous pouvez copier l'œuvre et la transmettre.",
                   "Vous pouvez la modifier et vous en inspirer.", "Nommez l'auteur.", "Pas d'usage commercial.",
                   "Pas de versions modifiées.", "Partagez votre résultat sous la même licence."),
    "it": Language("Italiano", "Licenza", "Puoi copiare l'opera e diffonderla.",
                   "Puoi modificarla e trarne opere nuove.", "Indica l'autore.", "Nessun uso commerciale.",
                   "Nessuna versione modificata.", "Condividi il risultato con la stessa licenza."),
    "ja": Language("日本語", "ライセンス", "作品を複製し、配ることができます。", "作品を改変することができます。",
                   "作者の名前を示してください。", "営利目的では使えません。", "改変したものは配れません。",
                   "作ったものは同じライセンスで配ってください。"),
    "nl": Language("Nederlands", "Licentie", "U mag het werk kopiëren en doorgeven.",
                   "U mag het veranderen en erop voortbouwen.", "Noem de maker.", "Geen commercieel gebruik.",
                   "Geen gewijzigde versies.", "Geef uw resultaat door onder dezelfde licentie."),
    "pl": Language("Polski", "Licencja", "Możesz kopiować utwór i przekazywać go dalej.",
                   "Możesz go zmieniać i na nim budować.", "Podaj autora.", "Bez użytku komercyjnego.",
                   "Bez zmienionych wersji.", "Swoje dzieło udostępnij na tej samej licencji."),
    "pt": Language("Português", "Licença", "Pode copiar a obra e partilhá-la.", "Pode alterá-la e criar a partir dela.",
                   "Indique o autor.", "Sem uso comercial.", "Sem versões alteradas.",
                   "Partilhe o resultado sob a mesma licença."),
    "sv": Language("Svenska", "Licens", "Du får kopiera verket och sprida det.",
                   "Du får ändra det och bygga på det.", "Ange upphovspersonen.", "Ingen kommersiell användning.",
                   "Inga ändrade versioner.", "Sprid ditt resultat under samma licens."),
}
# fmt: on

PAGE = """\
<!DOCTYPE html><html lang="$lang">
<head><meta charset="utf-8"><title>$title</title><link rel="stylesheet" href="/style.css"></head>
<body>
<h1>$title</h1>
$content
<p><a href="/">/</a> A demonstration, of no legal effect.</p>
</body></html>
"""

RDF = """\
<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cc="http://creativecommons.org/ns#">
<cc:License rdf:about="./">
$properties
</cc:License></rdf:RDF>
"""

PROPERTIES = {
    "by": '<cc:requires rdf:resource="http://creativecommons.org/ns#Attribution"/>',
    "nc": '<cc:prohibits rdf:resource="http://creativecommons.org/ns#CommercialUse"/>',
    "nd": "<!-- permits no cc:DerivativeWorks -->",
    "sa": '<cc:requires rdf:resource="http://creativecommons.org/ns#ShareAlike"/>',
}

STYLE = """\
body { max-width: 40em; margin: 2em auto; font: 16px/1.5 $font; color: $ink; background: $paper; }
h1 { border-bottom: 4px solid $accent; }
a { color: $accent; }
"""


class Answer(NamedTuple):
    """What a page hands to the WSGI server."""

    body: str
    content_type: str = "text/html; charset=utf-8"
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()


def render(template: str, **values: str) -> str:
    """Fill in a template line by line, compiling each line anew and taking ``RENDER_SECONDS`` over all of them."""
    lines = template.splitlines(keepends=True)
    rendered = []
    for line in lines:
        time.sleep(RENDER_SECONDS / len(lines))
        rendered.append(Template(line).substitute(values))
    return "".join(rendered)


def links(targets: Mapping[str, str]) -> str:
    """Return an HTML list of links; ``targets`` maps each URL to its text."""
    return "\n".join(["<ul>", *(f'<li><a href="{url}">{text}</a></li>' for url, text in targets.items()), "</ul>"])


def home(environ: Environ) -> Answer:
    """Answer ``/``: every licence, and the pages that are there to be refused."""
    licences = {f"/licenses/{code}/{version}/": f"{code} {version}" for code in LICENCES for version in VERSIONS}
    others = {"/native": "A native page", "/search": "Search", "/account": "Your account"}
    return Answer(render(PAGE, lang="en", title="Licences", content=links({**licences, **others})))


def licence(environ: Environ, code: str, version: str) -> Answer:
    """Answer ``/licenses/by/3.0/``: the languages in which a licence has a deed."""
    content = links({f"deed.{tag}": language.name for tag, language in LANGUAGES.items()} | {"rdf": "RDF"})
    return Answer(render(PAGE, lang="en", title=f"{code} {version}", content=content))


def deed(environ: Environ, code: str, version: str, tag: str) -> Answer:
    """Answer ``/licenses/by/3.0/deed.en``: what a licence allows, and on which conditions."""
    sentences = "\n".join(f"<p>{sentence}</p>" for sentence in terms(code, LANGUAGES[tag]))
    title = f"{LANGUAGES[tag].licence} {code.upper()} {version}"
    return Answer(render(PAGE, lang=tag, title=title, content=sentences))


def terms(code: str, language: Language) -> list[str]:
    """Return the sentences of a deed: the permissions, then a condition for each part of the licence's code."""
    conditions = code.split("-")
    permissions = [language.share] if "nd" in conditions else [language.share, language.adapt]
    return permissions + [getattr(language, condition) for condition in conditions]


def rdf(environ: Environ, code: str, version: str) -> Answer:
    """Answer ``/licenses/by/3.0/rdf``: the same for machines."""
    properties = "\n".join(PROPERTIES[condition] for condition in code.split("-"))
    return Answer(render(RDF, properties=properties), "application/rdf+xml")


def stylesheet(environ: Environ) -> Answer:
    """Answer ``/style.css``, which goes through the template engine like everything else here."""
    css = render(STYLE, font="Georgia, serif", ink="#222", paper="#fdfcf8", accent="#b3541e")
    return Answer(css, "text/css; charset=utf-8")


def account(environ: Environ) -> Answer:
    """Answer ``/account``, which sets a cookie and is therefore nobody else's page."""
    cookie = ("Set-Cookie", "account=visitor; Path=/account; HttpOnly; SameSite=Lax")
    return Answer(render(PAGE, lang="en", title="Your account", content="<p>Never stored.</p>"), headers=(cookie,))


def search(environ: Environ) -> Answer:
    """Answer ``/search?q=...``: the languages that have the words in their deeds; without a query, all of them."""
    words = parse_qs(environ.get("QUERY_STRING", "")).get("q", [""])[0]
    form = f'<form action="/search"><input name="q" value="{html.escape(words)}"> <button>Search</button></form>\n'
    found = {tag: language for tag, language in LANGUAGES.items() if words.casefold() in " ".join(language).casefold()}
    results = links({f"/licenses/by/4.0/deed.{tag}": language.name for tag, language in found.items()})
    return Answer(render(PAGE, lang="en", title="Search", content=form + results))


def _one_of(group: str, names: Iterable[str]) -> str:
    return f"(?P<{group}>{'|'.join(map(re.escape, names))})"


_LICENCE = rf"/licenses/{_one_of('code', LICENCES)}/{_one_of('version', VERSIONS)}/"
ROUTES: tuple[tuple[str, Callable[..., Answer]], ...] = (
    (r"/", home),
    (r"/style\.css", stylesheet),
    (r"/account", account),
    (r"/search", search),
    (_LICENCE, licence),
    (rf"{_LICENCE}rdf", rdf),
    (rf"{_LICENCE}deed\.{_one_of('tag', LANGUAGES)}", deed),
)


def answer(environ: Environ) -> Answer:
    """Return what the first matching route says, 405 for methods that change things, or 404."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return Answer("Read only.\n", "text/plain", "405 Method Not Allowed", (("Allow", "GET, HEAD"),))
    for pattern, page in ROUTES:
        if match := re.fullmatch(pattern, environ.get("PATH_INFO", "")):
            return page(environ, **match.groupdict())
    return Answer("No such page.\n", "text/plain", "404 Not Found")


def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The legacy site: a WSGI application."""
    text, content_type, status, headers = answer(environ)
    body = text.encode()
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


async def native(request: Request) -> HTMLResponse:
    """Answer ``/native``: a page that was written for ASGI, and is no faster for it."""
    await asyncio.sleep(RENDER_SECONDS)
    return HTMLResponse(Template(PAGE).substitute(lang="en", title="A native page", content="<p>From Starlette.</p>"))


def application(cache: DiskCache) -> Starlette:
    """Return the legacy site and a native page as one ASGI application behind ``cache`` (built with ``OPTIONS``)."""
    return Starlette(
        routes=[Route("/native", native), Mount("/", app=cast(Any, WSGIMiddleware(site)))],
        middleware=[Middleware(DiskCacheMiddleware, cache=cache)],
    )
