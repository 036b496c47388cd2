"""Servers beside uvicorn, on free ports: hypercorn, granian, and what serves WSGI apps in threads or in a process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import hypercorn.asyncio
import hypercorn.config
import waitress.wasyncore
from granian.constants import Interfaces
from granian.server.embed import Server as Granian
from harness import eventually, free_port, listens, process, serving
from werkzeug.serving import WSGIRequestHandler as WerkzeugHandler
from werkzeug.serving import make_server as make_werkzeug

Serve = Callable[..., AbstractContextManager[int]]


@contextlib.contextmanager
def serving_by_hypercorn(app: Any, **options: Any) -> Iterator[int]:
    """Serve an ASGI app by hypercorn on asyncio, in a thread."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        settings = {"bind": [f"fd://{os.dup(listener.fileno())}"], "errorlog": None, "graceful_timeout": 30, **options}
        config = hypercorn.config.Config.from_mapping(settings)
        stopped = threading.Event()

        async def until_stopped() -> None:
            while not stopped.is_set():
                await asyncio.sleep(0.01)

        thread = threading.Thread(
            target=lambda: asyncio.run(hypercorn.asyncio.serve(app, config, shutdown_trigger=until_stopped)),
            daemon=True,
        )
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            thread.join(40)
            assert not thread.is_alive(), "hypercorn did not shut down"


@contextlib.contextmanager
def serving_by_granian(app: Any, **options: Any) -> Iterator[int]:
    """Serve an ASGI app by granian, in a thread."""
    loop, port = asyncio.new_event_loop(), free_port()
    servers: list[Granian] = []

    async def serve() -> None:
        servers.append(Granian(app, port=port, interface=Interfaces.ASGINL, log_enabled=False, **options))
        await servers[0].serve()

    def run() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        eventually(lambda: listens(port) or not thread.is_alive(), "granian to start")
        yield port
    finally:
        loop.call_soon_threadsafe(servers[0].stop)
        thread.join(40)
        assert not thread.is_alive(), "granian did not shut down"


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = False
    request_queue_size = 2048


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def get_stderr(self) -> Any:
        return io.StringIO()


class _QuietWerkzeug(WerkzeugHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def _in_a_thread(server: Any) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


def serving_by_wsgiref(app: Any) -> AbstractContextManager[int]:
    """Serve a WSGI app by wsgiref, a thread for each request."""
    return _in_a_thread(make_server("127.0.0.1", 0, app, _Threads, _Quiet))


def serving_by_werkzeug(app: Any) -> AbstractContextManager[int]:
    """Serve a WSGI app by werkzeug, a thread for each request; it tells the raw target."""
    return _in_a_thread(make_werkzeug("127.0.0.1", 0, app, threaded=True, request_handler=_QuietWerkzeug))


@contextlib.contextmanager
def serving_by_gunicorn(module: str, cwd: Path, *options: str, **environment: str) -> Iterator[int]:
    """Serve ``module:app`` below ``cwd`` by gunicorn with threads, in a process."""
    port = free_port()
    arguments = ("-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", "8", *options, module)
    with process(*arguments, cwd=cwd, **environment) as child:
        eventually(lambda: listens(port) or child.poll() is not None, "gunicorn to start")
        assert child.poll() is None, child.stdout and child.stdout.read()
        yield port


def serving_by_h11(app: Any, **options: Any) -> AbstractContextManager[int]:
    """Serve an ASGI app by uvicorn with h11."""
    return serving(app, http="h11", **options)


def serving_by_httptools(app: Any, **options: Any) -> AbstractContextManager[int]:
    """Serve an ASGI app by uvicorn with httptools."""
    return serving(app, http="httptools", **options)


UVICORNS: tuple[Serve, ...] = (serving_by_h11, serving_by_httptools)
ASGI_SERVERS: tuple[Serve, ...] = (*UVICORNS, serving_by_hypercorn)


@contextlib.contextmanager
def serving_by_waitress(app: Any, **options: Any) -> Iterator[int]:
    """The same by waitress; gives the port."""
    sockets: dict[int, Any] = {}
    server = waitress.create_server(app, map=sockets, host="127.0.0.1", port=0, **options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.task_dispatcher.shutdown()  # A worker that has answered wakes the server once more.
        with server.trigger.lock:  # As one: a worker's pull would carry it out, and close what ours is written to.
            server.trigger.thunks.append(lambda: waitress.wasyncore.close_all(sockets))
            server.trigger.pull_trigger()
        thread.join(30)
