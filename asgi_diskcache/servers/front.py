"""What the generated configuration of a front server needs to know beside the cache: addresses, names, files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from asgi_diskcache.checks import refuse
from asgi_diskcache.hosts import split_host

PARTS = ("site", "http", "server", "htaccess")

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_ADDRESS = re.compile(
    rf"(?:(?P<address>\[[0-9A-Fa-f:.]+\]|\*|{_LABEL}(?:\.{_LABEL})*):)?(?P<port>[0-9]{{1,5}})", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Front:
    """A front server of one cache.

    Raises ``ValueError`` that names the option, the value and the remedy.
    """

    upstream: str = "http://127.0.0.1:8000"
    """The app's own server: ``http://ADDRESS:PORT``."""
    server_name: tuple[str, ...] = ()
    """The names of the site; by default those of ``allowed_hosts``; a lone ``*`` is any name."""
    listen: str = ""
    """``ADDRESS:PORT`` or ``PORT``; by default 80, or 443 with a certificate."""
    tls_cert: str = ""
    tls_key: str = ""
    static: tuple[tuple[str, str], ...] = ()
    """URL prefixes, such as ``/static/``, with the directories that are served there as they are."""
    root: str = ""
    """The cache directory as the front server sees it; by default the cache's own."""
    behind_proxy: bool = False
    """Whether requests come from a proxy of ours, whose X-Forwarded-For and -Proto are kept."""
    open_file_cache: int = 0
    """Seconds for which nginx may go on serving a file that was removed; 0 for none."""
    command: str = field(default="", compare=False)
    """The command line that gave this configuration, for its first comment."""

    def __post_init__(self) -> None:
        for option in fields(self):
            _check_text(option.name, getattr(self, option.name))
        _check_upstream(self.upstream)
        _check_listen(self.listen)
        for name in self.server_name:
            _check_name(name)
        for prefix, directory in self.static:
            _check_static(prefix, directory)
        if len(dict(self.static)) < len(self.static):
            refuse("static", self.static, "give each prefix once")
        if bool(self.tls_cert) != bool(self.tls_key):
            refuse("tls_key", self.tls_key, "give both tls_cert and tls_key, or neither")
        if not isinstance(self.open_file_cache, int) or not 0 <= self.open_file_cache <= 86400:
            refuse("open_file_cache", self.open_file_cache, "give a number of seconds up to a day, 0 for none")

    @property
    def upstream_address(self) -> str:
        """``ADDRESS:PORT`` of the upstream."""
        return (
            urlsplit(self.upstream).netloc if urlsplit(self.upstream).port else f"{urlsplit(self.upstream).netloc}:80"
        )

    @property
    def scheme(self) -> str:
        """What visitors use: ``https`` with a certificate, else ``http``."""
        return "https" if self.tls_cert else "http"

    @property
    def listens_at(self) -> tuple[str, str]:
        """Address (``""`` for all) and port to listen on."""
        match = _ADDRESS.fullmatch(self.listen or ("443" if self.tls_cert else "80"))
        assert match is not None
        return ("" if match["address"] in (None, "*") else match["address"]), match["port"]


def _check_text(option: str, value: object) -> None:
    # Configuration files have quotes, variables and lines; no address, name or path of a site needs such characters.
    for text in _texts(value):
        if not text.isprintable() or (option != "command" and set(text) & set("\"'`\\${};#<>")):
            refuse(option, text, "leave out quotes, $, braces and other characters that configuration files interpret")


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for item in value for text in _texts(item)] if isinstance(value, tuple) else []


def _check_upstream(value: str) -> None:
    parts = urlsplit(value)
    _, port = address = split_host(parts.netloc) or ("", "")
    if parts.scheme != "http" or address == ("", "") or parts.path.strip("/") or parts.query or parts.fragment:
        refuse("upstream", value, "give the app's own server, such as 'http://127.0.0.1:8000'")
    if port and not 0 < int(port) < 65536:
        refuse("upstream", value, "give the app's own server, such as 'http://127.0.0.1:8000'")


def _check_listen(value: str) -> None:
    match = _ADDRESS.fullmatch(value)
    if value and (match is None or not 0 < int(match["port"]) < 65536):
        refuse("listen", value, "give ADDRESS:PORT or PORT, such as '127.0.0.1:8080' or '80'")


def _check_name(value: str) -> None:
    found = ("", "") if value == "*" else split_host(value.removeprefix("*."))
    if found is None or found[1]:
        refuse("server_name", value, "give the host name alone, without scheme and port: 'example.org'")


def _check_static(prefix: str, directory: str) -> None:
    if not re.fullmatch(r"/(?:[A-Za-z0-9._~-]+/)+", prefix):
        refuse("static", prefix, "give a URL prefix that begins and ends with '/', as in /static/=/srv/site/static")
    if not directory.startswith("/"):
        refuse("static", directory, "give an absolute directory, as in /static/=/srv/site/static")
