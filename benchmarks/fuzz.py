"""The mapping under random targets and file names: each page leads to its file and back, or the run fails."""

from __future__ import annotations

import posixpath
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice, product

from asgi_diskcache.mapping import MAX_SEGMENT, encoded, page_for, page_of, public_target, with_capital_hex
from asgi_diskcache.settings import Settings

HOST = "example.org"

COMBINATIONS = [
    Settings(suffix=suffix, per_host=per_host, directory_index=index, content_types=types, allowed_hosts="*")
    for suffix, per_host, index, types in product(
        ("", ".html", ".Css"), (False, True), ("__index.html", "a"), ({}, {"/**.php": "text/html; charset=utf-8"})
    )
]
ROOTS = (b"", b"", b"/a", b"/%C3%A9")

WORDS = [
    *(b"/", b"/", b"/", b"/", b"a", b"a", b"b", b"A", b"B2", b"-", b".", b"..", b"//", b"_", b"~", b"!", b"&", b"'"),
    *(
        b"(",
        b")",
        b"+",
        b",",
        b";",
        b"=",
        b"@",
        b"*",
        b"?",
        b"#",
        b"%",
        b"\\",
        b":",
        b"|",
        b"{",
        b"`",
        b'"',
        b"<",
        b" ",
    ),
    *(b"index", b"__index.html", b"__INDEX.HTML", b".html", b".HTML", b".css", b".Css", b".c\xc5\xbfs", b".gz", b".br"),
    *(b".php", b".pl", b".asgi_diskcache", b"example.org", b"example.org/", b"lock", b".draft", b"a" * 99, b"b" * 202),
    *(b"%20", b"%2F", b"%2f", b"%2e", b"%5C", b"%00", b"%0A", b"%25", b"%3F", b"%61", b"%7F", b"%C3%A9", b"%c3%a9"),
    *(b"e%CC%81", b"%C0%AF", b"%ED%A0%80", b"%EF%BF%BD", b"%E2%80%AE", b"%E2%80%A8", b"%C2%85", b"%C2%A0", b"%C4%B1"),
    *(b"%C5%BF", b"%E2%84%AA", b"%F0%9F%8E%89", b"%E6%97%A5", b"%FF", b"%F4%90%80%80", b"\xc3\xa9", b"\xff", b"\0"),
]
_UNSAFE = re.compile("[\\0-\\x1f\\x7f-\\x9f\u2028\u2029\u202a-\u202e%*?#\\\\]")

KEPT = 512
"""Targets that were pages, and are changed further."""


class Fault(Exception):
    """What the mapping must never do."""


def run(inputs: int, seed: int | None = None) -> None:
    """Print how many inputs there were and how many of them were pages; exits with an error at the first fault."""
    seed = random.randrange(1 << 32) if seed is None else seed
    dice, began, pages = random.Random(seed), time.perf_counter(), 0
    for settings in COMBINATIONS:
        pages += tried(targets(dice), settings, -(-inputs // len(COMBINATIONS)), seed)
    seconds = time.perf_counter() - began
    print(f"mapping of {inputs:,} random targets and as many names under {len(COMBINATIONS)} combinations of options")
    print(f"  {pages:,} were pages, no fault; {seconds:.0f} s, {inputs / seconds:,.0f} a second, seed {seed}")


def tried(targets: Iterator[tuple[bytes, Callable[[bytes], None]]], settings: Settings, count: int, seed: int) -> int:
    """Try so many targets, and what they spell as names of files; gives how many were pages."""
    pages = 0
    for target, keep in islice(targets, count):
        try:
            check_name(target.decode("utf-8", "surrogateescape").lstrip("/"), settings)
            if any(check_target(target, root, settings) for root in (b"", ROOTS[len(target) % len(ROOTS)])):
                pages += 1
                keep(target)
        except Exception as error:
            sys.exit(f"{target!r} under {settings.shape()}: {error!r}, seed {seed}")
    return pages


def targets(dice: random.Random) -> Iterator[tuple[bytes, Callable[[bytes], None]]]:
    """Random targets without end, half of them changed ones that were kept; each with what keeps it."""
    kept = [b"/"]

    def keep(target: bytes) -> None:
        if len(kept) < KEPT:
            kept.append(target)
        else:
            kept[int(dice.random() * KEPT)] = target

    while True:
        number = dice.random()
        word = WORDS[int(dice.random() * len(WORDS))]
        if number < 0.5:
            yield b"/" + b"".join(dice.choices(WORDS, k=1 + int(number * 14))), keep
            continue
        target = kept[int(dice.random() * len(kept))]
        place = int(dice.random() * (len(target) + 1))
        changed = bytes([int(dice.random() * 256)]) if number > 0.9 else word
        yield target[:place] + changed + target[place + (number > 0.7) :], keep


def check_target(target: bytes, root: bytes, settings: Settings) -> bool:
    """Whether a target is a page; the file leads back to the path, and the path to this target and no other."""
    public = public_target(target, root)
    page = page_for(public, HOST, settings) if public is not None else None
    if page is None:
        return False
    if page_of(page.file, settings) != page:
        raise Fault(f"{page} is not the page of its own file")
    if encoded(page.path) != with_capital_hex(public or b""):
        raise Fault(f"{page} has another canonical target")
    check_safe(page.file)
    return True


def check_name(name: str, settings: Settings) -> None:
    """A name is no page's, or that of the one page that it leads to."""
    page = page_of(name, settings)
    if page is not None and page_for(encoded(page.path), page.host, settings) != page:
        raise Fault(f"{page} has another file")


def check_safe(file: str) -> None:
    """A file's name is one of a file below, whoever reads it."""
    is_plain = posixpath.normpath(file) == file and file[0] != "/" and not _UNSAFE.search(file)
    parts = file.split("/")
    if not is_plain or any(part[0] in ".-" or len(part.encode()) > MAX_SEGMENT for part in parts):
        raise Fault(f"{file!r} is no safe name")
