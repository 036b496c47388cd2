"""The table of checks, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import bypasses, changes, hits, modes
from .findings import Complaint, Finding, Inapplicable, Untold, wrong
from .visit import Visit

WAITING = "the front server serves no page yet, so this proves nothing"
"""Why most checks are put off until the first ones are satisfied."""

_CONFIG = "write the configuration again with 'asgi-diskcache config' (nginx, apache or caddy), and reload the server"


@dataclass(frozen=True)
class Check:
    """One rule: how it is told, what yields a complaint for each breach, and what to do."""

    title: str
    look: Callable[[Visit], Iterator[Complaint]]
    remedy: str = _CONFIG
    needs_hits: bool = True
    """Whether it proves nothing while no page is served."""

    def finding(self, visit: Visit) -> Finding | None:
        """The outcome, or ``None`` if these options have nothing to look at. Raises ``Unreachable`` or ``OSError``."""
        if self.needs_hits and not visit.served:
            return Finding(self.title, None, WAITING)
        try:
            complaints = list(self.look(visit))
        except Untold as reason:
            return Finding(self.title, None, str(reason))
        except Inapplicable:
            return None
        return wrong(self.title, complaints, self.remedy) if complaints else Finding(self.title, True, "as it must be")


CHECKS = (
    Check(
        "A path without a file reaches the app",
        hits.reaches_the_app,
        "see that URL is the front server's, that it proxies to the app, and that the app is in DiskCacheMiddleware",
        needs_hits=False,
    ),
    Check(
        "A page is served from its file, without the app",
        hits.serves_the_file,
        f"{_CONFIG}; see the line on what its user may read, too",
        needs_hits=False,
    ),
    Check("The server's user may read what is stored", modes.lets_the_server_read, needs_hits=False),
    Check("Pages of every kind are served from their files", hits.serves_every_kind),
    Check("Hits have the Content-Type of the cache's options", hits.has_its_type),
    Check("Hits carry the headers of the cache's options", hits.carries_headers),
    Check(
        "Hits have no language and no encoding of the server's own",
        hits.adds_nothing,
        "take away what labels files by a part of their name (AddLanguage, AddEncoding), or: " + _CONFIG,
    ),
    Check("A hit has an ETag, by which it gets 304", hits.knows_its_etag),
    Check("A hit has a date, by which it gets 304", hits.knows_its_date),
    Check("HEAD brings the headers of the page and no body", hits.answers_head),
    Check("A range of bytes brings these bytes", hits.answers_a_range),
    Check("Parameters of ignore_query do not matter", hits.ignores_parameters),
    Check("Cookies of ignore_cookies do not matter", hits.ignores_cookies),
    Check("A query goes to the app", bypasses.never(bypasses.queries)),
    Check("A cookie of bypass_cookies goes to the app", bypasses.never(bypasses.cookies)),
    Check("A header that names somebody keeps files back", bypasses.never(bypasses.identities)),
    Check("A header of bypass_headers keeps files back", bypasses.never(bypasses.variants)),
    Check("Methods other than GET and HEAD go to the app", bypasses.never(bypasses.methods)),
    Check("A foreign Host is never a hit", bypasses.never(bypasses.foreign_hosts)),
    Check("Paths that are excluded, or not included, are never a hit", bypasses.never(bypasses.left_out)),
    Check("Dot-files are not served", bypasses.never(bypasses.dot_files)),
    Check("The name that a file has on the disk is no path", bypasses.never(bypasses.file_names)),
    Check("Reserved names are not served", bypasses.never(bypasses.reserved)),
    Check("Only the canonical spelling of a path is a hit", bypasses.never(bypasses.spellings)),
    Check("A slash too many or too few goes to the app", bypasses.never(bypasses.slashes)),
    Check(
        "A compressed file beside a page does not take its place",
        changes.ignores_siblings,
        "take gzip_static, brotli_static, precompressed or MultiViews out of the server's configuration",
    ),
    Check(
        "A removed page is gone on the next request",
        changes.forgets_what_is_removed,
        "take open_file_cache out of the server's configuration, and see that no other cache is in front of it",
    ),
    Check(
        "A replaced page is there on the next request",
        changes.sees_what_is_replaced,
        "take open_file_cache out of the server's configuration, and see that no other cache is in front of it",
    ),
)
