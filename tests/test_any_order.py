"""Steps of several processes and of an operator, in any order: no page is torn, stale, or another path's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from disks import draft, drafts_below, got
from harness import a_cache, file_of, rounds
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asgi_diskcache import DiskCache
from asgi_diskcache.patterns import path_pattern
from asgi_diskcache.store import Draft, Unstorable

PATHS = ("/a", "/b/c", "/b/c/x", "/b/d/", "/b/d/e")
DIRECTORIES = ("b", "b/d")
PATTERNS = ("/b/**", "/b/*/e", "/**")
PROCESSES = 2

a_number = st.integers(0, 20)
a_process = st.integers(0, PROCESSES - 1)
a_path = st.sampled_from(PATHS)
a_directory = st.sampled_from(DIRECTORIES)


def body_of(path: str, version: int) -> bytes:
    """A page as it was at a version: always of the same length."""
    return f"{path} {version:06d} ".encode() * 20


def version_of(path: str, body: bytes) -> int:
    """The version of a page; fails if it is not complete, or another path's."""
    own, version = body.split(b" ")[:2]
    assert own == path.encode(), f"{path} holds a page of {own!r}"
    assert body == body_of(path, int(version)), f"{path} is torn"
    return int(version)


def is_below(path: str, directory: str) -> bool:
    """Whether the file of a path lies in a directory, however deep."""
    return path.startswith(f"/{directory}/")


def exclude_each_other(one: str, other: str) -> bool:
    """Whether one path's file stands where the other's directory does, or they are the same."""
    return one == other or is_below(one, other[1:]) or is_below(other, one[1:])


@dataclass(eq=False)
class Render:
    """A render in flight: its app call saw this version."""

    process: int
    draft: Draft
    version: int
    is_purged: bool = False
    """Whether a purge of its page has returned since it began."""
    is_disturbed: bool = False
    """Whether anything else happened where its page will stand."""
    is_removed: bool = False
    """Whether somebody removed the directory of its draft."""

    @property
    def path(self) -> str:
        return self.draft.claim.page.path

    @property
    def has_file(self) -> bool:
        return bool(self.draft.name)

    def saw(self, directory: str) -> bool:
        """Whether this directory stood when it began."""
        return f"{'/'.join(self.draft.claim.present)}/".startswith(f"{directory}/")


class AnyOrder(RuleBasedStateMachine):
    """Knows for each path the version of its data, and the oldest one that anybody may still be given."""

    @initialize()
    def begin_with_an_empty_directory(self) -> None:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # A disk would have to sync every start.
        self.temporary = Path(tempfile.mkdtemp(prefix="asgi-diskcache-", dir=memory))
        self.root = self.temporary / "cache"
        self.starts = 0
        self.caches = [self.started() for _ in range(PROCESSES)]
        self.renders: list[Render] = []
        self.version = dict.fromkeys(PATHS, 1)
        self.oldest = dict.fromkeys(PATHS, 1)
        self.aside: dict[str, Path] = {}
        self.litter: dict[str, str] = {}
        """Drafts of killed processes that no start can know of, and their paths: they, or the list, were taken away."""
        self.validators: dict[tuple[str, int], bytes] = {}

    def started(self) -> DiskCache:
        """The cache as a process of its own has it; what is no page differs, so that it is no other one's."""
        self.starts += 1
        return a_cache(self.root, durable=False, render_timeout=self.starts)

    def teardown(self) -> None:
        if hasattr(self, "renders"):
            for render in self.renders:
                self.caches[render.process].store.discard(render.draft)
            shutil.rmtree(self.temporary)

    # Renders

    @rule(process=a_process, path=a_path)
    def begin(self, process: int, path: str) -> None:
        try:
            begun = draft(self.caches[process], path, b"")
        except Unstorable as error:
            assert error.reason == "path-conflict"
            assert any(other != path and exclude_each_other(path, other) for other in self.occupied())
            return
        self.renders.append(Render(process, begun, self.version[path]))

    @rule(process=a_process, path=a_path, changes=st.booleans())
    def visit(self, process: int, path: str, changes: bool) -> None:
        self.version[path] += changes
        before = len(self.renders)
        self.begin(process, path)
        if len(self.renders) > before:
            self.finish(before, 0)

    @precondition(lambda self: self.renders)
    @rule(number=a_number)
    def spool(self, number: int) -> None:
        render = self.renders[number % len(self.renders)]
        if render.has_file:
            return
        self.disturb([render])
        body = body_of(render.path, render.version)
        try:
            self.caches[render.process].store.append(render.draft, body[:30])
        except Unstorable as error:
            self.renders.remove(render)
            assert render.is_disturbed and error.reason in ("path-conflict", "purged"), error
        else:
            render.draft.body = [body[30:]]

    @precondition(lambda self: self.renders)
    @rule(number=a_number, others=st.integers(0, 5))
    def finish(self, number: int, others: int) -> None:
        render = self.renders.pop(number % len(self.renders))
        batch = [render, *[other for other in self.renders if other.process == render.process][:others]]
        self.renders = [other for other in self.renders if other not in batch]
        self.disturb(batch)
        for render in batch:
            render.draft.body = render.draft.body if render.has_file else [body_of(render.path, render.version)]
        cache = self.caches[render.process]
        cache.store.publish([render.draft for render in batch])
        for render in batch:
            self.check_outcome(render, render.draft.outcome)

    def check_outcome(self, render: Render, outcome: str) -> None:
        if outcome in ("stored", "unchanged"):
            assert not render.is_purged
            assert got(self.caches[render.process], render.path) == body_of(render.path, render.version)
        else:
            assert render.is_disturbed and outcome in ("purged", "superseded", "path-conflict"), outcome

    @precondition(lambda self: self.renders)
    @rule(number=a_number, compares=st.booleans())
    def give_up(self, number: int, compares: bool) -> None:
        render = self.renders.pop(number % len(self.renders))
        store = self.caches[render.process].store
        store.compare(render.draft) if compares and not render.has_file else store.discard(render.draft)

    def disturb(self, renders: Iterable[Render]) -> None:
        """Somebody's drafts or pages are about to stand where those of others would."""
        for render in renders:
            for other in self.renders + list(renders):
                if other is not render and exclude_each_other(other.path, render.path):
                    other.is_disturbed = True

    # The data, and the operator

    @rule(process=a_process, pattern=st.sampled_from(PATTERNS) | a_path, changes=st.booleans())
    def purge(self, process: int, pattern: str, changes: bool) -> None:
        meant = [path for path in PATHS if path_pattern(pattern).matches(path)]
        for path in meant:
            self.version[path] += changes
        there = self.stored() & set(meant)
        if not (self.root / ".asgi_diskcache").exists():
            self.validators.clear()  # Nobody remembers how new they were.
        assert self.caches[process].purge_sync(pattern) == len(there)
        for render in self.renders:
            if render.path in meant:
                render.is_purged = render.is_disturbed = True
        self.oldest.update({path: self.version[path] for path in meant})

    @rule(path=a_path)
    def rm(self, path: str) -> None:
        self.version[path] += 1
        if path in self.stored():
            file_of(self.caches[0], path).unlink()
            self.removed([path], lambda render: render.draft.claim.found is not None)

    @rule(directory=a_directory)
    def rm_rf(self, directory: str) -> None:
        if (self.root / directory).is_dir():
            shutil.rmtree(self.root / directory)
            self.removed_below(directory)
            for render in self.below(directory):
                render.is_removed = True

    @rule(directory=a_directory)
    def mv_away(self, directory: str) -> None:
        target = self.temporary / directory.replace("/", "-")
        if (self.root / directory).is_dir() and not target.exists():
            (self.root / directory).rename(target)
            self.removed_below(directory)
            self.aside[directory] = target

    @precondition(lambda self: self.aside)
    @rule(number=a_number)
    def mv_back(self, number: int) -> None:
        """What an operator brings back is as old as it is, and so is what was rendered for it."""
        directory = sorted(self.aside)[number % len(self.aside)]
        with suppress(OSError):  # Something stands there by now.
            self.aside[directory].rename(self.root / directory)
            del self.aside[directory]
            self.disturb_below(directory)
            self.forget_times([path for path in PATHS if is_below(path, directory)])
            for path, body in self.files().items():
                if is_below(path, directory):
                    self.oldest[path] = min(self.oldest[path], version_of(path, body))
            for render in self.below(directory):
                if render.saw(directory) and not render.is_purged:
                    self.oldest[render.path] = min(self.oldest[render.path], render.version)

    @rule(control_alone=st.booleans())
    def rm_rf_everything(self, control_alone: bool) -> None:
        shutil.rmtree(self.root / ".asgi_diskcache" if control_alone else self.root, ignore_errors=True)
        for render in self.renders:
            render.is_purged = render.is_disturbed = True
            render.is_removed |= not control_alone
        self.validators.clear()
        if not control_alone:
            self.oldest.update(self.version)

    def removed(self, paths: Collection[str], is_seen: Callable[[Render], bool]) -> None:
        """Pages were removed; renders of which ``is_seen`` holds are to find that out, others cannot."""
        for path in paths:
            renders = [render for render in self.renders if render.path == path]
            unaware = [render for render in renders if not (render.is_purged or is_seen(render))]
            youngest = min([self.version[path], *(render.version for render in unaware)])
            self.oldest[path] = max(self.oldest[path], youngest)
            for render in renders:
                render.is_disturbed = True

        self.forget_times(paths)

    def forget_times(self, paths: Collection[str]) -> None:
        """Pages came or went by other ways than ours, which keep no times apart."""
        self.validators = {key: body for key, body in self.validators.items() if key[0] not in paths}

    def removed_below(self, directory: str) -> None:
        self.removed([path for path in PATHS if is_below(path, directory)], lambda render: render.saw(directory))
        self.disturb_below(directory)

    def disturb_below(self, directory: str) -> None:
        for render in self.renders:
            if is_below(render.path, directory) or exclude_each_other(render.path, f"/{directory}"):
                render.is_disturbed = True

    def below(self, directory: str) -> list[Render]:
        return [render for render in self.renders if is_below(render.path, directory)]

    # Processes

    @rule(process=a_process, is_killed=st.booleans())
    def restart(self, process: int, is_killed: bool) -> None:
        mine = [render for render in self.renders if render.process == process]
        self.renders = [render for render in self.renders if render.process != process]
        if is_killed:
            self.kill(process, mine)
        else:
            for render in mine:
                self.caches[process].store.discard(render.draft)
        self.caches[process] = self.started()
        assert self.caches[process].store.join()

    def kill(self, process: int, renders: list[Render]) -> None:
        """Leave everything as it is, but for what the system does: it closes files, and so frees their locks."""
        store, there = self.caches[process].store, {file.name for file in drafts_below(self.root)}
        is_listed = (store.control.writers / store._writer._id).exists()
        for render in renders:
            name = render.draft.name
            if name and not (is_listed and name in there):
                self.litter[name] = render.path
            render.draft.close()
            if render.draft.directory not in (-1, render.draft.claim.place.descriptor):
                os.close(render.draft.directory)
        store._writer.forget()
        store._places.forget()

    # What holds after every step

    def files(self) -> dict[str, bytes]:
        """Every page that is there, by path."""
        found = {}
        for file in self.root.rglob("*"):
            name = str(file.relative_to(self.root))
            if file.is_file() and not any(part.startswith(".") for part in name.split("/")):
                path = self.caches[0].path_for(file)
                assert path in PATHS, f"{name} is nobody's"
                found[path] = file.read_bytes()
        return found

    def stored(self) -> set[str]:
        return set(self.files())

    def occupied(self) -> set[str]:
        """Paths that have a page or a draft, which keep others from having theirs."""
        return {*self.stored(), *self.litter.values(), *(render.path for render in self.renders if render.has_file)}

    @invariant()
    def no_page_is_older_than_its_last_purge(self) -> None:
        for path, body in self.files().items():
            assert self.oldest[path] <= version_of(path, body) <= self.version[path], f"{path} is stale"

    @invariant()
    def every_process_reads_what_is_there(self) -> None:
        files = self.files()
        for cache in self.caches:
            assert {path: got(cache, path) for path in PATHS} == {path: files.get(path) for path in PATHS}
            assert sorted(entry.page.path for entry in cache.entries()) == sorted(files)

    @invariant()
    def nobody_joins_a_render_that_is_older_than_a_purge(self) -> None:
        for render in self.renders:
            if not self.caches[render.process].store.outdated(render.draft.claim):
                assert render.version >= self.oldest[render.path]

    @invariant()
    def drafts_are_there_as_long_as_their_renders(self) -> None:
        kept = {render.draft.name for render in self.renders}
        assert {file.name for file in drafts_below(self.root)} <= kept | self.litter.keys()
        for render in self.renders:
            if render.has_file and not render.is_removed:
                assert os.stat(render.draft.name, dir_fd=render.draft.directory).st_size == 30

    @invariant()
    def no_modification_time_is_one_of_two_pages(self) -> None:
        for path, body in self.files().items():
            second = int(file_of(self.caches[0], path).stat().st_mtime)
            assert self.validators.setdefault((path, second), body) == body, f"{path} passes for another"


AnyOrder.TestCase.settings = settings(max_examples=rounds(400), stateful_step_count=50, report_multiple_bugs=False)
TestAnyOrder = AnyOrder.TestCase
