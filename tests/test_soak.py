"""The soak in small: a server under mixed traffic serves nothing torn and nothing stale, and nothing in it grows."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from disks import needs_proc
from harness import ROUNDS


def from_the_benchmarks(name: str) -> Any:
    """A module of the benchmarks; the checkout stays off ``sys.path``."""
    found = spec_from_file_location("benchmarks", Path(__file__).parent.parent / "benchmarks/__init__.py")
    assert found and found.loader
    sys.modules["benchmarks"] = module_from_spec(found)
    return import_module(f"benchmarks.{name}")


soak = from_the_benchmarks("soak")
SIZE = replace(soak.SHORT, requests=800) if ROUNDS else soak.SHORT
HAPPENS = (
    *("hit", "fwd=uri-miss; stored", "fwd=uri-miss; collapsed", "fwd=bypass", "not found", "left in the middle"),
    *("purges by API", "purges by POST", "purges by rm", "completed after the stop"),
)


@needs_proc
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_mixed_traffic_leaves_nothing_wrong_nothing_lost_and_nothing_that_grows(tmp_path: Path, interface: str) -> None:
    report = soak.soaked(SIZE, interface, str(tmp_path))
    assert report.faults == []
    assert [what for what in HAPPENS if not report.counts[what]] == []
    assert report.stored > 0
