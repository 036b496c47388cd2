"""The way of drafts into the cache: written and synced side by side, then renamed together under the lock."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from asgi_diskcache.settings import Settings

from .control import Control
from .drafts import Draft
from .entries import READ
from .files import CREATE, are_same, write_all
from .journal import Position
from .ownership import Owner, make_directory
from .places import DIRECTORY, Identity, Places, Unstorable, identity, remove_empty
from .trouble import Trouble
from .writers import Writer

_sync = getattr(os, "fdatasync", os.fsync)


class Publishing:
    """Everything that happens to drafts on the disk, from their first byte to their name."""

    def __init__(self, control: Control, places: Places, writer: Writer, settings: Settings, trouble: Trouble) -> None:
        self._control = control
        self._places = places
        self._writer = writer
        self._settings = settings
        self._trouble = trouble
        self.owner: Owner | None = None
        """Whom new files are given to, when we are root and the directory is somebody else's."""

    def create(self, draft: Draft) -> None:
        """Give a draft its file, beside the target. Raises ``OSError`` or ``Unstorable``; then discard it."""
        draft.name = self._writer.enter(draft.directory_name)
        self._go_down(draft)
        draft.descriptor = os.open(draft.name, CREATE, 0o600, dir_fd=draft.directory)
        os.fchmod(draft.descriptor, self._settings.file_mode)
        if self.owner:
            os.fchown(draft.descriptor, *self.owner)

    def publish(self, drafts: Sequence[Draft]) -> None:
        """Write, sync and rename: every draft has its outcome then, and nothing of it is left behind."""
        try:
            if written := [draft for draft in drafts if self._succeeds(draft, self._write)]:
                self._rename_all(written)
        finally:
            for draft in drafts:
                self.discard(draft)

    def discard(self, draft: Draft) -> None:
        """Remove what there is of a draft that was not stored, and let go of everything it holds."""
        if draft.spent or (draft.name and not self._writer.owns(draft.name)):
            return
        draft.spent = True
        with suppress(OSError):
            if draft.name and draft.outcome != "stored":
                os.unlink(draft.name, dir_fd=draft.directory)
        with suppress(OSError):
            draft.close()
        if draft.directory not in (-1, draft.claim.place.descriptor):
            os.close(draft.directory)
        if draft.name:
            self._writer.leave()
        self._places.release(draft.claim.place)

    def outcome_of(self, error: Exception, draft: Draft) -> str:
        """The reason that an error means; a directory that is gone was purged."""
        if isinstance(error, FileNotFoundError):
            return "purged"
        if isinstance(error, Unstorable):
            self._trouble.warn_of(error, draft.claim.page)
            return error.reason
        return self._trouble.reason(error)

    def _succeeds(self, draft: Draft, step: Callable[[Draft], None]) -> bool:
        try:
            step(draft)
        except Exception as error:
            draft.outcome = self.outcome_of(error, draft)
            return False
        return True

    def _write(self, draft: Draft) -> None:
        if not draft.name:
            self.create(draft)
        write_all(draft.descriptor, b"".join(draft.body))
        draft.unchanged = draft.claim.found is not None and self._is_unchanged(draft)
        if self._settings.durable and not draft.unchanged:
            _sync(draft.descriptor)
        draft.second = int(os.fstat(draft.descriptor).st_mtime)
        draft.close()

    def _rename_all(self, drafts: Sequence[Draft]) -> None:
        try:
            with self._control.locked():
                now, newest = self._control.journal.position(), self._control.marked()
                for draft in drafts:
                    self._succeeds(draft, lambda draft: self._rename(draft, now, newest))
        except OSError as error:
            for draft in drafts:
                draft.outcome = self.outcome_of(error, draft)

    def _rename(self, draft: Draft, now: Position, newest: int) -> None:
        claim, draft.landing = draft.claim, True
        if self._was_purged(draft, now) or not self._places.still_there(claim):
            draft.outcome = "purged"
        elif identity(draft.target_name, draft.directory) != claim.found:
            draft.outcome = "purged" if claim.found else "superseded"
        elif claim.found and draft.unchanged:
            self._keep(draft, claim.found)
        else:
            self._make_newer(draft, max(newest, claim.found[1] // 10**9 if claim.found else 0))
            self._replace(draft.name, draft.target_name, draft.directory)
            draft.outcome = "stored"

    def _keep(self, draft: Draft, found: Identity) -> None:
        # What is there keeps its modification time, and its ETag; the time of its last change says that it is fresh.
        os.utime(draft.target_name, ns=(found[1], found[1]), dir_fd=draft.directory, follow_symlinks=False)
        os.unlink(draft.name, dir_fd=draft.directory)
        draft.outcome = "stored"

    def _is_unchanged(self, draft: Draft) -> bool:
        with suppress(OSError):
            there = os.open(draft.target_name, READ, dir_fd=draft.directory)
            try:
                status = os.fstat(there)
                same_mode = stat.S_IMODE(status.st_mode) == self._settings.file_mode
                return same_mode and os.geteuid() in (0, status.st_uid) and are_same(draft.descriptor, there)
            finally:
                os.close(there)
        return False

    def _was_purged(self, draft: Draft, now: Position) -> bool:
        began = draft.claim.position
        return now != began and self._control.journal.purged(draft.claim.page, began)

    def _make_newer(self, draft: Draft, than: int) -> None:
        if draft.second <= than:
            os.utime(draft.name, (than + 1, than + 1), dir_fd=draft.directory, follow_symlinks=False)

    def _replace(self, name: str, target: str, directory: int) -> None:
        try:
            os.rename(name, target, src_dir_fd=directory, dst_dir_fd=directory)
        except IsADirectoryError:
            self._make_way(target, directory)
            os.rename(name, target, src_dir_fd=directory, dst_dir_fd=directory)

    def _make_way(self, target: str, directory: int) -> None:
        try:
            remove_empty(target, directory)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):  # Another process has begun a draft there.
                raise Unstorable("path-conflict") from error
            raise

    def _go_down(self, draft: Draft) -> None:
        draft.directory = draft.claim.place.descriptor
        for name in draft.claim.missing:
            above, draft.directory = draft.directory, self._made(name, draft.directory)
            if above != draft.claim.place.descriptor:
                os.close(above)

    def _made(self, name: str, directory: int) -> int:
        with suppress(FileExistsError):
            make_directory(name, self._settings.dir_mode, self.owner, directory)
        try:
            return os.open(name, DIRECTORY, dir_fd=directory)
        except NotADirectoryError as error:
            raise Unstorable("path-conflict") from error
