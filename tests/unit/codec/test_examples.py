# SPDX-License-Identifier: Apache-2.0
"""The example sites are right, and the reference names every key and every fact."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from anyvisor.codec.site import load_site
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.policy import Floor, Policy, Preference
from anyvisor.model.port import Port
from anyvisor.model.site import Controller, Manager, Site
from anyvisor.planner.facts import KEYS

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = (DOCS / "reference" / "site.md").read_text(encoding="utf-8")

MODEL = (
    Site, Controller, Manager, Host, NativeSwitch, Nic, Policy, Preference, Floor,
    Network, Subnet, Router, ExternalGateway, Port,
)  # fmt: skip
KEYS_OF_THE_MODEL = {field.name for cls in MODEL for field in fields(cls)} - {"manager"}
KEYS_OF_RULES = {"rules", "direction", "protocol", "ports", "from", "to"}


@pytest.mark.parametrize("name", ["kvm.yaml", "mixed.yaml"])
def test_an_example_has_no_mistake(name):
    assert load_site(DOCS / "examples" / name).ports


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_the_reference_names_every_fact(key):
    assert f"| `{key.name}` |" in REFERENCE


@pytest.mark.parametrize("key", sorted(KEYS_OF_THE_MODEL | KEYS_OF_RULES))
def test_the_reference_names_every_key(key):
    assert re.search(rf"[`.\[\]# ]{key}[`.\[\]\n]", REFERENCE)
