# SPDX-License-Identifier: Apache-2.0
"""The second disk of the emulated Xen host: how it begins, this very program, and what its guests boot."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

import anyvisor
from anyvisor.lab import guest
from anyvisor.lab.programs import PATH, run
from anyvisor.lab.xen import passing

PACKAGE = "anyvisor"
MODULES = ("xen-netfront",)
SPARE_BYTES = 32 * 2**20


def build(folder: Path, base: Path, settings: str, appliance: str) -> Path:
    """Make the disk in that folder; `base` is where ``tools/xen.sh`` left its files, `settings` a shell's assignments,
    `appliance` the settings of the agent in an appliance.

    Raises:
        TerminalError: the disk cannot be made, or the base lacks something.
    """
    tree = folder / "payload"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    dom0 = files("anyvisor.lab.xen") / "dom0"
    for script in ("init", "init-appliance", "init-driver-domain"):
        _write(tree / script, (dom0 / script).read_text(encoding="utf-8"), 0o755)
    _write(tree / "settings", settings, 0o644)
    _write(tree / "appliance.toml", appliance, 0o644)
    image = guest.build(tree / "guest", boot=base / "boot", modules=base / "modules", wanted=MODULES)
    shutil.copyfile(image.kernel, tree / "guest" / "kernel")
    relaying = guest.build(
        tree / "relay",
        boot=base / "boot",
        modules=base / "modules",
        wanted=passing.MODULES,
        init=passing.INIT,
    )
    relaying.ramdisk.rename(tree / "guest" / "ramdisk-relay")
    (tree / "relay").rmdir()
    # What the appliance boots: the same kernel, with the RAM disk of the system that it is a copy of.
    shutil.copyfile(base / "ramdisk", tree / "guest" / "ramdisk-system")
    _copy_program(tree / "site")
    disk = folder / "payload.img"
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    with disk.open("wb") as file:
        file.truncate((2 * size + SPARE_BYTES) // 4096 * 4096)
    run([shutil.which("mke2fs", path=PATH) or "mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(disk)])
    shutil.rmtree(tree)
    return disk


def _write(path: Path, text: str, mode: int) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _copy_program(target: Path) -> None:
    """This package as it runs now, and the packages that it cannot do without, as one folder to import from."""
    own = Path(anyvisor.__file__).parent
    shutil.copytree(own, target / own.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in sorted(_needed(PACKAGE, set())):
        if name == PACKAGE:
            continue
        for file in distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), place)


def _needed(name: str, found: set[str]) -> set[str]:
    """The distribution and all it requires unasked; what is not installed is not needed here."""
    if name in found:
        return found
    try:
        required = distribution(name).requires or ()
    except PackageNotFoundError:
        return found
    found.add(name)
    for line in required:
        word = re.match(r"[A-Za-z0-9._-]+", line)
        if word is not None and "extra ==" not in line:
            _needed(word[0], found)
    return found
