# SPDX-License-Identifier: Apache-2.0
"""The site file: text to model, or every mistake in it at once."""

from __future__ import annotations

from pathlib import Path

from anyvisor.codec import building, grammar
from anyvisor.codec.checks import hosts, managers, networks, ports, routers, rules
from anyvisor.codec.checks.sections import sections
from anyvisor.codec.document import Spot, compose
from anyvisor.codec.reading import Draft, WrongError
from anyvisor.errors import Fault, InputError
from anyvisor.model.site import Site

CHECKS = (managers.check, hosts.check, networks.check, routers.check, rules.check, ports.check)


def load_site(path: Path | str) -> Site:
    """Read a site file (UTF-8). Raises `InputError` with every mistake in it, also where it cannot be read."""
    name = str(path)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        message = error.strerror or "cannot be read"
        raise InputError([Fault(place=name, message=f"the site file cannot be read: {message}")]) from error
    except UnicodeDecodeError as error:
        raise InputError([Fault(place=name, message=f"not UTF-8 at byte {error.start}")]) from error
    return parse_site(text, name)


def parse_site(text: str, name: str = "site.yaml") -> Site:
    """The site that `text` describes. Raises `InputError` with every mistake in it; `name` begins their places."""
    spot = compose(text, name)
    draft = _draft(spot)
    spot.faults.raise_if_any()
    return building.site(draft)


def _draft(spot: Spot) -> Draft:
    try:
        draft = grammar.SITE(spot)
    except WrongError as wrong:
        spot.blame(str(wrong))
        return Draft(spot)
    shared = sections(draft)
    for check in CHECKS:
        check(shared)
    return draft
