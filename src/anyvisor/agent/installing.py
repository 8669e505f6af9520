# SPDX-License-Identifier: Apache-2.0
"""Making the agent a service: looking at the machine, and carrying the steps out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from anyvisor.agent.installation import (
    CONFIG,
    DEVD,
    HOTPLUG,
    PACKAGES,
    UNIT,
    XL,
    Ground,
    Step,
    Wish,
    WriteFile,
)
from anyvisor.errors import TerminalError

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def look(root: Path = Path("/")) -> Ground:
    """The machine as it is; `root` is where its files begin."""
    ours = (CONFIG, UNIT, HOTPLUG, DEVD)
    capabilities = _text(root / "proc/xen/capabilities") or ""
    return Ground(
        programs=frozenset(name for name in PACKAGES if shutil.which(name, path=_PATH)),
        files={path: text for path in ours if (text := _text(root / path.lstrip("/"))) is not None},
        xl=shutil.which(XL, path=_PATH) or "",
        apt=shutil.which("apt-get", path=_PATH) is not None,
        systemd=(root / "run/systemd/system").is_dir(),
        dom0="control_d" in capabilities,
        xapi=(root / "etc/xensource-inventory").exists(),
        libvirt=(root / "run/libvirt/libvirt-sock").exists(),
    )


def wish(host: str | None, database: str | None, *, driver_domain: bool = False) -> Wish:
    """What was said on the command line, with how this program is called."""
    own = Path(sys.argv[0]).absolute()
    program = str(own) if own.name == "anyvisor" else f"{sys.executable} -m anyvisor"
    script = files("anyvisor.drivers.xl") / "hotplug" / "vif-anyvisor"
    return Wish(
        program=program,
        host=host or "",
        database=database or "",
        hotplug=script.read_text(encoding="utf-8"),
        driver_domain=driver_domain,
    )


def carry_out(step: Step, root: Path = Path("/")) -> None:
    """Do it. It may be repeated: a second run of all begins where the first ended.

    Raises:
        TerminalError: it failed, with its words.
    """
    if isinstance(step, WriteFile):
        _write(root / step.path.lstrip("/"), step)
    else:
        _run(step.argv)


def _run(argv: Sequence[str]) -> None:
    environment = {**os.environ, "PATH": _PATH, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()
        raise TerminalError(f"{' '.join(argv)}: {words or f'status {done.returncode}'}")


def _write(path: Path, step: WriteFile) -> None:
    """Whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(step.text, encoding="utf-8")
        new.chmod(step.mode)
        new.replace(path)
    except OSError as error:
        raise TerminalError(f"cannot write {path}: {error.strerror}") from error


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TerminalError(f"cannot read {path}: {error.strerror}", hint="run it as root") from error
