"""How an app call fails, and what becomes of that."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Broken(Exception):
    """The app failed after its response had begun: the connection is aborted, so that nobody takes half for whole."""


class Quit(Exception):
    """The app said ``sys.exit``: its cause goes on to the server, and must not end the event loop by a task of ours."""


async def called(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call an app in a task of our own. Raises what it raises, or ``Quit``."""
    try:
        await app(scope, receive, send)
    except (SystemExit, KeyboardInterrupt) as error:
        raise Quit from error
