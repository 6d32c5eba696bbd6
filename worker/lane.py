"""A lane beside the worker's own: a thread, and a child that keeps a network in memory."""

import abc
import json
import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from worker.child import Child

logger = logging.getLogger("prefloop.worker")

LONGEST_PAUSE = 15.0


class Lane(abc.ABC):
    """Serves in a thread of its own until it is stopped, and is woken when its child has spoken."""

    def __init__(self, argv: tuple[str, ...], title: str) -> None:
        self.title = title
        self.is_stopping = False
        self.speaker = Speaker(argv, self)
        self._wake = threading.Event()
        # The child's life hangs on this thread (see app.launch), which lives as long as we do.
        self._thread = threading.Thread(target=self._serve, name=title)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hand back what is in hand, and end."""
        self.is_stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        self._wake.set()

    def sleep(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    @abc.abstractmethod
    def _serve(self) -> None:
        """What the thread does until `is_stopping`; ends the child at last."""


class Speaker:
    """The child that holds a network, started when it is first needed."""

    def __init__(self, argv: tuple[str, ...], lane: Lane) -> None:
        self.argv, self.lane = argv, lane
        self._child: Child | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.used_at = 0.0

    def ask(self, request: dict[str, Any]) -> Child:
        """Send a request to the child, to a new one where the last is over."""
        if self._child is not None and self._child.has_ended():
            self.stop()
        self.used_at = time.monotonic()
        if self._child is None:
            self._folder = tempfile.TemporaryDirectory(prefix="prefloop-talk-")
            self._child = Child(self.argv, Path(self._folder.name), self.lane.wake, listens=True)
        self._child.ask(json.dumps(request, ensure_ascii=False))
        return self._child

    def rest(self, seconds: float) -> None:
        """Let go of the network's memory when nobody has asked for so long."""
        if self.has_rested(seconds):
            self.stop()

    def has_rested(self, seconds: float) -> bool:
        """Whether there is a child, and nobody has asked it for so long."""
        return self._child is not None and time.monotonic() - self.used_at > seconds

    def stop(self) -> None:
        """End the child now, and say why where it had ended by itself."""
        child, folder = self._child, self._folder
        self._child = self._folder = None
        if child is not None:
            is_over = child.has_ended()
            child.kill()
            status = child.finish()
            if is_over:
                logger.warning("%s: %s", self.lane.title, child.obituary(status))
        if folder is not None:
            folder.cleanup()
