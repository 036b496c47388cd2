"""The same site by other tools: ``python -m benchmarks.peers Frozen-Flask|freezeyt DIRECTORY``."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from pathlib import Path

from benchmarks import docs_site


def frozen_flask(directory: Path) -> None:
    """Freeze it with Frozen-Flask, which is told every path."""
    from flask_frozen import Freezer

    app = docs_site.make_flask_app()
    app.config.update(FREEZER_DESTINATION=str(directory), FREEZER_IGNORE_MIMETYPE_WARNINGS=True)
    freezer = Freezer(app)
    freezer.register_generator(lambda: iter([*docs_site.paths(), *docs_site.files()]))
    freezer.freeze()


def freezeyt(directory: Path) -> None:
    """Freeze it with freezeyt, which follows links."""
    from freezeyt import freeze

    output = {"type": "dir", "dir": str(directory)}
    freeze(docs_site.make_flask_app(), {"output": output, "prefix": "http://localhost/", "progress": "none"})


TOOLS = {"Frozen-Flask": frozen_flask, "freezeyt": freezeyt}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    TOOLS[sys.argv[1]](Path(sys.argv[2]))
    print(time.perf_counter() - began)
