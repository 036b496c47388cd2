"""What goes beside nginx's server block: maps that decide whether a request is answered with a file, and with which."""

from __future__ import annotations

import re

from asgi_diskcache.cache import DiskCache

from . import rules
from .front import Front
from .nginx_text import map_of, prefix, quoted, value_of

# What is looked for when a test fails: a name that never exists.
_NO_FILE = "/.asgi_diskcache/none"
_SUBJECTS = {"method": "$request_method", "host": "$http_host", "target": "$request_uri", "query": "$args"}
# A Host that nginx itself takes for the same name, which it has in lower case and without the port.
_SAME_HOST = r"^([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?) (?i:\1)(?::[0-9]+)?$"


def maps(cache: DiskCache, front: Front) -> str:
    """The tests, the name of the file, what pages carry, and where the app is."""
    name, tests = prefix(front), rules.tests(cache)
    passed = "".join(f"${name}_{test.name}" for test in tests)
    file = f"{f'${name}_directory' if cache.per_host else ''}${name}_path${name}_added"
    return f"""\
# The path as it was asked for: decoded once, and kept because nginx changes its own variable when it finds a file.
{map_of("$uri", f"{name}_path", [("default", "$uri")])}
# The tests that a request must pass to be answered with a file, in each the first row that matches: "" is a pass.
{"".join(_test(test, name) for test in tests)}
# What is added to the path to name the file.
{_choice(rules.file_name(cache), name, "added")}
{_directory(name) if cache.per_host else ""}# The file to look for: none that ever exists, if a test has failed.
{map_of(f'"{passed}"', f"{name}_file", [('""', f'"{file}"'), ("default", _NO_FILE)])}
{_carried_maps(cache, name)}{_app(front, name)}"""


def _test(test: rules.Test, name: str) -> str:
    subjects = "".join(_subject(subject, name) for subject in test.subjects)
    # An empty text is not searched at all. The default must refuse: it is also what holds when a search is given up.
    empty = next((passes for expression, passes in test.rows if re.search(expression, "")), test.otherwise)
    searched = [*test.rows, ("^", True)] if test.otherwise else test.rows
    rows = [(quoted("~" + expression), '""' if passes else "1") for expression, passes in searched]
    rows = [*([('""', '""')] if empty else []), *rows, ("default", "1")]
    return f"# {test.says}\n" + map_of(f'"{subjects}"', f"{name}_{test.name}", rows)


def _subject(subject: str, name: str) -> str:
    # A header with another character in its name is dropped by nginx: the app cannot see it either.
    header = f"$http_{subject.lower().replace('-', '_')}" if re.fullmatch("[A-Za-z0-9_-]+", subject) else ""
    return {**_SUBJECTS, "path": f"${name}_path"}.get(subject, header)


def _choice(choice: rules.Choice, name: str, word: str) -> str:
    rows = [(quoted("~" + expression), value_of(text, name)) for expression, text in choice.rows]
    return map_of(f"${name}_path", f"{name}_{word}", [*rows, ("default", value_of(choice.otherwise, name))])


def _directory(name: str) -> str:
    rows = [(quoted("~" + _SAME_HOST), "/$host"), ("default", _NO_FILE)]
    return "# The directory of the host.\n" + map_of('"$host $http_host"', f"{name}_directory", rows) + "\n"


def _carried_maps(cache: DiskCache, name: str) -> str:
    choices = rules.headers(cache)
    texts = [text for choice in choices.values() for text in (*(text for _, text in choice.rows), choice.otherwise)]
    maps = [_choice(choice, name, f"header{n}") for n, choice in enumerate(choices.values()) if choice.rows]
    dollar = [f'geo ${name}_dollar {{ default "$"; }}\n'] if any("$" in text for text in texts) else []
    return "".join(["# What pages carry that depends on their path.\n", *dollar, *maps, "\n"]) if maps or dollar else ""


def _app(front: Front, name: str) -> str:
    proto = "$http_x_forwarded_proto"
    return f"""\
# The app. Idle connections are given up before uvicorn does it, after 5 s: no request may meet a closing one.
upstream {name}_app {{
    server {front.upstream_address};
    keepalive 32;
    keepalive_timeout 4s;
}}

# What the app is told: the Host as it was sent, and of upgrades only that to WebSocket.
{map_of("$http_host", f"{name}_sent_host", [('""', "$host"), ("default", "$http_host")])}\
{map_of("$http_upgrade", f"{name}_upgrade", [('"~*^websocket$"', "websocket"), ("default", '""')])}\
{map_of(f"${name}_upgrade", f"{name}_connection", [("websocket", "upgrade"), ("default", '""')])}\
{map_of(proto, f"{name}_proto", [('""', "$scheme"), ("default", proto)]) if front.behind_proxy else ""}"""
