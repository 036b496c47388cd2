"""The words of an Apache configuration: its blocks with their comments, and how values are quoted in them."""

from __future__ import annotations

import re


def quoted(text: str) -> str:
    """An argument of a directive, with its quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rewritten(text: str) -> str:
    """A text in a string of mod_rewrite that is to be taken as it is; none of ours has quotes."""
    return re.sub(r"[\\$%]", r"\\\g<0>", text)


def searched(found: str, wanted: bool = True) -> str:
    """A regular expression as an argument of mod_rewrite, which leaves backslashes alone."""
    found = re.sub(r'\\?"', r"\\x22", found)
    if not wanted:  # Not by "!": a search that is given up finds nothing, and that must refuse.
        return rf'"^(?![\s\S]*?(?:{found}))"'
    # A first character that is an operator is none behind an empty group.
    return f'"{"(?:)" if found[:1] in ("!", "-", "<", ">", "=") else ""}{found}"'


def valued(text: str) -> str:
    """A header's value, as an argument: plain where nothing in it means something, else a string expression."""
    if not re.search(r"[\\$%]|^expr=", text):
        return quoted(text)
    return quoted("expr=" + re.sub(r"[\\$%{}]", r"\\\g<0>", text))


def expression(found: str) -> str:
    """A regular expression in an expression of ``<If>``."""
    return "m#" + re.sub(r"\\?#", r"\\x23", found) + "#"


_LANGUAGES = """
    aa ab ae af ak am amh an ar ara as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy cz
    da de dk dv dz ee el en en-gb en-us eo es et eu fa ff fi fj fo fr fy ga gd gl glg gn gu gv ha he hi ho
    hr ht hu hy hz ia id ie ig ii ik io is it iu ja jp jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb
    lg li ln lo lt ltz lu lv mg mh mi mk ml mn mr ms msa mt my na nb nd ne ng nl nn no nob nr nv ny oc oj om
    or os pa pi pl po ps pt pt-br qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw
    ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zh-cn zh-tw zu
"""
"""ISO 639-1, and the other extensions that Debian's, Red Hat's and Apache's own configuration take for languages."""

_ENCODINGS = "bz2 gz svgz tgz xz z zst br"

REMOVED = (
    "".join(f"RemoveLanguage {' '.join(line.split())}\n" for line in _LANGUAGES.strip().splitlines())
    + f"RemoveEncoding {_ENCODINGS}\n"
)

HTTP = """\
# It needs Apache 2.4.47 or later, and these modules of its own package:
#     a2enmod deflate env filter headers mime proxy proxy_http rewrite setenvif{ssl}
"""

SITE = """\
{origin}{modules}# Apache must listen at that port: see "Listen" in ports.conf.
{redirect}
<VirtualHost {address}>
{inside}</VirtualHost>
"""

TLS = """
SSLEngine on
SSLCertificateFile {cert}
SSLCertificateKeyFile {key}
<IfModule http2_module>
    Protocols h2 http/1.1
</IfModule>
"""

_REWRITING = """\
# The target of the request as it was sent: Apache's own variables have it cleaned up.
RewriteCond "%{{THE_REQUEST}}" "^\\S+ (?:[^/?\\s]+://[^/?\\s]*)?([^?\\s]*)"
RewriteRule "^" "-" [E=DISKCACHE_TARGET:%1]

# What is added to the path to name its file; the last that matches holds.
{additions}

# A page is answered with its file if the request passes every one of these tests, and the file is there and not empty.
# All of them decide as the middleware does; what one of them refuses, the app answers.
RewriteCond "%{{THE_REQUEST}}" "^\\S+ /"
{tests}
# No header whose name has an underscore, which apps may take for one of those, and no Cookie in several lines.
RewriteCond "%{{ENV:DISKCACHE_UNDERSCORE}}" "!."
RewriteCond "%{{HTTP:Cookie}}" "!, " [NV]{host}
RewriteCond "{file}%{{REQUEST_URI}}%{{ENV:DISKCACHE_ADDS}}" "-s"
RewriteCond "{file}%{{REQUEST_URI}}%{{ENV:DISKCACHE_ADDS}}" "!-l"
RewriteRule "^" "{goes_to}%{{REQUEST_URI}}%{{ENV:DISKCACHE_ADDS}}" """

_PROXY = """\
# A client names headers in Connection, and the proxy drops them: its own, or the cookies that the app must see.
RequestHeader set Connection "close" "expr=req_novary('Connection') !~ {hops}"
# Several lines are one Cookie, of which the app must see every part.
RequestHeader edit* Cookie ", (?=[^;,=\\s]+=)" "; "
# The app sees what this server knows of the request, never what a client says about it.
{cleared}
{forwarded}"""

_SERVER = (
    """\
RewriteEngine On
{lower}# Which paths there are is for the app to say.
AllowEncodedSlashes NoDecode
# Extensions are no languages and encodings here, whatever the rest of the configuration takes them for.
{removed}SetEnvIf "[_]" "." DISKCACHE_UNDERSCORE=1

{static}# A file that went, or that this server may not read, since it was found: the app answers.
RewriteCond "%{{ENV:REDIRECT_DISKCACHE}}" "=hit"
RewriteRule "^" "{upstream}%{{ENV:REDIRECT_DISKCACHE_TARGET}}?%{{ENV:REDIRECT_DISKCACHE_QUERY}}" [P,NE,L]

"""
    + _REWRITING
    + """[L,E=DISKCACHE:hit,E=DISKCACHE_QUERY:%{{QUERY_STRING}}]

# Everything else goes to the app, spelled as it came.
RewriteRule "^/" "{upstream}%{{ENV:DISKCACHE_TARGET}}" [P,NE,L]
ProxyPreserveHost On
# Its error pages and uploads of any size pass as they are.
ProxyErrorOverride Off
LimitRequestBody 0
<Proxy "{upstream}">
    # The app's server closes a connection that is idle for a while (uvicorn after 5 s): ours goes before.
    ProxySet upgrade=websocket ttl=4
</Proxy>

"""
    + _PROXY
    + """

# Pages. The type and the headers of a hit are those that the middleware gives, whatever else is configured.
<Directory {root}>
    Require all granted
    AllowOverride None
    # No symlinks, no listings, no negotiation.
    Options None
    DirectorySlash Off
    DirectoryIndex disabled
    MaxRanges 1
    # The same path once more, see above: whoever may not ask for it still may not.
    ErrorDocument 403 "/%{{reqenv:DISKCACHE_TARGET}}"
    ErrorDocument 404 "/%{{reqenv:DISKCACHE_TARGET}}"

{hits}
    AddOutputFilterByType DEFLATE {textual}
    # A compressed page is known by its own ETag, and is no other page.
    RequestHeader edit* If-None-Match "-gzip\\"" "\\""
    SetEnvIf Range "." no-gzip
</Directory>
"""
)

_HTACCESS = (
    """\
# For the .htaccess of a DocumentRoot: the cache is the directory "{name}" inside it. What cannot be said here must be
# said for the virtual host: AllowOverride All, AllowEncodedSlashes NoDecode, and ProxyPreserveHost On (without it pages
# may link to the app's own address).

RewriteEngine On
Options +SymLinksIfOwnerMatch -Indexes -MultiViews
DirectorySlash Off
DirectoryIndex disabled
# Extensions are no languages and encodings here, whatever the rest of the configuration takes them for.
{removed}SetEnvIf "[_]" "." DISKCACHE_UNDERSCORE=1

{static}# A page that was found below: Apache starts over with its file.
RewriteCond "%{{ENV:REDIRECT_DISKCACHE}}" "=hit"
RewriteRule "^" "-" [L]

# A file that went, or that this server may not read, since it was found: the app answers.
RewriteCond "%{{ENV:REDIRECT_REDIRECT_DISKCACHE}}" "=hit"
RewriteRule "^" "-" [E=DISKCACHE_QUERY:%{{ENV:REDIRECT_REDIRECT_DISKCACHE_QUERY}}]
RewriteCond "%{{ENV:REDIRECT_REDIRECT_DISKCACHE}}" "=hit"
RewriteRule "^" "{upstream}%{{ENV:REDIRECT_REDIRECT_DISKCACHE_TARGET}}?%{{ENV:DISKCACHE_QUERY}}" [P,NE,L]
ErrorDocument 403 "/%{{reqenv:REDIRECT_DISKCACHE_TARGET}}"
ErrorDocument 404 "/%{{reqenv:REDIRECT_DISKCACHE_TARGET}}"

"""
    + _REWRITING
    + """\
[L,E=DISKCACHE:hit,E=DISKCACHE_QUERY:%{{QUERY_STRING}},E=DISKCACHE_PATH:%{{REQUEST_URI}}]

# Everything else goes to the app, spelled as it came. WebSockets need one more module: a2enmod proxy_wstunnel
<IfModule mod_proxy_wstunnel.c>
    RewriteCond "%{{HTTP:Upgrade}}" "(?i)^websocket$" [NV]
    RewriteRule "^" "{websocket}%{{ENV:DISKCACHE_TARGET}}" [P,NE,L]
</IfModule>
RewriteRule "^" "{upstream}%{{ENV:DISKCACHE_TARGET}}" [P,NE,L]

"""
    + _PROXY
    + """
# Several ranges are answered with the whole page.
SetEnvIf Range "," DISKCACHE_RANGES=1
RequestHeader unset Range env=DISKCACHE_RANGES
SetEnvIf Range "." no-gzip

# Pages. The type and the headers of a hit are those that the middleware gives, whatever else is configured.
{hits}
<If "reqenv('REDIRECT_DISKCACHE') == 'hit'">
    AddOutputFilterByType DEFLATE {textual}
    RequestHeader edit* If-None-Match "-gzip\\"" "\\""
</If>
<If "reqenv('REDIRECT_DISKCACHE') != 'hit'{unless_static}">
    # The app says what its answers are.
    ForceType none
</If>
"""
)

TEMPLATES = {
    "redirect": """
<VirtualHost *:80>
{names}    RewriteEngine On
    AllowEncodedSlashes NoDecode
    RewriteCond "%{{THE_REQUEST}}" "^\\S+ (?:[^/?\\s]+://[^/?\\s]*)?([^?\\s]*)"
    RewriteRule "^/" "https://%{{SERVER_NAME}}%1" [R=301,NE,L]
</VirtualHost>
""",
    "server": _SERVER,
    "htaccess": _HTACCESS,
    "static_server": """\
# Plain files below {prefix}.
Alias {prefix} {directory}
RewriteRule "^{pattern}" "-" [END]
<Directory {directory}>
    Require all granted
    AllowOverride None
    Options None
    DirectoryIndex disabled
{types}</Directory>

""",
    "static_htaccess": """\
# Plain files below {prefix}, as they are in DocumentRoot.
RewriteCond "%{{REQUEST_URI}}" "^{pattern}"
RewriteRule "^" "-" [END]

""",
    "host": '# The directory of the host.\nRewriteCond "{host}" "^([a-z0-9_][a-z0-9_.-]*)(?::[0-9]+)?$" [NV]',
    "hits": """\
{types}AddDefaultCharset Off
FileETag MTime Size

{headers}""",
}
