# SPDX-License-Identifier: Apache-2.0
"""A real guest, as small as can be: the distribution's own kernel and an initial RAM disk with busybox.

It asks for an address, pings what its command line names, says on its serial console what came of it, and stays on.
"""

from __future__ import annotations

import io
import lzma
import platform
import re
import shutil
import stat
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anyvisor.errors import TerminalError
from anyvisor.lab.programs import PATH

BOOT, MODULES = Path("/boot"), Path("/lib/modules")
WANTED = ("virtio_pci", "virtio_net")
"""Kernel modules that the guest needs; what they depend on comes with them."""
CONSOLES = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}
PREFIX = "anyvisor-guest:"
"""What every line of ours on the console begins with; then a word, then ``key=value`` pairs."""

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module"; done
echo "{prefix} booted"
ip link set lo up
ip link set eth0 up
until udhcpc -f -q -n -i eth0 -t 5 -T 1 -A 1 -O mtu -s /take-lease 2>/dev/null; do :; done
mkdir -p /www
for word in $(cat /proc/cmdline); do
  case $word in anyvisor.serve=*) httpd -h /www -p "${{word#*=}}" ;; esac
  case $word in anyvisor.talk=*) ping -q -i 0.5 "${{word#*=}}" >/dev/null & ;; esac
  case $word in anyvisor.ping=*) target=${{word#*=}} ;; *) continue ;; esac
  # The first packets may be lost: the neighbour is not known yet, the tunnel not made.
  until ping -c 1 -W 1 "$target" >/dev/null; do sleep 1; done
  ping -c {count} -i 0.2 -W 2 "$target" >/said
  set -- $(sed -n 's/^\\([0-9]*\\) packets transmitted, \\([0-9]*\\) packets received.*/\\1 \\2/p' /said)
  echo "{prefix} ping to=$target sent=$1 received=$2"
done
echo "{prefix} ready"
while :; do sleep 3600; done
"""

TAKE_LEASE = """\
#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip link set dev "$interface" mtu "${{mtu:-1500}}"
ip -4 address replace "$ip/$mask" dev "$interface"
for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; done
echo "{prefix} lease ip=$ip mask=$mask mtu=${{mtu:-1500}} router=$router"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One machine to be: `mac` and `bridge` of its only card, where its console is logged, whom it pings."""

    name: str
    mac: str
    bridge: str
    console: Path
    pings: tuple[str, ...] = ()
    memory_mib: int = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a guest boots."""

    kernel: Path
    ramdisk: Path


def build(
    folder: Path,
    *,
    pings: int = 10,
    boot: Path = BOOT,
    modules: Path = MODULES,
    wanted: Iterable[str] = WANTED,
    init: str = INIT,
) -> Image:
    """Make the RAM disk in that folder, for the newest kernel of this machine. `pings` is how many are counted.

    `boot` and `modules` are another system's, whose kernel it shall be; `wanted` the modules that its cards need;
    `init` the text of its first process.

    Raises:
        TerminalError: the machine has no kernel in /boot, or no busybox.
    """
    version = newest_kernel(boot, modules)
    loaded = tuple(needed_modules(modules / version, wanted))
    files: dict[str, tuple[bytes, int]] = {
        **busybox(),
        "init": (init.format(prefix=PREFIX, count=pings).encode(), 0o755),
        "take-lease": (TAKE_LEASE.format(prefix=PREFIX).encode(), 0o755),
        "modules/order": ("\n".join(plain_name(path) for path in loaded).encode(), 0o644),
    }
    files |= {f"modules/{plain_name(path)}": (contents(path), 0o644) for path in loaded}
    folder.mkdir(parents=True, exist_ok=True)
    ramdisk = folder / "ramdisk"
    ramdisk.write_bytes(archive(files))
    return Image(kernel=boot / f"vmlinuz-{version}", ramdisk=ramdisk)


def busybox() -> dict[str, tuple[bytes, int]]:
    """The program and, where it is not linked statically, its libraries, by their places.

    Raises:
        TerminalError: it is not installed.
    """
    found = shutil.which("busybox", path=PATH)
    if found is None:
        raise TerminalError("not found: busybox", hint="apt-get install busybox-static")
    listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    return {
        "bin/busybox": (Path(found).read_bytes(), 0o755),
        **{library.lstrip("/"): (Path(library).read_bytes(), 0o755) for library in libraries},
    }


def newest_kernel(boot: Path, modules: Path) -> str:
    """The version of the newest kernel that has its modules.

    Raises:
        TerminalError: there is none.
    """
    versions = [path.name.removeprefix("vmlinuz-") for path in boot.glob("vmlinuz-*")]
    whole = [version for version in versions if (modules / version / "modules.dep").exists()]
    if not whole:
        hint = "apt-get install linux-image-amd64 (Debian) or linux-image-virtual (Ubuntu)"
        raise TerminalError(f"there is no kernel for a guest in {boot}", hint=hint)
    return max(whole, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def needed_modules(folder: Path, wanted: Iterable[str]) -> Iterator[Path]:
    """The files of these modules and of all they depend on, in the order of loading; none for what is built in."""
    needs = dict(line.split(":", 1) for line in (folder / "modules.dep").read_text().splitlines())
    found = {plain_name(Path(file)): file for file in needs}
    listed: dict[str, None] = {}
    for name in wanted:
        file = found.get(f"{name}.ko")
        if file is not None:
            # modules.dep names what is to be loaded first at the end.
            listed |= dict.fromkeys([*reversed(needs[file].split()), file])
    for file in listed:
        yield folder / file


def plain_name(path: Path) -> str:
    """The module's file name without what tells its compression."""
    return path.name.partition(".ko")[0] + ".ko"


def contents(path: Path) -> bytes:
    """A module's file, decompressed: busybox cannot."""
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".zst":
            argv = ["zstd", "--decompress", "--stdout", str(path)]
            return subprocess.run(argv, capture_output=True, check=True).stdout
        case _:
            return path.read_bytes()


def archive(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """An initial RAM disk (cpio, format newc) with these files and /dev/console, for which mknod would need root."""
    target = io.BytesIO()
    folders = {str(parent) for name in files for parent in Path(name).parents if parent != Path()}
    entries: list[tuple[str, int, bytes, tuple[int, int]]] = [
        *((name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in sorted(folders | {"dev"})),
        ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
        *((name, stat.S_IFREG | mode, data, (0, 0)) for name, (data, mode) in files.items()),
        ("TRAILER!!!", 0, b"", (0, 0)),
    ]
    for inode, (name, mode, data, device) in enumerate(entries, start=1):
        path = name.encode() + b"\0"
        numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        target.write(b"070701" + b"".join(b"%08X" % number for number in numbers) + path)
        target.write(bytes(-target.tell() % 4))
        target.write(data)
        target.write(bytes(-target.tell() % 4))
    return target.getvalue()


def domain_xml(guest: Guest, image: Image) -> str:
    """The definition for libvirt: emulated by QEMU without any help of the processor, its card in Open vSwitch.

    The card names no ``interfaceid``, so that libvirt invents one: who wants the card bound must know it by its MAC.
    """
    machine = platform.machine()
    words = [f"console={CONSOLES.get(machine, 'ttyS0')}", "quiet", "net.ifnames=0", "panic=-1"]
    words += [f"anyvisor.ping={address}" for address in guest.pings]
    domain = ET.Element("domain", type="qemu")
    _add(domain, "name", guest.name)
    _add(domain, "memory", str(guest.memory_mib), unit="MiB")
    _add(domain, "vcpu", "1")
    system = _add(domain, "os")
    _add(system, "type", "hvm", arch=machine)
    _add(system, "kernel", str(image.kernel))
    _add(system, "initrd", str(image.ramdisk))
    _add(system, "cmdline", " ".join(words))
    _add(_add(domain, "features"), "acpi")
    _add(domain, "on_crash", "destroy")
    _add(domain, "seclabel", type="none")
    devices = _add(domain, "devices")
    card = _add(devices, "interface", type="bridge")
    _add(card, "mac", address=guest.mac)
    _add(card, "source", bridge=guest.bridge)
    _add(card, "virtualport", type="openvswitch")
    _add(card, "model", type="virtio")
    # A switch in user space forwards packets as they come: nothing may be left for a card to finish.
    driver = _add(card, "driver", name="qemu")
    _add(driver, "host", csum="off", gso="off", tso4="off", tso6="off", ecn="off", ufo="off")
    _add(driver, "guest", csum="off", tso4="off", tso6="off", ecn="off", ufo="off")
    serial = _add(devices, "serial", type="file")
    _add(serial, "source", path=str(guest.console), append="on")
    _add(devices, "memballoon", model="none")
    return ET.tostring(domain, encoding="unicode")


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


def said(console: Path) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """What the guest has said so far: a word (``booted``, ``lease``, ``ping``, ``ready``) and its values each."""
    try:
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    words = (line.partition(PREFIX)[2].split() for line in lines if PREFIX in line)
    return tuple((found[0], dict(pair.split("=", 1) for pair in found[1:])) for found in words if found)
