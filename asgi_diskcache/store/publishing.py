"""The way of drafts into the cache: written and synced side by side, then renamed together under the lock."""

from __future__ import annotations

import errno
import os
import random
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
from .space import has_room_for, is_short_of_space
from .syncing import are_synced_together, start_writing, sync_file, sync_file_system
from .trouble import Trouble
from .writers import Writer


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
        self.require_room(draft)
        self._create(draft)

    def _create(self, draft: Draft) -> None:
        draft.name = self._writer.enter(draft.directory_name)
        self._go_down(draft)
        draft.descriptor = os.open(draft.name, CREATE, self._settings.file_mode, dir_fd=draft.directory)
        if self.owner:
            os.fchown(draft.descriptor, *self.owner)

    def require_room(self, draft: Draft) -> None:
        """Look again for room: many drafts may be on their way since it was claimed. Raises ``Unstorable``."""
        if is_short_of_space(draft.claim.place.descriptor, str(self._settings.min_free)):
            raise Unstorable("disk")

    def publish(self, drafts: Sequence[Draft]) -> None:
        """Write, sync and rename: every draft has its outcome then, and nothing of it is left behind."""
        try:
            write = self._write if self._has_room_for(drafts) else self._write_with_room
            written = [draft for draft in drafts if self._succeeds(draft, write)]
            if ready := self._synced(written) if self._settings.durable else written:
                self._rename_all(ready)
        finally:
            for draft in drafts:
                self.discard(draft)

    def compare(self, draft: Draft) -> None:
        """Tell what publishing would do, and do it not: ``unchanged`` if these bytes stand there, else ``stored``."""
        try:
            if self._succeeds(draft, self._write_with_room):
                draft.outcome = "unchanged" if draft.unchanged else "stored"
        finally:
            self.discard(draft)

    def discard(self, draft: Draft) -> None:
        """Remove what there is of a draft that was not stored, and let go of everything it holds."""
        if draft.spent or (draft.name and not self._writer.owns(draft.name)):
            return
        draft.spent = True
        with suppress(OSError):
            if draft.name and not draft.renamed:
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

    def _has_room_for(self, drafts: Sequence[Draft]) -> bool:
        """Whether one look tells that there is room for all of them."""
        places = [draft.claim.place for draft in drafts]
        sizes = [sum(map(len, draft.body)) for draft in drafts]
        with suppress(OSError):  # Each looks for itself then, and tells.
            on_one_device = len({place.inode[0] for place in places}) == 1
            return on_one_device and has_room_for(places[0].descriptor, str(self._settings.min_free), sizes)
        return False

    def _write_with_room(self, draft: Draft) -> None:
        if not draft.name:
            self.require_room(draft)
        self._write(draft)

    def _write(self, draft: Draft) -> None:
        draft.grew = draft.descriptor >= 0
        if not draft.name:
            self._create(draft)
        write_all(draft.descriptor, b"".join(draft.body))
        draft.unchanged = draft.claim.found is not None and self._is_unchanged(draft)
        status = os.fstat(draft.descriptor)
        if stat.S_IMODE(status.st_mode) != self._settings.file_mode:  # The process has a mask, or the directory one.
            os.fchmod(draft.descriptor, self._settings.file_mode)
        draft.second, draft.device = int(status.st_mtime), status.st_dev

    def _synced(self, drafts: Sequence[Draft]) -> list[Draft]:
        changed = [draft for draft in drafts if not draft.unchanged]
        # All at once tells of no error from before the first was opened, as there may be of one that grew in its file.
        together = [draft for draft in changed if not draft.grew]
        with suppress(OSError):  # It may be anybody's file that failed: each tells for itself then.
            if together and are_synced_together([draft.device for draft in together], together[0].descriptor):
                sync_file_system(together[0].descriptor)
                changed = [draft for draft in changed if draft.grew]
        failed = self._failed_alone(changed)
        return [draft for draft in drafts if draft not in failed]

    def _failed_alone(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        # All on their way before the first is waited for: the disk then takes one turn for a batch, not one each.
        for draft in drafts if len(drafts) > 1 else ():
            start_writing(draft.descriptor)
        return [draft for draft in drafts if not self._succeeds(draft, lambda draft: sync_file(draft.descriptor))]

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
        if self._was_purged(draft, now) or not self._places.still_there(claim) or self._has_moved(draft):
            draft.outcome = "purged"
        elif identity(draft.target_name, draft.directory) != claim.found:
            draft.outcome = "purged" if claim.found else "superseded"
        elif claim.found and draft.unchanged:
            self._keep(draft, claim.found)
        else:
            self._date(draft, max(newest, claim.found[1] // 10**9 if claim.found else 0))
            self._replace(draft.name, draft.target_name, draft.directory)
            draft.outcome, draft.renamed = "stored", True

    def _keep(self, draft: Draft, found: Identity) -> None:
        # What is there keeps its modification time, and its ETag; the time of its last change says that it is fresh.
        os.utime(draft.target_name, ns=(found[1], found[1]), dir_fd=draft.directory, follow_symlinks=False)
        draft.outcome = "unchanged"

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

    def _has_moved(self, draft: Draft) -> bool:
        # A directory that was made for the draft: the claim knows only of those that stood before.
        if not draft.claim.missing:
            return False
        named = os.stat("/".join(draft.claim.missing), dir_fd=draft.claim.place.descriptor, follow_symlinks=False)
        return not os.path.samestat(named, os.fstat(draft.directory))

    def _date(self, draft: Draft, newer_than: int) -> None:
        # To the nanosecond: inodes are used again, so that a page and what follows it could be taken for the same.
        moment = max(draft.second, newer_than + 1) * 10**9 + random.randrange(10**9)
        os.utime(draft.name, ns=(moment, moment), dir_fd=draft.directory, follow_symlinks=False)

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
