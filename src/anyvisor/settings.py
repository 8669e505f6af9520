# SPDX-License-Identifier: Apache-2.0
"""Where this installation keeps its state: from a TOML file, the environment and flags, in rising order of weight.

The agent's own settings are in `anyvisor.agent.settings`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from anyvisor.errors import Fault, InputError
from anyvisor.model.tls import KEYS, TlsFiles

CONFIG = Path("/etc/anyvisor/anyvisor.toml")
PREFIX = "ANYVISOR_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`database` and `telemetry` are OVSDB remotes; empty: a server of our own in `state_dir`, started when needed."""

    state_dir: str
    database: str = ""
    telemetry: str = ""
    listen: str = ""
    """Extra remotes for our own server, separated by spaces, e.g. ``ptcp:6640:192.0.2.1`` or ``pssl:6640``."""
    private_key: str = ""
    certificate: str = ""
    ca_certificate: str = ""
    """PEM files for ``ssl:`` remotes, and for ``pssl:`` ones of our own server: all three, or none."""

    @property
    def tls(self) -> TlsFiles | None:
        """The three of them; None where none is set."""
        return tls_files({key: getattr(self, key) for key in KEYS})


def default_state_dir(environment: Mapping[str, str], *, root: bool) -> str:
    """``/var/lib/anyvisor`` for root, else below XDG_STATE_HOME (XDG Base Directory Specification)."""
    if root:
        return "/var/lib/anyvisor"
    home = environment.get("HOME", ".")
    return f"{environment.get('XDG_STATE_HOME') or home + '/.local/state'}/anyvisor"


def load(
    config: Path | None, flags: Mapping[str, str | None], environment: Mapping[str, str] | None = None
) -> Settings:
    """Read them. A missing default file is no fault; a missing named one is.

    Raises:
        InputError: with every unknown or mistyped key.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, str] = {"state_dir": default_state_dir(environment, root=os.geteuid() == 0)}
    faults: list[Fault] = []
    values.update(_from_file(config, faults))
    known = {field.name for field in fields(Settings)}
    for name in known:
        if value := environment.get(PREFIX + name.upper()):
            values[name] = value
    values.update({name: value for name, value in flags.items() if value})
    faults += half_given(values)
    if faults:
        raise InputError(faults)
    return Settings(**values)


def half_given(values: Mapping[str, object]) -> list[Fault]:
    """The faults of settings that name some of the TLS files and not all."""
    missing = [key for key in KEYS if not values.get(key)]
    if not missing or len(missing) == len(KEYS):
        return []
    return [Fault(key, f"is missing: TLS needs {', '.join(KEYS)} together") for key in missing]


def tls_files(values: Mapping[str, str]) -> TlsFiles | None:
    """The TLS files of complete settings, with absolute paths: the daemons that read them work elsewhere."""
    if not values["private_key"]:
        return None
    return TlsFiles(**{key: str(Path(values[key]).absolute()) for key in KEYS})


def _from_file(config: Path | None, faults: list[Fault]) -> dict[str, str]:
    path = config or CONFIG
    if config is None and not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        faults.append(Fault(str(path), f"cannot be read: {error.strerror}"))
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault(str(path), f"is not TOML: {error}"))
        return {}
    known = {field.name for field in fields(Settings)}
    found: dict[str, str] = {}
    for key, value in document.items():
        if key not in known:
            # The agent reads the same file; its keys are its own business.
            continue
        if not isinstance(value, str):
            faults.append(Fault(f"{path}: {key}", f"must be a string, not {type(value).__name__}"))
            continue
        found[key] = value
    return found
