# SPDX-License-Identifier: Apache-2.0
"""What clusters say of single VMs: who is held where, who comes back first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyvisor.drivers.vsphere import names
from anyvisor.drivers.vsphere.hosts import key_of

FIRST = frozenset({"highest", "high"})
"""Restart priorities of HA that are good enough; before 6.5 there was no `highest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinNames:
    """What the parts of the pin of one host are called."""

    vms: str
    hosts: str
    rule: str


def pin_names(owner: str, host: str) -> PinNames:
    """Of the host of that name."""
    start = f"{names.prefix(owner)}-{host}"
    return PinNames(vms=f"{start}-appliances", hosts=f"{start}-host", rule=f"{start}-pin")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPins:
    """Groups by name, must-run rules in force by name, and of single VMs what DRS and HA do with them. All by keys."""

    vms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rules: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The VMs' group and the hosts' group of each."""
    still: frozenset[str] = frozenset()
    """VMs that DRS leaves alone."""
    first: frozenset[str] = frozenset()
    """VMs that HA restarts before others."""

    def hold(self, vm: str, host: str, called: PinNames) -> bool:
        """Whether the VM is held on the host by a pin of that name, and comes back first."""
        return (
            self.rules.get(called.rule) == (called.vms, called.hosts)
            and vm in self.vms.get(called.vms, ())
            and self.hosts.get(called.hosts) == frozenset({host})
            and vm in self.still
            and vm in self.first
        )


def cluster_pins(config: Any) -> ClusterPins:
    """As its configuration says; nothing of one that is not known."""
    if config is None:
        return ClusterPins()
    groups = {group.name: group for group in config.group or ()}
    return ClusterPins(
        vms={name: _keys(group.vm) for name, group in groups.items() if hasattr(group, "vm")},
        hosts={name: _keys(group.host) for name, group in groups.items() if hasattr(group, "host")},
        rules={
            rule.name: (str(rule.vmGroupName), str(rule.affineHostGroupName))
            for rule in config.rule or ()
            if binds(rule)
        },
        still=frozenset(str(key_of(each.key)) for each in config.drsVmConfig or () if each.enabled is False),
        first=frozenset(
            str(key_of(each.key))
            for each in config.dasVmConfig or ()
            if str(getattr(each.dasSettings, "restartPriority", None)) in FIRST
        ),
    )


def binds(rule: Any) -> bool:
    """Whether a rule says that VMs must run on hosts, and is in force."""
    return hasattr(rule, "vmGroupName") and bool(rule.enabled and rule.mandatory)


def _keys(references: Any) -> frozenset[str]:
    return frozenset(str(key_of(each)) for each in references or ())
