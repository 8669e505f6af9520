# SPDX-License-Identifier: Apache-2.0
"""The flows of the datapath, and which of them the network card carries out by itself (ovs-dpctl(8): dump-flows)."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyvisor.errors import RetryableError, UnreachableError
from anyvisor.model.vnic import PathCount

if TYPE_CHECKING:
    from anyvisor.contracts.host import SlowPath

_TIMEOUT_SECONDS = 20.0
_FLOW = re.compile(
    r"^ufid:(?P<ufid>[0-9a-f-]+),.*?\brecirc_id\((?P<stage>[^)]*)\).*?\bin_port\((?P<device>[^)]*)\)"
    r".*?\bbytes:(?P<bytes>\d+)(?P<rest>.*?)\bactions:"
)
_OFFLOADED = "offloaded:yes"
_FIRST_STAGE = frozenset({"0", "0x0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathFlow:
    """One flow. `first`: of frames as they came in, not of those that were put through the tables again."""

    ufid: str
    device: str
    first: bool
    offloaded: bool
    bytes: int


def parse_flows(text: str) -> Iterator[DatapathFlow]:
    """The flows in the output of ``dpctl/dump-flows -m --names``. One that is offloaded in part is not offloaded."""
    for line in text.splitlines():
        found = _FLOW.match(line)
        if found is not None:
            yield DatapathFlow(
                ufid=found["ufid"],
                device=found["device"],
                first=found["stage"] in _FIRST_STAGE,
                offloaded=_OFFLOADED in found["rest"],
                bytes=int(found["bytes"]),
            )


class PathSums:
    """Adds up what is new in flows from look to look; the first look is where it begins.

    A flow that goes between two looks takes along what it counted since the first of them.
    """

    def __init__(self) -> None:
        self._seen: Mapping[str, int] | None = None
        self._entered: defaultdict[str, int] = defaultdict(int)
        self._slow: defaultdict[str, int] = defaultdict(int)

    def add(self, flows: Iterable[DatapathFlow]) -> Mapping[str, PathCount]:
        """What has entered by each device since the first look.

        A frame goes through the tables several times, and may be slow at any of them: so the slow bytes are those of
        all flows that are not offloaded, but never more than entered. No more is called fast than was.
        """
        listed = tuple(flows)
        before, self._seen = self._seen, {flow.ufid: flow.bytes for flow in listed}
        slow: defaultdict[str, int] = defaultdict(int)
        entered: defaultdict[str, int] = defaultdict(int)
        for flow in listed if before is not None else ():
            earlier = before.get(flow.ufid, 0) if before is not None else 0
            # A flow that was made anew begins at zero again.
            new = flow.bytes - earlier if flow.bytes >= earlier else flow.bytes
            entered[flow.device] += new if flow.first else 0
            slow[flow.device] += 0 if flow.offloaded else new
        for device, new in entered.items():
            self._entered[device] += new
            self._slow[device] += min(new, slow[device])
        return {
            device: PathCount(entered=count, slow=self._slow[device])
            for device, count in self._entered.items()
        }


class Datapath:
    """The datapath of the Open vSwitch whose run-time files are in `folder`. One thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums = PathSums()

    @classmethod
    def beside(cls, remote: str) -> Datapath | None:
        """That of the Open vSwitch whose database is at `remote`; None if that is not on this machine."""
        method, _, path = remote.partition(":")
        return cls(Path(path).parent) if method == "unix" else None

    def paths(self) -> Mapping[str, PathCount]:
        """What entered by each device since the first call, and how much of it the card did not carry by itself.

        Raises:
            UnreachableError: Open vSwitch does not answer.
            RetryableError: it refuses.
        """
        return self._sums.add(parse_flows(self._dump()))

    def _dump(self) -> str:
        argv = ["ovs-appctl", "-t", str(self._socket()), "dpctl/dump-flows", "--names", "-m"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnreachableError(f"{' '.join(argv)}: {error}") from error
        if done.returncode == 1:
            raise UnreachableError(f"{' '.join(argv)}: {done.stderr.strip()}")
        if done.returncode:
            raise RetryableError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _socket(self) -> Path:
        """ovs-vswitchd's control socket: its name has the process in it, unless it was given another."""
        plain = self._folder / "ovs-vswitchd.ctl"
        if plain.exists():
            return plain
        try:
            pid = (self._folder / "ovs-vswitchd.pid").read_text(encoding="ascii").strip()
        except OSError as error:
            raise UnreachableError(f"ovs-vswitchd does not run: {error}") from error
        return self._folder / f"ovs-vswitchd.{pid}.ctl"


if TYPE_CHECKING:
    _conforms: type[SlowPath] = Datapath
