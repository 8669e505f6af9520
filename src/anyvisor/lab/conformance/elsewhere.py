# SPDX-License-Identifier: Apache-2.0
"""Cells that no host of the lab is: what the planner says of them, asked by its own command on paper."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from anyvisor.lab.product import Product
from anyvisor.model.kinds import Hypervisor, Scheme

Asked = Mapping[str, tuple[str, Scheme]]
"""From a pinned host to the host of the file and the scheme that it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What the planner says of one scheme on one host on paper. `code` is empty where it is possible."""

    host: str
    hypervisor: Hypervisor
    scheme: Scheme
    possible: bool
    reason: str
    code: str = ""
    source: str = ""


def elsewhere(
    product: Product, folder: Path, tried: Collection[tuple[Hypervisor, Scheme]]
) -> tuple[Elsewhere, ...]:
    """All that were not `tried`, and those of kinds that the lab does not have; the site that is asked about is written
    into `folder`.

    Raises:
        TerminalError: the planner refuses the file.
    """
    text = (resources.files("anyvisor.lab.conformance") / "elsewhere.yaml").read_text(encoding="utf-8")
    site, asked = pinned(yaml.safe_load(text), tried)
    path = folder / "elsewhere.yaml"
    path.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
    return tuple(verdicts(product.json("plan", "--paper", "-f", str(path)), asked))


def pinned(
    site: Mapping[str, Any], tried: Collection[tuple[Hypervisor, Scheme]]
) -> tuple[dict[str, Any], Asked]:
    """The site with each host once per scheme that was not tried, that scheme pinned; one of a kind that the lab does
    not have (`asked`) once per scheme that it names. Pure.
    """
    hosts, asked = [], {}
    for entry in site["hosts"]:
        host = {key: value for key, value in entry.items() if key != "asked"}
        for scheme in Scheme:
            if "asked" in entry:
                is_asked = scheme.value in entry["asked"]
            else:
                is_asked = (Hypervisor(host["hypervisor"]), scheme) not in tried
            if is_asked:
                name = f"{host['name']}-{scheme}"
                hosts.append({**host, "name": name, "scheme": scheme.value})
                asked[name] = (host["name"], scheme)
    return {**site, "hosts": hosts}, asked


def verdicts(document: Mapping[str, Any], asked: Asked) -> Iterator[Elsewhere]:
    """What ``plan --json`` says of them, in the order asked. Pure."""
    found = {host["host"]: host for host in document["hosts"]}
    for name, (host, scheme) in asked.items():
        said = found[name]
        hypervisor = Hypervisor(said["hypervisor"])
        if said["scheme"] is not None:
            # The first sentence says that it was pinned, which it was to be asked for.
            reason = " ".join(said["because"][1:])
            yield Elsewhere(host=host, hypervisor=hypervisor, scheme=scheme, possible=True, reason=reason)
            continue
        verdict = next(one for one in said["rejected"] if one["scheme"] == scheme)
        details = {key: str(verdict[key]) for key in ("reason", "code", "source")}
        yield Elsewhere(host=host, hypervisor=hypervisor, scheme=scheme, possible=False, **details)
