"""Files that the doctor puts into the cache for as long as it looks, as the cache itself would write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.store.files import CREATE, write_all
from asgi_diskcache.store.ownership import make_directory, owner_to_give_to
from asgi_diskcache.store.places import DIRECTORY, Unstorable, deepest

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Occupied(ValueError):
    """A file of the site stands where a directory is needed."""


class Planting:
    """Files below the cache directory; leaving the context removes them, and the directories made for them.

    Follows no link on the way. Every method raises ``OSError`` where the directory cannot be written, or ``Occupied``.
    """

    def __init__(self, cache: DiskCache, word: str) -> None:
        """Directories whose name holds ``word`` are removed with all that is in them."""
        self.root = cache.store.root
        self._cache = cache
        self._word = word
        self._files: list[str] = []
        self._directories: list[str] = []

    def __enter__(self) -> Planting:
        self._owner = owner_to_give_to(self.root)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files:
            self.remove(file)
        for directory in reversed(self._directories):
            with suppress(OSError):
                self._remove_directory(directory)

    def put(self, file: str, body: bytes) -> None:
        """Write a file that is not there yet, with the modes and the owner that pages have."""
        with self._parent(file) as directory:
            self._files.append(file)
            self._write(file.rpartition("/")[2], directory, body)

    def replace(self, file: str, body: bytes) -> None:
        """Give a file that was put there another body, by a rename and a second later, as a render does."""
        with self._parent(file) as directory:
            name = file.rpartition("/")[2]
            second = int(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime) + 1
            fresh = f".{self._word}.new"
            self._files.append(f"{file.rpartition('/')[0]}/{fresh}".lstrip("/"))
            self._write(fresh, directory, body, second)
            os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)

    def remove(self, file: str) -> None:
        """Unlink a file that was put there, if it still is."""
        with suppress(OSError, Unstorable):
            directory, depth = deepest(self.root, file.split("/")[:-1])
            try:
                if depth == file.count("/"):
                    os.unlink(file.rpartition("/")[2], dir_fd=directory)
            finally:
                os.close(directory)

    def _write(self, name: str, directory: int, body: bytes, mtime: int | None = None) -> None:
        descriptor = os.open(name, CREATE, 0o600, dir_fd=directory)
        try:
            os.fchmod(descriptor, self._cache.file_mode)
            if self._owner:
                os.fchown(descriptor, *self._owner)
            write_all(descriptor, body)
            if mtime is not None:
                os.utime(descriptor, (mtime, mtime))
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, file: str) -> Iterator[int]:
        *parents, _ = file.split("/")
        directory = -1
        try:
            directory, depth = deepest(self.root, parents)
            for number in range(depth, len(parents)):
                above, directory = directory, self._made(parents[: number + 1], directory)
                os.close(above)
            yield directory
        except Unstorable as error:
            raise Occupied(f"{self.root}/{file}: a file stands where a directory is needed; remove it") from error
        except OSError as error:  # It names the last part alone.
            raise OSError(error.errno, error.strerror, f"{self.root}/{file}") from error
        finally:
            if directory != -1:
                os.close(directory)

    def _made(self, names: list[str], above: int) -> int:
        self._directories.append("/".join(names))  # Before it is there: we may be stopped at any moment.
        try:
            make_directory(names[-1], self._cache.dir_mode, self._owner, above)
        except FileExistsError:
            self._directories.pop()
        return os.open(names[-1], DIRECTORY, dir_fd=above)

    def _remove_directory(self, name: str) -> None:
        above, depth = deepest(self.root, name.split("/")[:-1])
        try:
            last = name.rpartition("/")[2]
            if self._word in last and depth == name.count("/"):
                _empty(last, above)
            os.rmdir(last, dir_fd=above)
        finally:
            os.close(above)


def _empty(name: str, above: int) -> None:
    directory = os.open(name, _LISTED, dir_fd=above)
    try:
        for _, directories, files, inside in os.fwalk(".", topdown=False, dir_fd=directory):
            for file in files:
                os.unlink(file, dir_fd=inside)
            for inner in directories:
                os.rmdir(inner, dir_fd=inside)
    finally:
        os.close(directory)
