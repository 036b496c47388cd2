"""httpbin as an ASGI app, without a cache."""

from a2wsgi import WSGIMiddleware
from httpbin import app as httpbin

app = WSGIMiddleware(httpbin)
