"""A page cache that turns any dynamic Python site into plain files.

The file is the whole cache entry: a response body, named by its URL path, published atomically, so that nginx, Apache
or Caddy serves every hit from disk and invalidation is ``rm``.
"""

import sys

if sys.platform == "win32":
    raise ImportError("asgi_diskcache needs Linux or macOS: it relies on their file names, locks and atomic renames")

from .cache import DiskCache
from .middleware import DiskCacheMiddleware
from .settings import ANALYTICS_COOKIES, DJANGO_HEADERS, SESSION_COOKIES, TRACKING_PARAMETERS, VARIANT_HEADERS
from .wsgi import WSGIDiskCacheMiddleware

__all__ = [
    "ANALYTICS_COOKIES",
    "DJANGO_HEADERS",
    "SESSION_COOKIES",
    "TRACKING_PARAMETERS",
    "VARIANT_HEADERS",
    "DiskCache",
    "DiskCacheMiddleware",
    "WSGIDiskCacheMiddleware",
]
