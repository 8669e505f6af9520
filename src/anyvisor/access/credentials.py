# SPDX-License-Identifier: Apache-2.0
"""User name and password from where the site file says they are: read anew for each login, and kept nowhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anyvisor.errors import TerminalError


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in. The password is not shown by `repr`."""

    user: str
    password: str = field(repr=False)


def read(reference: str | None, environment: Mapping[str, str] | None = None) -> Login:
    """The login behind ``env:NAME`` or ``file:PATH``.

    Raises:
        TerminalError: it is not there, it can be read by others, or it is not ``user:password``.
    """
    kind, _, place = (reference or "").partition(":")
    if kind == "env":
        text = (os.environ if environment is None else environment).get(place)
        if text is None:
            raise TerminalError(f"the credentials are not there: no environment variable {place}")
        return parse(text, f"the environment variable {place}")
    if kind == "file":
        return parse(_private_text(Path(place)), place)
    raise TerminalError("the manager has no credentials", hint="credentials: env:NAME or file:PATH")


def parse(text: str, place: str) -> Login:
    """``user:password`` on one line, or each on a line of its own.

    Raises:
        TerminalError: it is neither.
    """
    lines = text.strip("\r\n").splitlines()
    if len(lines) == 1:
        user, colon, password = lines[0].partition(":")
        if colon and user and password:
            return Login(user, password)
    elif len(lines) == 2 and all(lines):
        return Login(lines[0], lines[1])
    raise TerminalError(f"{place} does not hold user:password, nor a line for each")


def _private_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise TerminalError(f"{path} can be read by others than its owner", hint=f"chmod 600 {path}")
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(f"{path}: the credentials cannot be read: {error}") from error
