# SPDX-License-Identifier: Apache-2.0
"""The agent's own small files: what must survive its death."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyvisor.errors import RetryableError

if TYPE_CHECKING:
    from anyvisor.contracts.host import Memory

log = logging.getLogger(__name__)


class StateFolder:
    """One JSON file per document, replaced as a whole. One writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> Mapping[str, Any]:
        """What was saved last. A file with something else in it counts as none: it is set aside and logged.

        Raises:
            RetryableError: the file is there and cannot be read. What it says may matter: it is not passed over.
        """
        path = self._path(name)
        try:
            return dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise RetryableError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            log.warning("%s cannot be used and is set aside: %s", path, error)
            with suppress(OSError):
                path.replace(path.with_suffix(".bad"))
            return {}

    def save(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Replace it: after a crash the old or the new document is there, never half of one.

        If `durable`, it is the new one, even if the machine loses its power.

        Raises:
            RetryableError: the disk is full, or the folder cannot be written.
        """
        path = self._path(name)
        try:
            self._write(path, json.dumps(document, sort_keys=True), durable=durable)
        except OSError as error:
            raise RetryableError(f"{path} cannot be written: {error.strerror}") from error

    def _write(self, path: Path, text: str, *, durable: bool) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        fresh.replace(path)
        if durable:
            self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


if TYPE_CHECKING:
    _conforms: type[Memory] = StateFolder
