"""Requests on their way from the thread that listens to the one that works."""

from __future__ import annotations

import threading
from collections import deque

from metakd.worker_requests import Request


class Inbox:
    """Requests in order, and whether the one under way should go on.

    The listening thread calls `put`, `cancel` and `close`, the working one `take` and `finish`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # its lock may be taken again by who has it
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._cancelled = False
        self.closed = False

    def put(self, request: Request) -> bool:
        """Queue a request; false when its id is that of one that is not done."""
        with self._changed:
            if self.has(request.id):
                return False
            self._waiting.append(request)
            self._changed.notify()
            return True

    def has(self, name: str | None) -> bool:
        """Whether a request of that id waits or is under way."""
        with self._changed:
            waits = any(request.id == name for request in self._waiting)
            return waits or bool(self._current and self._current.id == name)

    def take(self, seconds: float) -> Request | None:
        """The next request, as soon as there is one; `None` after so long, or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed, seconds)
            if self.closed or not self._waiting:
                return None
            self._current, self._cancelled = self._waiting.popleft(), False
            return self._current

    def finish(self) -> None:
        """The request that was taken has its answer."""
        with self._changed:
            self._current = None

    def cancel(self, name: str) -> Request | None:
        """Stop the request under way, or take back and return one that waits; else nothing."""
        with self._changed:
            if self._current and self._current.id == name:
                self._cancelled = True
            for request in self._waiting:
                if request.id == name:
                    self._waiting.remove(request)
                    return request
            return None

    def close(self) -> None:
        """Nothing more is taken, and what is under way is cancelled."""
        with self._changed:
            self.closed = True
            self._changed.notify()

    def left(self) -> list[Request]:
        """What waited when it was closed; handed out once."""
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting

    def is_cancelled(self) -> bool:
        """Whether the request under way should stop."""
        return self._cancelled or self.closed
