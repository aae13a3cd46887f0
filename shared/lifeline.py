"""Ties a process to the life of its parent, so that kill -9 of a launcher leaves nothing behind."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
WATCH_INTERVAL: Final = 1.0  # s

# Loaded here, because the time between fork and exec is no place for loading libraries.
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_kernel_watches = False


def die_with_parent(signum: int = signal.SIGTERM, parent: int | None = None) -> None:
    """
    Ask the kernel to send *signum* to this process when its parent dies; does nothing outside Linux.

    Call it from the main thread: the kernel forgets the wish when the calling thread ends, and also
    at setuid and unshare, so call it after those. It survives exec. "Parent" means the *thread* that
    forked: when only that thread ends, the signal comes as well, and when a parent of many threads is
    killed, it comes several times.

    Args:
        signum: What to send; programs differ in which signal means a clean end.
        parent: Pid of the expected parent. Without it, only processes started by multiprocessing
            can tell that the parent died before this call.

    Raises:
        OSError: The kernel refused the signal number.
    """
    global _kernel_watches  # noqa: PLW0603, one per process, like the kernel's own flag
    if _libc is None:
        return
    if _libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    _kernel_watches = threading.current_thread() is threading.main_thread() and not _is_fork_server_child()
    if _is_orphan(parent):
        os.kill(os.getpid(), signum)


def watch_parent(interval: float = WATCH_INTERVAL) -> None:
    """
    Send SIGTERM to this process within *interval* seconds of its parent's death.

    The fallback where the kernel does not do it. After a successful ``die_with_parent`` it does nothing,
    because a second SIGTERM means "stop at once" to dramatiq and would cut off the drain.
    """
    if _kernel_watches:
        return
    first_parent = os.getppid()
    threading.Thread(target=_watch, args=(first_parent, interval), name="watch-parent", daemon=True).start()


def _watch(parent: int, interval: float) -> None:
    while not _is_orphan(parent):
        time.sleep(interval)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_fork_server_child() -> bool:
    """Whether the parent is multiprocessing's fork server, which lives as long as its children do."""
    starter = multiprocessing.parent_process()
    return starter is not None and starter.pid != os.getppid() and starter.is_alive()


def _is_orphan(parent: int | None) -> bool:
    if parent is not None and os.getppid() != parent:
        return True
    starter = multiprocessing.parent_process()
    return starter is not None and not starter.is_alive()
