# SPDX-License-Identifier: Apache-2.0
"""A YAML document as a tree whose every value knows where it stands, and the list of what is wrong with it.

The nodes are kept, not Python values: so a mistake has its line, and what YAML 1.1 makes of a plain word
(``on``, ``52:54:00:00:00:01``, ``010``) can be told from what was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from anyvisor.errors import Fault, InputError

Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is built in: ten times faster."""


@dataclass(slots=True)
class Faults:
    """Collects mistakes; one document is read to its end before any of them is reported."""

    name: str
    found: list[tuple[int, int, Fault]] = field(default_factory=list)

    def add(self, path: str, node: yaml.Node, message: str) -> None:
        """Note a mistake at `path` (empty: the document as a whole), which is at or in `node`."""
        line, column = node.start_mark.line + 1, node.start_mark.column
        place = f"{self.name}: {path}" if path else self.name
        self.found.append((line, column, Fault(place=place, message=f"{message} (line {line})")))

    def raise_if_any(self) -> None:
        """Raise `InputError` with all of them, in the order of the text."""
        if self.found:
            raise InputError(fault for _, _, fault in sorted(self.found, key=lambda entry: entry[:2]))


@dataclass(slots=True)
class Spot:
    """One value of the document and the way to it from the top."""

    node: yaml.Node
    faults: Faults
    step: str = ""
    parent: Spot | None = None

    @property
    def path(self) -> str:
        """E.g. ``ports[3].mac``; empty for the document itself."""
        steps: list[str] = []
        spot: Spot | None = self
        while spot is not None:
            steps.append(spot.step)
            spot = spot.parent
        return "".join(reversed(steps)).removeprefix(".")

    @property
    def line(self) -> int:
        """Counted from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def raw(self) -> str:
        """The text as written, without quotes; empty for a list or a mapping."""
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""

    @property
    def tag(self) -> str:
        """What YAML takes it for: ``str``, ``int``, ``float``, ``bool``, ``null``, ``seq``, ``map`` and so on."""
        return str(self.node.tag).removeprefix("tag:yaml.org,2002:")

    def blame(self, message: str) -> None:
        """Note a mistake at this value."""
        self.faults.add(self.path, self.node, message)

    def child(self, node: yaml.Node, step: str) -> Spot:
        """A value inside this one; `step` is ``.key`` or ``[index]``."""
        return Spot(node, self.faults, step, self)

    def blame_child(self, key: str, message: str) -> None:
        """Note a mistake at a key that is not there."""
        self.faults.add(f"{self.path}.{key}".removeprefix("."), self.node, message)


def compose(text: str, name: str) -> Spot:
    """The whole document. Raises `InputError` with line and column where it is not YAML, or holds nothing."""
    try:
        node = yaml.compose(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}: line {mark.line + 1}, column {mark.column + 1}" if mark else name
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError([Fault(place=place, message=f"not YAML: {said}")]) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError([Fault(place=name, message=f"not YAML: {reason}")]) from error
    if node is None:
        message = "the file is empty; a site with nothing in it is written {}"
        raise InputError([Fault(place=name, message=message)])
    return Spot(node, Faults(name))
