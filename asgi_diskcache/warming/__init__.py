"""Prerendering: pages are rendered and stored before anybody asks, or rendered again where they stand."""

from .crews import CrewFailed, Run
from .jobs import Outcome, Result
from .report import Report
from .running import refresh, warm

__all__ = ["CrewFailed", "Outcome", "Report", "Result", "Run", "refresh", "warm"]
