# SPDX-License-Identifier: Apache-2.0
"""Making the n-th call of several fakes together fail, or be the last one of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

_Method = TypeVar("_Method", bound=Callable[..., Any])


class Faults:
    """Counts calls and makes one of them fail. `calls` are their names so far."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._at: dict[int, tuple[BaseException, bool]] = {}
        self._death: BaseException | None = None

    def fail(self, at: int, error: BaseException, *, after: bool = False) -> None:
        """Let the call of that number, counted from now and from 1, raise: before it does anything, or `after`.

        An error that is no Exception is the death of the program: from then on every call raises it.
        """
        self._at[len(self.calls) + at] = (error, after)

    def clear(self) -> None:
        """A new program begins: nothing fails any more."""
        self._at.clear()
        self._death = None

    @property
    def pending(self) -> bool:
        """Whether a call that was to fail has not come yet."""
        return bool(self._at)

    @property
    def dead(self) -> bool:
        """Whether the program has died."""
        return self._death is not None

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """One call. What tests count besides those of the fakes goes in here, too."""
        if self._death is not None:
            raise self._death
        self.calls.append(name)
        error, after = self._at.pop(len(self.calls), (None, False))
        if error is not None and not isinstance(error, Exception):
            self._death = error
        if error is not None and not after:
            raise error
        yield
        if error is not None:
            raise error


class Counted:
    """A fake whose calls count."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults


def counted(method: _Method) -> _Method:
    """A method of a `Counted` that counts, and fails when it is its turn."""

    @wraps(method)
    def call(self: Counted, *args: Any, **kwargs: Any) -> Any:
        with self.faults.call(method.__qualname__):
            return method(self, *args, **kwargs)

    return cast("_Method", call)
