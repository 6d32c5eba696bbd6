"""Which process of ours a folder belongs to: advisory locks that the kernel frees with us."""

import contextlib
import fcntl
import os
from pathlib import Path

from app.errors import Forbidden


class FileLock:
    """A lock on `path` that ends with this process, however it ends.

    The file stays when the lock is released: removing it would let two processes lock two files
    of one name. It holds the number of the process that last locked it alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Whether we hold the lock now. Raises Forbidden when the file cannot be opened."""
        if self._descriptor is None:
            self._descriptor = self._open()
        flags = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(self._descriptor, flags)
        except BlockingIOError:
            self.release()
            return False
        if not shared:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> str:
        """The process that holds the lock, in words."""
        with contextlib.suppress(OSError, ValueError):
            return f"process {int(self.path.read_text())}"
        return "another process"

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise Forbidden(
                f"{self.path.parent} cannot be written by this user. Set PREFLOOP_DATA to a "
                "folder of your own."
            ) from error
