"""One acceptance list for every server that people run: each check on each of them, in processes of their own.

Where a server cannot do a thing, ``FAULTS`` says what it does instead, with and without a cache.
``python tests/test_servers.py`` writes the README's table of servers anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import Client, Truncated, fetch
from commands import run
from harness import assert_stored, eventually, file_of, pages_below
from readme import README, TEXT, with_table
from server_processes import COMMANDS, Server, on_this_machine, served_by

SERVERS = tuple(name for name in COMMANDS if name != "hypercorn -k trio")

FAULTS = {
    ("failure", "daphne"): ("open", "leaves the connection open when an app has failed in the middle of a body"),
    ("failure", "mod_wsgi"): ("whole", "ends a body that broke off as if it were whole"),
    ("shutdown", "daphne"): ("broken off", "breaks responses off when it is told to stop"),
    ("shutdown", "waitress-serve"): ("broken off", "breaks responses off when it is told to stop"),
}
"""By check and server: what a client sees in the place of what it should, also without a cache, and in words."""

STORED = "asgi-diskcache; fwd=uri-miss; stored"
HIT = "asgi-diskcache; hit"
TYPE = "text/html; charset=utf-8"


@pytest.fixture(scope="module", params=[on_this_machine(name) for name in SERVERS])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served_by(request.param, tmp_path_factory.mktemp("server")) as server:
        yield server


def test_a_cold_page_is_sent_and_stored(server: Server) -> None:
    cold = fetch(server.port, "/page/cold")
    assert (cold.status, cold.cache_status, cold.headers["content-type"]) == (200, STORED, TYPE)
    assert_stored(server.cache, "/page/cold", cold.body)
    assert server.calls("/page/cold") == 1


def test_a_warm_page_is_a_hit(server: Server) -> None:
    body = warmed(server, "/page/warm")
    hits = [fetch(server.port, "/page/warm") for _ in range(4)]
    assert {(hit.status, hit.cache_status, hit.body) for hit in hits} == {(200, HIT, body)}
    assert hits[0].headers["content-type"] == TYPE
    assert (hits[0].headers["cache-control"], hits[0].headers["content-length"]) == ("no-cache", str(len(body)))
    assert server.calls("/page/warm") == 1


def test_the_first_byte_of_a_cold_page_comes_before_the_app_has_finished(server: Server) -> None:
    with Client(server.port, "/slow/stream") as client:
        assert client.cache_status == STORED
        assert client.piece() == b"first"
        server.open("stream")
        assert_stored(server.cache, "/slow/stream", b"first" + client.rest())


def test_a_client_that_leaves_costs_neither_the_page_nor_the_server(server: Server) -> None:
    with Client(server.port, "/large/disconnect") as client:
        assert client.piece() == b"first"
    server.open("disconnect")
    assert_stored(server.cache, "/large/disconnect")
    page = fetch(server.port, "/large/disconnect")
    assert (page.cache_status, len(page.body) > 2_000_000, b"last" in page.body[-30:]) == (HIT, True, True)
    assert server.calls("/large/disconnect") == 1


def test_of_an_app_that_fails_in_the_middle_nothing_is_stored_and_the_client_sees_it(server: Server) -> None:
    expected, _ = FAULTS.get(("failure", server.name), ("broken off", ""))
    assert end_of_a_failure(server, "/broken/failure", expected) == expected
    assert end_of_a_failure(server, "/bare/broken/failure", expected) == expected
    eventually(lambda: not server.left("broken"), "the draft to go")
    assert fetch(server.port, "/page/after").cache_status == STORED


def test_a_page_that_is_known_is_not_sent_again(server: Server) -> None:
    warmed(server, "/page/304")
    os.utime(file_of(server.cache, "/page/304"), (10**9, 10**9))  # In its first second a page has no certain date.
    hit = fetch(server.port, "/page/304")
    for name, value in (("if-none-match", hit.headers["etag"]), ("if-modified-since", hit.headers["last-modified"])):
        known = fetch(server.port, "/page/304", headers=[(name, value)])
        assert (known.status, known.cache_status, known.body) == (304, HIT, b"")
        assert known.headers["etag"] == hit.headers["etag"]


def test_the_head_of_a_page_is_that_of_the_page_and_fills_nothing(server: Server) -> None:
    head = fetch(server.port, "/page/head", "HEAD")
    assert (head.status, head.cache_status) == (200, "asgi-diskcache; fwd=uri-miss; detail=range")
    body = warmed(server, "/page/head")
    head = fetch(server.port, "/page/head", "HEAD")
    assert (head.status, head.cache_status, head.body) == (200, HIT, b"")
    assert head.headers["content-length"] == str(len(body))


def test_a_part_of_a_stored_page_is_sent(server: Server) -> None:
    body = warmed(server, "/page/range")
    part = fetch(server.port, "/page/range", headers=[("range", "bytes=2-7")])
    assert (part.status, part.body) == (206, body[2:8])
    assert part.headers["content-range"] == f"bytes 2-7/{len(body)}"


def test_a_purge_by_command_is_seen_by_the_next_request(server: Server) -> None:
    old = warmed(server, "/page/purge")
    purged = run("purge", str(server.cache.directory), "/page/purge", cwd=server.here)
    assert purged.status == 0, purged
    new = fetch(server.port, "/page/purge")
    assert (new.cache_status, new.body != old) == (STORED, True)
    assert_stored(server.cache, "/page/purge", new.body)


@pytest.mark.parametrize("name", [on_this_machine(name) for name in SERVERS])
def test_a_shutdown_lets_a_cold_page_be_sent_and_stored(name: str, tmp_path: Any) -> None:
    expected, _ = FAULTS.get(("shutdown", name), ("whole", ""))
    with (
        served_by(name, tmp_path) as server,
        Client(server.port, "/slow/shutdown") as client,
        Client(server.port, "/bare/slow/shutdown") as bare,
    ):
        assert [client.piece(), bare.piece()] == [b"first"] * 2
        server.begin_to_stop()
        server.open("shutdown")
        assert [end(client), end(bare)] == [expected] * 2
        client.close()
        bare.close()
        server.process.wait(60)
        assert server.left("slow") == (["shutdown"] if expected == "whole" else [])


CHECKS: dict[str, Callable[..., None]] = {
    "cold": test_a_cold_page_is_sent_and_stored,
    "warm": test_a_warm_page_is_a_hit,
    "stream": test_the_first_byte_of_a_cold_page_comes_before_the_app_has_finished,
    "disconnect": test_a_client_that_leaves_costs_neither_the_page_nor_the_server,
    "failure": test_of_an_app_that_fails_in_the_middle_nothing_is_stored_and_the_client_sees_it,
    "304": test_a_page_that_is_known_is_not_sent_again,
    "HEAD": test_the_head_of_a_page_is_that_of_the_page_and_fills_nothing,
    "range": test_a_part_of_a_stored_page_is_sent,
    "purge": test_a_purge_by_command_is_seen_by_the_next_request,
    "shutdown": test_a_shutdown_lets_a_cold_page_be_sent_and_stored,
}
"""The columns of the README's table."""


def test_on_trio_everything_passes_uncached_with_one_warning(tmp_path: Any) -> None:
    with served_by("hypercorn -k trio", tmp_path) as server:
        answers = [fetch(server.port, "/page/trio") for _ in range(3)]
        assert [(answer.status, "cache-status" in answer.headers) for answer in answers] == [(200, False)] * 3
        assert len({answer.body for answer in answers}) == 3
        assert list(pages_below(tmp_path / "cache")) == []
        assert server.said.count("the server does not run on asyncio: everything passes uncached") == 1


def warmed(server: Server, path: str) -> bytes:
    """The body of a page that is stored from now on."""
    body = fetch(server.port, path).body
    assert_stored(server.cache, path, body)
    return body


def end(client: Client) -> str:
    """How a response ends."""
    try:
        client.rest()
    except Truncated:
        return "broken off"
    except TimeoutError:
        return "open"
    return "whole"


def end_of_a_failure(server: Server, path: str, expected: str) -> str:
    """How the response ends when the app fails in the middle."""
    with Client(server.port, path) as client:
        assert client.piece().startswith(b"first")
        server.open("failure")
        eventually(lambda: server.calls(f"failed:{path}"), "the app to fail")
        if expected == "open":
            client.socket.settimeout(1.5)  # What never comes can be awaited for a while only.
        return end(client)


def readme_table() -> str:
    """Servers and checks, for the README."""
    rows = [f"| `{name}` | {' | '.join(cell(check, name) for check in CHECKS)} |" for name in SERVERS]
    notes = [f"{number}. With or without a cache, it {text}." for number, text in enumerate(notes_of_faults(), 1)]
    head = ["| server | " + " | ".join(CHECKS) + " |", "|---" * (len(CHECKS) + 1) + "|"]
    return "\n".join([*head, *rows, "", *notes])


def notes_of_faults() -> list[str]:
    """What servers do in the place of what they should."""
    return list(dict.fromkeys(text for _, text in FAULTS.values()))


def cell(check: str, name: str) -> str:
    """What the table says of a check on a server."""
    fault = FAULTS.get((check, name))
    return f"no ({notes_of_faults().index(fault[1]) + 1})" if fault else "yes"


def test_the_table_of_servers_in_the_readme_is_this_one() -> None:
    assert with_table(TEXT, "servers", readme_table()) == TEXT, "run: python tests/test_servers.py"


if __name__ == "__main__":
    README.write_text(with_table(TEXT, "servers", readme_table()), "utf-8")
