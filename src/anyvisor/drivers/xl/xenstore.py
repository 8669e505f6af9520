# SPDX-License-Identifier: Apache-2.0
"""One connection to xenstored: reading, and being told of changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from anyvisor.drivers.xl.channel import opened
from anyvisor.drivers.xl.wire import Message, Type, body_of, packed, unpacked, words
from anyvisor.errors import UnreachableError

ANSWER_SECONDS = 10.0
_GONE = frozenset({"ENOENT", "EACCES"})
"""Nothing is there, or nothing that is ours to see: domains end while we look."""


class Xenstore:
    """Used by one thread, which another may interrupt. Any failure ends it for good."""

    def __init__(self, path: str) -> None:
        """Connect to xenstored's socket, or to the kernel's device.

        Raises:
            UnreachableError: nobody answers there.
        """
        self.path = path
        self._rest = b""
        self._requests = 0
        self._events: list[str] = []
        try:
            self._channel = opened(path, ANSWER_SECONDS)
        except OSError as error:
            raise UnreachableError(
                f"xenstored does not answer at {path}: {error.strerror or error}",
                hint="is this Xen's dom0, and does xenstored run?",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def interrupt(self) -> None:
        """Let whatever its thread waits for end in an `UnreachableError`; to be called from any other."""
        self._channel.interrupt()

    def read(self, path: str) -> str | None:
        """The value of a node, None if there is none; raises UnreachableError."""
        answer = self._ask(Type.READ, body_of(path))
        return None if answer is None else answer.decode(errors="replace")

    def children(self, path: str) -> tuple[str, ...]:
        """The names below a node, none if it is not there; raises UnreachableError."""
        answer = self._ask(Type.DIRECTORY, body_of(path))
        return () if answer is None else words(answer)

    def watch(self, paths: Iterable[str]) -> None:
        """Be told of changes at and below these paths, once for each as soon as it is set.

        Raises:
            UnreachableError: also if xenstored refuses one.
        """
        for path in paths:
            if self._ask(Type.WATCH, body_of(path, path)) is None:
                raise UnreachableError(f"xenstored at {self.path} lets nobody watch {path}")

    def next_event(self, *, seconds: float | None) -> str | None:
        """The path of the next change; None when the time is up.

        Raises:
            UnreachableError: the connection ended.
        """
        if self._events:
            return self._events.pop(0)
        try:
            message = self._receive(seconds)
        except TimeoutError:
            return None
        return self._first(message) if message.type == Type.WATCH_EVENT else None

    def _ask(self, kind: Type, body: bytes) -> bytes | None:
        self._requests += 1
        try:
            self._channel.send(packed(Message(type=kind, request=self._requests, body=body)))
            answer = self._receive(ANSWER_SECONDS)
            while answer.type == Type.WATCH_EVENT or answer.request != self._requests:
                if answer.type == Type.WATCH_EVENT:
                    self._events.append(self._first(answer))
                answer = self._receive(ANSWER_SECONDS)
        except TimeoutError as error:
            raise UnreachableError(f"xenstored at {self.path} does not answer") from error
        except OSError as error:
            raise self._ended(error) from error
        if answer.type != Type.ERROR:
            return answer.body
        code = self._first(answer)
        if code in _GONE:
            return None
        raise UnreachableError(f"xenstored at {self.path} refuses: {code}")

    def _first(self, message: Message) -> str:
        found = words(message.body)
        if not found:
            raise self._ended(ValueError("a message without its words"))
        return found[0]

    def _receive(self, seconds: float | None) -> Message:
        try:
            message, self._rest = unpacked(self._rest)
            while message is None:
                received = self._channel.receive(seconds)
                if not received:
                    raise UnreachableError(f"xenstored at {self.path} has ended the connection")
                message, self._rest = unpacked(self._rest + received)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise self._ended(error) from error
        return message

    def _ended(self, error: Exception) -> UnreachableError:
        return UnreachableError(f"the connection to xenstored at {self.path} broke: {error}")
