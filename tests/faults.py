"""System calls of a running process that fail, or kill it: injected by strace, which is attached and detached."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator

CALLS = {
    "openat": "openat",
    "mkdir": "?mkdir,mkdirat",
    "chmod": "?chmod,fchmod,fchmodat",
    "write": "write",
    "sync": "fsync,fdatasync,?syncfs",
    "rename": "?rename,?renameat,renameat2",
    "unlink": "?unlink,unlinkat",
    "truncate": "ftruncate",
    "utime": "utimensat",
    "lock": "flock",
    "stat": "?newfstatat,?fstat,statx",
    "statfs": "?statfs",
    "list": "getdents64",
    "read": "read,pread64",
    "dup": "fcntl",
}
"""What a cache asks of its disk; a server of ``nursery`` asks none of this of its sockets."""


class Injection:
    """Faults under way; ``count`` is how many there were, once it is over."""

    count = 0


@contextlib.contextmanager
def faulty(pid: int, *faults: str) -> Iterator[Injection]:
    """The calls of a process fail meanwhile, in each of its threads for itself.

    ``faults`` are such as ``write:error=EIO:when=2``, with a name of ``CALLS``.
    """
    injection = Injection()
    with tempfile.NamedTemporaryFile("r") as log:
        command = ["strace", "-f", "-o", log.name, "-e", "signal=none", "-p", str(pid)]
        for fault in faults:
            name, _, what = fault.partition(":")
            command += ["-e", f"inject={CALLS[name]}:{what}"]
        names = ",".join(CALLS[fault.partition(":")[0]] for fault in faults)
        with subprocess.Popen([*command, "-e", f"trace={names}"], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr
            said = tracer.stderr.readline()
            assert "attached" in said, said
            try:
                yield injection
            finally:
                tracer.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    tracer.wait(2)
                tracer.kill()  # Of a process with several threads that it has killed it may miss the end.
        injection.count = log.read().count("(INJECTED)")
