"""What the settings file says of a cache, by which the directory describes itself to the CLI and to other processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from asgi_diskcache.settings import Settings

FORMAT = 1
"""What changes when older versions of the package cannot read the directory any more."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def described(
    settings: Settings, app: str, found: Mapping[str, object] | None, visible: Callable[[], list[str]]
) -> dict[str, object]:
    """What the file says once these settings have joined; ``found`` is what it says now, of pages that stay.

    ``visible`` gives the names that are there: where nothing was described yet, they are somebody else's files.
    """
    app = app or (str(found.get("app", "")) if found else "")
    unsynced = found.get("unsynced_since_boot", "") if found else ""
    if not settings.durable:
        unsynced = boot_id()
    described = {
        "asgi_diskcache": FORMAT,
        "adopted": found.get("adopted", True) if found is not None else bool(visible()),
        "unsynced_since_boot": unsynced,
        **({"app": app} if app else {}),
        "options": settings.options(),
    }
    as_read: dict[str, object] = json.loads(json.dumps(described))
    return as_read


def is_ours(found: Mapping[str, object], settings: Settings, app: str) -> bool:
    """Whether the pages of a directory with this settings file are ours: our app's, same names, same types, not lost.

    An app without a name may be the one that is named there.
    A snapshot takes what lies there for nothing but files: it looks at each before it leaves it alone.
    """
    options, shape = found.get("options"), settings.shape()
    return settings.is_snapshot or (
        found.get("asgi_diskcache") == FORMAT
        and (not app or found.get("app", app) == app)
        and found.get("unsynced_since_boot") in ("", boot_id())
        and isinstance(options, dict)
        and json.dumps({name: options.get(name) for name in shape}) == json.dumps(shape)
    )


def settings_in(found: Mapping[str, object], otherwise: Settings) -> Settings:
    """The settings that such a file describes, or others where it cannot be understood."""
    options = found.get("options")
    try:
        return Settings(**options) if isinstance(options, dict) else otherwise
    except (TypeError, ValueError):
        return otherwise


def boot_id() -> str:
    """What changes when the machine boots, or ``""`` where the system does not tell."""
    try:
        return _BOOT.read_text("utf-8").strip()
    except OSError:
        return ""
