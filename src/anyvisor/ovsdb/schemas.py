# SPDX-License-Identifier: Apache-2.0
"""The schemas that this version of the program brings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path

SCHEMAS = {"Anyvisor": "anyvisor.ovsschema", "Anyvisor_Telemetry": "telemetry.ovsschema"}
"""Database name to the file in `anyvisor.ovsdb.schema`."""


def schema_file(database: str) -> AbstractContextManager[Path]:
    """The path of the schema that this program brings, while the context lasts."""
    return as_file(files("anyvisor.ovsdb") / "schema" / SCHEMAS[database])


def schema_version(database: str) -> str:
    """The version of that schema."""
    with schema_file(database) as path:
        return str(json.loads(path.read_text(encoding="utf-8"))["version"])


def schema_columns(database: str) -> Mapping[str, tuple[str, ...]]:
    """The columns of each of its tables."""
    with schema_file(database) as path:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
    return {name: tuple(table["columns"]) for name, table in tables.items()}
