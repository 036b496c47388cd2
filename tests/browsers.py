"""Headless Chromium, and what its own network log says."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import eventually, stop
from websockets.sync.client import ClientConnection, connect

_SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"),
    "--host-resolver-rules=MAP * 127.0.0.1",
)


class Browser:
    """One tab of Chromium, driven by its debugging protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.responses: list[dict[str, Any]] = []
        """What the network log has of each response since the last visit began: URL, status, headers."""
        self._loaded: set[str] = set()
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def visit(self, url: str) -> None:
        """Open a page, and wait until it and all that it needs are loaded."""
        self.responses.clear()
        found = self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        while found["loaderId"] not in self._loaded:
            self._next()

    def evaluate(self, script: str) -> Any:
        """The value of a script in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"][
            "value"
        ]

    def header(self, url: str, name: str) -> str:
        """A header of the response to this URL, as the network log has it."""
        (found,) = [response for response in self.responses if response["url"] == url]
        return {key.lower(): value for key, value in found["headers"].items()}.get(name, "")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and give its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := self._next()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=30))
        if message.get("method") == "Network.responseReceived":
            self.responses.append(message["params"]["response"])
        if message.get("method") == "Page.lifecycleEvent" and message["params"]["name"] == "load":
            self._loaded.add(message["params"]["loaderId"])
        return message


@contextlib.contextmanager
def a_browser() -> Iterator[Browser]:
    """Run Chromium with an empty profile, and give its tab."""
    if not shutil.which("chromium"):
        pytest.skip("chromium is not on this machine")
    profile = tempfile.mkdtemp(prefix="chromium-")
    command = ["chromium", *_SWITCHES, f"--user-data-dir={profile}", "about:blank"]
    with open(f"{profile}/output", "wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        port = eventually(lambda: _port(f"{profile}/output"), "chromium to start")
        with connect(_tab(port), max_size=None, open_timeout=30, ping_interval=None) as connection:
            yield Browser(connection)
    finally:
        stop(child)
        shutil.rmtree(profile, ignore_errors=True)


def _port(output: str) -> str:
    with open(output, encoding="utf-8", errors="replace") as file:
        match = re.search(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", file.read())
    return match[1] if match else ""


def _tab(port: str) -> str:
    def pages() -> list[str]:
        tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=30).json()
        return [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]

    return str(eventually(pages, "a tab of chromium")[0])
