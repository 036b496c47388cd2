"""Benchmarks: real servers over loopback, side by side in the same minute; ratios, for absolute times do not travel."""
