"""Runs the command line as `python -m asgi_diskcache`."""

from asgi_diskcache.cli import main

if __name__ == "__main__":
    main(prog_name="asgi-diskcache")
