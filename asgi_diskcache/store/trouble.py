"""What an operator needs to see, once: each kind of trouble is one warning, with its remedy."""

from __future__ import annotations

import errno
import logging
import os

from asgi_diskcache.mapping import Page
from asgi_diskcache.settings import Settings

from .places import Unstorable

log = logging.getLogger("asgi_diskcache")

_OWNER = "give the directory to the user that runs the site (chown -R), or name another one"
_DIRECTORY = "name a directory: this is a file, or lies below one"

REMEDIES = {
    errno.ENOSPC: "free space or inodes; storing resumes by itself",
    errno.EDQUOT: "free space or raise the quota; storing resumes by itself",
    errno.EROFS: "mount it writable; stored pages are served meanwhile",
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EMFILE: "raise the limit of open files (ulimit -n, or LimitNOFILE= in a systemd unit)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.ENOTDIR: _DIRECTORY,
    errno.EEXIST: _DIRECTORY,
    errno.EAGAIN: "raise the limit of threads (ulimit -u, or TasksMax= in a systemd unit)",
    errno.ESHUTDOWN: "the process is ending; the next one stores them",
    errno.EIO: "check the disk (dmesg); storing resumes by itself",
}

_BUSY = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ESHUTDOWN})

_REASONS = {
    "disk": "less than min_free is left on the disk: free space or inodes, or lower min_free",
    "busy": "too many files are open, or too many pages wait for the disk: raise the limit of open files (ulimit -n)",
}


class Trouble:
    """The warnings of one cache directory."""

    def __init__(self, root: str, settings: Settings) -> None:
        self._root = root
        self._settings = settings
        self._said: set[str] = set()

    def say(self, kind: str, message: str) -> None:
        """Warn, if it is the first time that this kind of trouble comes."""
        if kind not in self._said:
            self._said.add(kind)
            log.warning("%s", message)

    def reason(self, error: Exception) -> str:
        """Warn of an error that keeps a page from being stored; gives the reason that it is."""
        if not isinstance(error, OSError):
            log.error("a page is not stored", exc_info=error)
            return "disk"
        self.warn(error)
        return "busy" if error.errno in _BUSY else "disk"

    def warn(self, error: OSError) -> None:
        """Warn of an error of the operating system: what it was, and what to do."""
        name = errno.errorcode.get(error.errno or 0, "error")
        remedy = REMEDIES.get(error.errno or 0, "see the message; the site runs on without storing")
        where = f" ({error.filename})" if error.filename else ""
        self.say(name, f"{self._root}: pages are not stored: {error.strerror or error}{where}: {remedy}")

    def warn_of(self, error: Unstorable, page: Page) -> None:
        """Warn of a page that cannot be stored."""
        if error.reason == "path-conflict":
            remedy = f"if both are pages: {self._settings.spelled('suffix', '.html')}, which begins with an empty cache"
            message = f"{page.path} and {self._conflict(page)} cannot both be stored; {remedy}"
        else:
            message = f"{self._root}: pages are not stored: {_REASONS.get(error.reason, error.reason)}"
        self.say(error.reason, message)

    def _conflict(self, page: Page) -> str:
        parts = page.file.split("/")
        above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        found = next((name for name in above if os.path.isfile(os.path.join(self._root, name))), "")
        return f"/{found}" if found else f"/{page.file}/..."
