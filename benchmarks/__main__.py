"""Run the benchmarks: ``python -m benchmarks``, or ``--quick`` to prove that they still run."""

from __future__ import annotations

import argparse

from benchmarks import streaming


def main() -> None:
    """Parse the size, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks of asgi_diskcache.")
    parser.add_argument("--quick", action="store_true", help="the smallest size: proves that they run, no more")
    quick = parser.parse_args().quick
    streaming.run(mebibytes=64 if quick else 1024, rounds=5 if quick else 50)


if __name__ == "__main__":
    main()
