"""What a decoding process denies itself before it sees the first untrusted byte.

The limits on memory, processor time and files hold everywhere on POSIX. Leaving the network needs Linux and is
silently skipped where the kernel refuses it: the demuxers are told not to open anything in any case.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_MAX_WRITTEN_BYTES = 1 << 16
_MAX_OPEN_FILES = 64


def enter_sandbox(memory_bytes: int) -> None:
    """Give up memory beyond this, core dumps, writing files, and (on Linux) the network and new privileges."""
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _MAX_WRITTEN_BYTES)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Root must stay in its user namespace, or it could no longer read files of other owners.
        libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)


def allow_cpu_seconds(seconds: float) -> None:
    """Let this process be killed once it has used so much more processor time.

    The guard watches the clock; this bounds a decoder that outlives its guard.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 2)


def _limit(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    with contextlib.suppress(OSError, ValueError):
        # Processor time is granted anew for each job, so only its soft limit moves.
        resource.setrlimit(what, (soft, hard if what == resource.RLIMIT_CPU else soft))
