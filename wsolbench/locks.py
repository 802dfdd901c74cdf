"""Locks on open files and folders; the operating system releases those of a process that was killed."""

from __future__ import annotations

import errno

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock"]


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file or folder for as long as it is open.

    Args:
        descriptor: The file.
        shared: Whether others may hold it too that say so.
        wait: Whether to wait for others.

    Returns:
        Whether it is locked; False where another process holds it.

    Raises:
        OSError: The system or the file system has no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no locks")
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
