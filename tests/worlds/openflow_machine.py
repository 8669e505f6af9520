# SPDX-License-Identifier: Apache-2.0
"""A switch on paper: takes the rules of an emulated ESXi switch and passes frames by them, as Open vSwitch does."""

import re
from dataclasses import dataclass, field, replace

OPERATION = re.compile(
    r"(learn|resubmit|load|move|output|push_vlan|pop_vlan|drop)(?:\((.*?)\))?(?::([^,]*))?(?:,|$)"
)


@dataclass(frozen=True)
class Frame:
    """`vlan` None: untagged."""

    source: str
    target: str
    vlan: int | None = None


@dataclass
class Pass:
    """One frame on its way through."""

    frame: Frame
    port: int
    registers: dict[int, int] = field(default_factory=dict)
    out: list[tuple[int, Frame]] = field(default_factory=list)


class Machine:
    def __init__(self, rules):
        self.learned = {}
        self.load(rules)

    def load(self, rules):
        self.tables = {}
        for rule in sorted(rules, key=lambda one: -one.priority):
            self.tables.setdefault(rule.table, []).append((fields(rule.match), rule.actions))

    def send(self, port, frame):
        """What comes out, as (port, frame) in order."""
        one = Pass(frame, port)
        self._table(0, one)
        assert one.out == [] or port not in {number for number, _ in one.out}
        return one.out

    def ports(self, port, frame):
        return sorted(number for number, _ in self.send(port, frame))

    def _table(self, number, one):
        if number == 3:
            hit = self.learned.get((one.registers.get(0, 0), one.frame.target))
            if hit is not None:
                one.registers.update({1: 2, 2: hit})
            return
        for match, actions in self.tables.get(number, ()):
            if all(matches(key, value, one) for key, value in match.items()):
                self._do(actions, one)
                return

    def _do(self, actions, one):
        for name, inside, value in OPERATION.findall(actions.replace("drop", "drop,")):
            getattr(self, f"_{name}")(inside or value, one)

    def _learn(self, inside, one):
        limit = int((re.search(r"limit=(\d+)", inside) or [0, 0])[1])
        port = int(re.search(r"load:(\d+)->NXM_NX_REG2", inside)[1])
        key = (one.registers.get(0, 0), one.frame.source)
        full = sum(owner == port for owner in self.learned.values()) >= limit > 0
        if key not in self.learned and full:
            one.registers[4] = 0
            return
        self.learned[key] = port
        one.registers[4] = 1

    def _resubmit(self, inside, one):
        self._table(int(inside.lstrip(",")), one)

    def _load(self, value, one):
        number, register = re.fullmatch(r"(\d+)->NXM_NX_REG(\d)\[\]", value).groups()
        one.registers[int(register)] = int(number)

    def _move(self, value, one):
        if value.startswith("NXM_OF_VLAN_TCI"):
            one.registers[0] = one.frame.vlan
        else:
            one.frame = replace(one.frame, vlan=one.registers[0])

    def _push_vlan(self, _value, one):
        assert one.frame.vlan is None, "a second tag"
        one.frame = replace(one.frame, vlan=0)

    def _pop_vlan(self, _value, one):
        assert one.frame.vlan is not None, "no tag to take"
        one.frame = replace(one.frame, vlan=None)

    def _output(self, value, one):
        if int(value) != one.port:  # Open vSwitch never sends a frame back where it came from
            one.out.append((int(value), one.frame))

    def _drop(self, _value, _one):
        pass


def fields(match):
    return dict(part.split("=", 1) for part in match.split(",") if part)


def matches(key, value, one):
    value, _, mask = value.partition("/")
    if key == "in_port":
        return one.port == int(value)
    if key == "dl_src":
        return one.frame.source == value
    if key == "dl_dst":
        return is_group(one.frame.target) if mask else one.frame.target == value
    if key == "vlan_tci":
        return one.frame.vlan is None
    bits = int(mask, 0) if mask else -1
    if key == "vlan_vid":
        held = 0 if one.frame.vlan is None else 0x1000 | one.frame.vlan
    else:
        held = one.registers.get(int(key.removeprefix("reg")), 0)
    return held & bits == int(value, 0) & bits


def is_group(mac):
    return bool(int(mac[:2], 16) & 1)
