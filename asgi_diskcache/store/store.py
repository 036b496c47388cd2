"""The store of one cache directory: what the rest of the package asks; nobody else touches the disk."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from asgi_diskcache.mapping import Page
from asgi_diskcache.settings import Settings

from . import entries, ownership, removal
from .control import NAME, Control
from .description import described, is_ours, settings_in
from .drafts import Draft
from .entries import Entry, Stored
from .files import write_all
from .forks import forget_after_fork
from .journal import Position
from .lately import MOMENT, Lately
from .places import Claim, Places, Unstorable
from .publishing import Publishing
from .space import is_short_of_space, obstacle
from .sweeping import sweep
from .trouble import Trouble
from .writers import Writer

_UNICODE = sys.getfilesystemencoding() == "utf-8"


class Store:
    """Pages as files below ``root``: opened, claimed, published, purged, walked."""

    def __init__(self, root: str, settings: Settings) -> None:
        """Mean the directory ``root``, a real path; touches no disk."""
        self.root = root
        self.settings = settings
        self.trouble = Trouble(root, settings)
        self.control = Control(Path(root))
        self.app = ""
        """What the app is called whose pages these are, to those who start it; ``""`` where nobody says."""
        self.retired = False
        """Whether the directory was taken over by a process with other settings, or for another app."""
        self.folds_case = False
        """Whether the directory takes capitals for small letters."""
        self._places = Places(root)
        self._writer = Writer(self.control.writers)
        self._publishing = Publishing(self.control, self._places, self._writer, settings, self.trouble)
        self._entries = entries.Entries(root, self._may_answer)
        self._settings_file = str(self.control.settings)
        self._seen: tuple[int, int] | None = None
        """The settings file as it was when it was last read: ours."""
        self._is_ours = Lately(self._is_ours_now)
        self._is_short = Lately(lambda: is_short_of_space(root, str(settings.min_free)))
        self._joining = Lock()
        self._spools: set[Draft] = set()
        forget_after_fork(self)

    def forget(self) -> None:
        """Have no draft under way: we are a process of our own."""
        self._joining = Lock()
        self._spools = set()

    def join(self) -> bool:
        """Make the directory ours at the first use, and sweep it; whether pages may be stored.

        Does nothing where that is done already. Trouble is warned of once, and tried again at the next call.
        """
        if self._seen or self.retired:
            return not self.retired
        try:
            with self._joining:
                if not self._seen:
                    self._join()
        except OSError as error:
            self.trouble.warn(error)
        return self._seen is not None and not self.retired

    def spells(self, file: str) -> bool:
        """Whether this name is one of a single file here, in the spelling that a front server knows."""
        return (_UNICODE or file.isascii()) and not (self.folds_case and file != file.lower())

    def open(self, page: Page) -> Entry | None:
        """Open a stored page, or ``None``: never a draft, never a page that other settings wrote."""
        return None if self.retired else self._entries.open(page.file)

    def stands(self, page: Page) -> bool:
        """Whether a page is stored: what ``open`` would open."""
        found = entries.stored(self.root, page) if self._may_answer() else None
        return found is not None and found.size > 0

    def claim(self, page: Page) -> Claim:
        """Note what must not change until the page is published. Raises ``Unstorable`` with the reason."""
        try:
            # In this order: whoever takes the directory over writes the settings before the list of purges.
            if self.join() and (position := self._position()) and self._is_ours():
                return self._claimed(page, position)
        except Unstorable as error:
            self.trouble.warn_of(error, page)
            raise
        except OSError as error:
            raise Unstorable(self.trouble.reason(error)) from error
        raise Unstorable("disk")

    def release(self, claim: Claim) -> None:
        """Give a claim back that no draft has taken."""
        self._places.release(claim.place)

    def purged(self, page: Page, position: Position) -> bool:
        """Whether the page was purged since ``position``, by whatever process."""
        try:
            return self.control.journal.purged(page, position)
        except OSError as error:
            self.trouble.warn(error)
            return True

    def outdated(self, claim: Claim) -> bool:
        """Whether the page was purged since, or what stood there was removed: by ``rm`` or by ``mv``."""
        return self.purged(claim.page, claim.position) or not self._places.still_there(claim)

    def begin_spool(self, draft: Draft) -> None:
        """Give a draft its file before its body is complete. Raises ``Unstorable``; the draft is discarded then."""
        self._spools.add(draft)
        try:
            self._publishing.create(draft)
        except Exception as error:
            draft.outcome = self._publishing.outcome_of(error, draft)
            self.discard(draft)
            raise Unstorable(draft.outcome) from error

    def require_room(self, draft: Draft) -> None:
        """Look for room once more, where a body grows. Raises ``Unstorable``; the caller discards it then."""
        try:
            self._publishing.require_room(draft)
        except Unstorable as error:
            self.trouble.warn_of(error, draft.claim.page)
            raise

    def append(self, draft: Draft, data: bytes) -> None:
        """Write a piece of a body to its draft, for code without an event loop.

        Raises ``Unstorable`` if it can have no file, or ``OSError``; the caller discards it then.
        """
        if not draft.name:
            self.begin_spool(draft)
        self.require_room(draft)
        write_all(draft.descriptor, data)

    def publish(self, drafts: Sequence[Draft]) -> None:
        """Make drafts pages; ``outcome`` says what became of each. The drafts are spent."""
        self._publishing.publish(drafts)
        self._spools.difference_update(drafts)

    def compare(self, draft: Draft) -> None:
        """Tell in its ``outcome`` what publishing a draft would come to; nothing is published. The draft is spent."""
        self._publishing.compare(draft)
        self._spools.discard(draft)

    def discard(self, draft: Draft) -> None:
        """Throw a draft away, unless it is spent."""
        self._spools.discard(draft)
        self._publishing.discard(draft)

    def purge(self, patterns: Iterable[str], host: str = "") -> int:
        """Purge what matches: pages that are there, and renders in flight in every process. Gives the files removed.

        Raises ``ValueError`` for a bad pattern, ``OSError`` where the directory cannot be written.
        """
        settings, second = self._described(), 0
        purges = removal.purges(patterns, host, settings)
        with suppress(FileNotFoundError):
            second = self.control.append(purges)
        return sum(removal.remove(self.root, purge, settings, self.control, second) for purge in purges)

    def entries(self, patterns: Iterable[str], host: str, before: float) -> Iterator[Stored]:
        """The pages there that match, last rendered before that time in seconds since the epoch; lazily.

        Raises ``ValueError`` for a bad pattern.
        """
        purges = removal.purges(patterns, host, self.settings)
        for index, purge in enumerate(purges):
            for page in removal.pages(self.root, purge, self.settings):
                if any(earlier.matches(page) for earlier in purges[:index]):
                    continue  # It came before.
                if (found := entries.stored(self.root, page)) and found.rendered <= before:
                    yield found

    def keeps_pages(self) -> bool:
        """Whether joining leaves the pages that are there. Raises ``OSError``."""
        return self._fits(self.control.read_settings())

    def leave(self) -> None:
        """Take what is ours out of the directory, so that only pages are left. Raises ``OSError``."""
        self.control.remove()
        self._seen = None

    def obstacle(self) -> str:
        """Why nothing can be stored now, with the remedy; ``""`` if it can. Creates nothing."""
        return obstacle(self.root, str(self.settings.min_free))

    def set_aside(self, page: Page) -> None:
        """Purge a page, and keep its file among those that were there before the cache. Raises ``OSError``."""
        self.control.append(removal.purges([page.path], page.host, self.settings))
        self.control.set_page_aside(page.file)

    def _join(self) -> None:
        self.control.make(self.settings.dir_mode)
        self._publishing.owner = ownership.owner_to_give_to(self.root)
        with self.control.locked():
            if not self._settle(self.control.read_settings()):
                return
        self.folds_case = os.path.exists(os.path.join(self.root, NAME.upper()))
        sweep(Path(self.root), self.control.writers)
        self.control.empty_trash()

    def _settle(self, found: Mapping[str, object] | None) -> bool:
        if found is not None and not self._fits(found):
            if self._seen:
                self._retire()
                return False
            self._take_over(found)
            found = None
        if found != (wanted := described(self.settings, self.app, found, self.control.visible)):
            self.control.write_settings(wanted)
        if found is None:
            time.sleep(2 * MOMENT)  # Whoever has other settings sees these, before anything can be stored by them.
            self.control.journal.begin()
        self.control.journal.ensure()
        self._seen = self._look()
        return True

    def _take_over(self, found: Mapping[str, object]) -> None:
        said = f"{self.root}: written with other settings or before a reboot, so emptied now"
        # In this order: a kill at any moment leaves old settings with old pages, or no pages at all.
        if self.control.visible():
            if found.get("adopted") is False:
                self.control.throw_away()
            else:
                said += f"; it held files before it was a cache: see {self.control.set_aside()}, or remove them"
            self.trouble.say("taken-over", said)
        self.control.journal.end()

    def _retire(self) -> None:
        self.retired = True
        by = "a process with other settings or for another app"
        self.trouble.say("retired", f"{self.root}: taken over by {by}, so left alone now")

    def _claimed(self, page: Page, position: Position) -> Claim:
        if self._is_short():
            raise Unstorable("disk")
        if self._places.are_too_many(len(self._spools)):
            raise Unstorable("busy")
        return self._places.claim(page, position)

    def _position(self) -> Position | None:
        try:
            return self.control.journal.position()
        except FileNotFoundError:
            with self._joining:
                self._join()
            return None if self.retired else self.control.journal.position()

    def _described(self) -> Settings:
        """The settings by which the pages there were named: the site's, whatever a script that purges was given."""
        if self._seen and self._is_ours():
            return self.settings
        found = self.control.read_settings()
        return self.settings if found is None or self._fits(found) else settings_in(found, self.settings)

    def _may_answer(self) -> bool:
        try:
            if self.join():
                return self._is_ours()
            found = self.control.read_settings()
            return not self.retired and self._fits(found)
        except OSError:
            return False

    def _fits(self, found: Mapping[str, object] | None) -> bool:
        return found is None or is_ours(found, self.settings, self.app)

    def _is_ours_now(self) -> bool:
        """Whether the directory still is: another process may have taken it over since we looked."""
        if (seen := self._look()) != self._seen and seen:
            found = self.control.read_settings()
            if not self._fits(found):
                self._retire()
            self._seen = seen
        return not self.retired

    def _look(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._settings_file)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns
