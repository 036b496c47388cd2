"""The same ground for every test, however the suite is started."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# A slow machine is no failure: Hypothesis looks at what comes out, never at the clock.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A shell has what it starts in the background ignore Ctrl-C, and all that is started there inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What tests write, front servers read as another user.
os.umask(0o022)
