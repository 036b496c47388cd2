"""A small site that is exported: pretty paths, files, redirects, lifetimes, private pages, a page for missing ones."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_diskcache import DiskCache, DiskCacheMiddleware

LINKS = ("/about", "/blog/", "/style.css", "/feed.xml", "/old", "/short", "/private", "/cookie", "/rdf", "/gone")


def page(path: str) -> str:
    """What a page says."""
    return f"<h1>{path}</h1>" + "".join(f'<a href="{link}">x</a>' for link in LINKS)


async def show(request: Request) -> Response:
    return HTMLResponse(page(request.url.path))


async def style(request: Request) -> Response:
    return Response("body { background: url(/leaf.svg) }", media_type="text/css")


async def leaf(request: Request) -> Response:
    return Response("<svg xmlns='http://www.w3.org/2000/svg'/>", media_type="image/svg+xml")


async def feed(request: Request) -> Response:
    return Response(f"<feed><id>{request.url}</id></feed>", media_type="application/xml")


async def rdf(request: Request) -> Response:
    return Response("<rdf/>", media_type="application/rdf+xml")


async def short(request: Request) -> Response:
    return HTMLResponse(page("/short"), headers={"cache-control": "no-cache, max-age=0, must-revalidate"})


async def private(request: Request) -> Response:
    return HTMLResponse("yours", headers={"cache-control": "private"})


async def cookie(request: Request) -> Response:
    response = HTMLResponse("a cookie")
    response.set_cookie("a", "1")
    return response


async def old(request: Request) -> Response:
    return RedirectResponse("/about")


async def missing(request: Request, error: Exception) -> Response:
    return HTMLResponse("<h1>Not here</h1>", 404)


ROUTES = [
    *(Route(path, show) for path in ("/", "/about", "/about/team", "/blog/", "/blog/one.html", "/blog/index.html")),
    *(Route("/style.css", style), Route("/leaf.svg", leaf), Route("/feed.xml", feed), Route("/rdf", rdf)),
    *(Route("/short", short), Route("/private", private), Route("/cookie", cookie), Route("/old", old)),
]

app = Starlette(routes=ROUTES, exception_handlers={404: missing})

carrying = Starlette(
    routes=ROUTES,
    exception_handlers={404: missing},
    middleware=[Middleware(DiskCacheMiddleware, cache=DiskCache("live", exclude=["/blog/**"], min_free=0))],
)
