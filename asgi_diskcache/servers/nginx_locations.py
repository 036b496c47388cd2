"""What goes into nginx's server block: pages from the disk, static files, and the app for all else."""

from __future__ import annotations

from textwrap import indent

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.mapping import MAX_PATH

from . import rules
from .front import Front
from .nginx_text import LONGEST_KEY, TAB, prefix, quoted, value_of

# No page's path is that long, and a search of a longer one may be given up: with an error.
_TOO_LONG = f"(?!^.{{{MAX_PATH + 1}}})"


def locations(cache: DiskCache, front: Front) -> str:
    """Every location, the static ones first."""
    return "\n".join([*(_static(*each) for each in front.static), _pages(cache, front), _proxied(front)])


def _static(prefix: str, directory: str) -> str:
    return f"""\
# Files that are served as they are.
location ^~ {prefix} {{
    alias {quoted(directory.rstrip("/") + "/")};
    default_type application/octet-stream;
{indent(_types(rules.static_types()), TAB)}
}}
"""


def _pages(cache: DiskCache, front: Front) -> str:
    name, root = prefix(front), front.root.rstrip("/") or "/"
    return f"""\
# In place of any other "location /"; a "location ~" elsewhere in the server block would take paths from it.
# Pages: the file, if the tests are passed and it is there, else the app. The app also answers where the file turns
# out to be removed, or not readable (the error log tells of that).
location / {{
    root {quoted(root)};
    try_files ${name}_file @{name}_app;
    error_page 403 404 = @{name}_app;
    log_not_found off;
    disable_symlinks on {quoted(f"from={root}")};
    client_max_body_size 0; # The app decides; until a request is whole, nginx keeps it on its disk.
{indent(_open_files(front.open_file_cache), TAB)}
    # Validators and ranges as the app's middleware has them.
    etag on;
    if_modified_since before;
    max_ranges 1;
    sendfile on;
    tcp_nopush on;

    # Compressed on the way, never from a file that lies beside the page.
    gzip on;
    gzip_vary on;
    gzip_proxied any;
    gzip_min_length 256;
    gzip_types
{indent(_compressed(cache), TAB * 2)};

    # Nothing but what the cache's options say.
    expires off;
    charset off;
{indent(_carried(cache, name), TAB)}
    default_type {quoted(cache.content_type)};
{indent(_types(rules.known_types(cache)), TAB)}
{indent(_declared(cache, name), TAB)}}}
"""


def _open_files(seconds: int) -> str:
    if not seconds:
        return "\n# Every request looks at the disk: a page that was removed is gone at once.\nopen_file_cache off;\n"
    return f"""
# The price of fewer looks at the disk: a page that was removed or replaced may be sent for {seconds} s more.
open_file_cache max=10000 inactive={seconds}s;
open_file_cache_valid {seconds}s;
open_file_cache_errors off;
"""


def _compressed(cache: DiskCache) -> str:
    known = {known.lower() for known in (*rules.known_types(cache), cache.content_type) if rules.is_textual(known)}
    return "\n".join(quoted(each) for each in sorted(known - {"text/html"}) if len(each) <= LONGEST_KEY)


def _carried(cache: DiskCache, name: str) -> str:
    carried = [
        (header, f"${name}_header{n}" if choice.rows else value_of(choice.otherwise, name))
        for n, (header, choice) in enumerate(rules.headers(cache).items())
    ]
    carried += [("Cache-Status", '"nginx; hit"')] if cache.cache_status else []
    return "".join(f"add_header {quoted(header)} {value};\n" for header, value in carried)


def _types(types: dict[str, list[str]]) -> str:
    rows = "\n".join(f"    {quoted(known)} {' '.join(extensions)};" for known, extensions in types.items())
    return f"types {{\n{rows}\n}}"


def _declared(cache: DiskCache, name: str) -> str:
    blocks = [
        f"""
location ~ {quoted(_TOO_LONG + expression)} {{
    default_type {quoted(declared)};
    types {{ }}
    {"gzip_types *" if rules.is_textual(declared) else "gzip off"};
    try_files ${name}_file @{name}_app;
}}
"""
        for expression, declared in rules.declared_types(cache)
    ]
    return "".join(["\n# Types that the file's name does not tell.", *blocks]) if blocks else ""


def _proxied(front: Front) -> str:
    name = prefix(front)
    client = "$proxy_add_x_forwarded_for" if front.behind_proxy else "$remote_addr"
    scheme = f"${name}_proto" if front.behind_proxy else "$scheme"
    pretended = "".join(f'proxy_set_header {header} "";\n' for header in rules.CLEARED if header != "X-Forwarded-Proto")
    return f"""\
# The app: a request when it is whole, so that no slow upload keeps one of its workers busy; a response piece by piece
# as it comes, broken off where it is.
location @{name}_app {{
    proxy_pass http://{name}_app;
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_redirect off;
    proxy_buffer_size 16k; # For long headers, such as cookies and policies.
    proxy_buffers 8 16k;
    proxy_read_timeout 1h; # A stream or a WebSocket may be silent for that long.

    proxy_set_header Host ${name}_sent_host;
    proxy_set_header Upgrade ${name}_upgrade;
    proxy_set_header Connection ${name}_connection;
    # What proxies say is said by this one: whatever a client pretends is taken away.
    proxy_set_header X-Forwarded-For {client};
    proxy_set_header X-Forwarded-Proto {scheme};
{indent(pretended, TAB)}}}
"""
