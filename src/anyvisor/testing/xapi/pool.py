# SPDX-License-Identifier: Apache-2.0
"""A pool as its operator builds it: hosts with cards, networks, VMs; and what dom0 makes of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any

from anyvisor.testing.xapi.records import NULL, Records


@dataclass(frozen=True, slots=True)
class Wired:
    """What dom0 did with a VIF when it last plugged it: the bridge, the ``iface-id`` that ovs-xapi-sync gave it then,
    and which addresses alone pass (None: all).
    """

    bridge: str
    iface: str
    addresses: tuple[str, ...] | None = None

    @property
    def direct(self) -> bool:
        """XAPI has put flows of its own into the bridge for it: they pass by whatever else programs the bridge."""
        return self.addresses is not None


@dataclass(slots=True)
class Dom0:
    """What is on one host and in no database: bridges that XAPI does not manage, and the devices of VIFs."""

    bridges: set[str] = field(default_factory=set)


class Pool:
    """The records, with the small world around them."""

    def __init__(self, name: str = "pool one", *, version: str = "8.3.0", restricted: bool = False) -> None:
        self.records = Records()
        self.version = version
        self.dom0: dict[str, Dom0] = {}
        self.wired: dict[str, Wired] = {}
        """By the reference of the VIF: those that are attached."""
        self.backend = "openvswitch"
        restrictions = {"restrict_vif_locking": "true" if restricted else "false"}
        self.ref = self.records.add(
            "pool",
            {"name_label": name, "master": NULL, "other_config": {}, "restrictions": restrictions},
        )

    # What an operator builds

    def add_host(self, name: str, *devices: str, bond: bool = False) -> str:
        """One more host; the first is the master. Its cards are plugged into ``xenbr0`` and so on; with `bond` the last
        two are bonded, on a network of their own.
        """
        records = self.records
        metrics = records.add("host_metrics", {"live": True, "memory_free": "0"})
        version = {"product_version": self.version, "network_backend": self.backend, "xapi": "24.11"}
        host = records.add(
            "host",
            {
                "name_label": name,
                "hostname": name,
                "address": "127.0.0.1:9",
                "enabled": True,
                "metrics": metrics,
                "software_version": version,
                "other_config": {},
            },
        )
        if records.row("pool", self.ref)["master"] == NULL:
            records.change("pool", self.ref, master=host)
        self.dom0[host] = Dom0()
        slaves = []
        for number, device in enumerate(devices):
            network = self.network(f"Pool-wide network associated with {device}", f"xenbr{number}")
            pif = self.add_pif(host, network, device, physical=True, management=number == 0)
            if bond and number >= len(devices) - 2:
                slaves.append(pif)
        if slaves:
            network = self.network("Bond", "xapi0")
            master = self.add_pif(host, network, "bond0")
            made = records.add("Bond", {"master": master, "slaves": slaves, "other_config": {}})
            records.change("PIF", master, bond_master_of=[made])
            for slave in slaves:
                records.change("PIF", slave, bond_slave_of=made)
        return host

    def network(self, label: str, bridge: str) -> str:
        """The network of that bridge, made if need be."""
        found = self.records.where("network", bridge=bridge)
        return found[0] if found else self.add_network(label, bridge)

    def add_network(self, label: str, bridge: str, *, managed: bool = True, **other_config: str) -> str:
        """One more network without PIFs."""
        return self.records.add(
            "network",
            {
                "name_label": label,
                "name_description": "",
                "MTU": "1500",
                "other_config": dict(other_config),
                "bridge": bridge,
                "managed": managed,
                "tags": [],
                "default_locking_mode": "unlocked",
            },
        )

    def add_pif(self, host: str, network: str, device: str, **values: Any) -> str:
        """One more PIF, untagged unless `values` say otherwise."""
        metrics = self.records.add("PIF_metrics", {"carrier": True, "speed": "10000"})
        return self.records.add(
            "PIF",
            {
                "device": device,
                "network": network,
                "host": host,
                "MAC": "fe:ff:ff:ff:ff:ff",
                "MTU": "1500",
                "VLAN": "-1",
                "metrics": metrics,
                "physical": False,
                "currently_attached": True,
                "management": False,
                "bond_slave_of": NULL,
                "bond_master_of": [],
                "VLAN_master_of": NULL,
                "sriov_physical_PIF_of": [],
                "sriov_logical_PIF_of": [],
                "managed": True,
                "other_config": {},
                **values,
            },
        )

    def add_vm(self, name: str, host: str | None, *networks: str, mac: str = "", **values: Any) -> str:
        """One more VM, with a VIF in each of these networks; it runs if it is on a host."""
        records = self.records
        vm = records.add(
            "VM",
            {
                "name_label": name,
                "power_state": "Halted" if host is None else "Running",
                "resident_on": host or NULL,
                "scheduled_to_be_resident_on": NULL,
                "affinity": NULL,
                "is_a_template": False,
                "is_a_snapshot": False,
                "is_control_domain": False,
                "other_config": {},
                "current_operations": {},
                **values,
            },
        )
        for device, network in enumerate(networks):
            self.add_vif(vm, network, str(device), mac=mac or made_mac(name, device))
        return vm

    def add_vif(self, vm: str, network: str, device: str, *, mac: str, **values: Any) -> str:
        """One more VIF; it is plugged if its VM runs."""
        attached = self.records.row("VM", vm)["power_state"] == "Running"
        vif = self.records.add(
            "VIF",
            {
                "VM": vm,
                "network": network,
                "device": device,
                "MAC": mac,
                "MTU": "1500",
                "other_config": {},
                "currently_attached": attached,
                "locking_mode": "network_default",
                "ipv4_allowed": [],
                "ipv6_allowed": [],
                "trunks": [],
                "metrics": NULL,
                **values,
            },
        )
        self.plug(vif)
        return vif

    # What happens

    def plug(self, vif: str) -> None:
        """What the hotplug scripts do for a VIF whose VM runs, by what the database says now."""
        row = self.records.row("VIF", vif)
        if not row["currently_attached"]:
            self.wired.pop(vif, None)
            return
        mode, addresses = self.locking(row)
        if mode == "disabled":
            self.wired.pop(vif, None)
            return
        bridge = self.records.row("network", row["network"])["bridge"]
        iface = row["other_config"].get("nicira-iface-id", row["uuid"])
        self.wired[vif] = Wired(bridge, iface, addresses if mode == "locked" else None)

    def locking(self, row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
        """The mode in effect, and the addresses that may be used where it is ``locked``."""
        mode = row["locking_mode"]
        if mode == "network_default":
            mode = self.records.row("network", row["network"])["default_locking_mode"]
        return mode, tuple(sorted({*row["ipv4_allowed"], *row["ipv6_allowed"]}))

    def power(self, vm: str, host: str | None) -> None:
        """A VM is started on a host, or halts."""
        state = "Halted" if host is None else "Running"
        self.records.change("VM", vm, power_state=state, resident_on=host or NULL)
        for vif in self.records.where("VIF", VM=vm):
            self.records.change("VIF", vif, currently_attached=host is not None)
            self.plug(vif)

    def begin_move(self, vm: str, host: str) -> None:
        """A live migration begins."""
        self.records.change(
            "VM", vm, scheduled_to_be_resident_on=host, current_operations={"OpaqueRef:t": "pool_migrate"}
        )

    def finish_move(self, vm: str) -> None:
        """It arrives; its VIFs are plugged anew there."""
        target = self.records.row("VM", vm)["scheduled_to_be_resident_on"]
        self.records.change(
            "VM", vm, resident_on=target, scheduled_to_be_resident_on=NULL, current_operations={}
        )
        for vif in self.records.where("VIF", VM=vm):
            self.plug(vif)

    def lose(self, host: str, *, live: bool = False) -> None:
        """The master does not hear of a host any more, or (`live`) it does again."""
        self.records.change("host_metrics", self.records.row("host", host)["metrics"], live=live)

    def snapshot(self, vm: str, name: str) -> str:
        """A snapshot of a VM, with copies of its VIFs."""
        row = self.records.row("VM", vm)
        taken = self.add_vm(name, None, is_a_snapshot=True, is_a_template=True)
        for vif in self.records.where("VIF", VM=vm):
            held = self.records.shown("VIF", vif)
            copied = {
                key: held[key] for key in ("other_config", "locking_mode", "ipv4_allowed", "ipv6_allowed")
            }
            self.add_vif(taken, held["network"], held["device"], mac=held["MAC"], **copied)
        assert row["name_label"] != name
        return taken

    def switch_backend(self, host: str, backend: str) -> None:
        """``xe-switch-network-backend`` and a reboot; what was in the database of Open vSwitch is gone."""
        version = self.records.row("host", host)["software_version"]
        self.records.change("host", host, software_version={**version, "network_backend": backend})
        self.dom0[host].bridges.clear()

    # What a test looks at

    def named(self, kind: str, label: str) -> str:
        """The reference of what bears that name."""
        (ref,) = self.records.where(kind, name_label=label)
        return ref

    def vif(self, vm: str, device: str = "0") -> str:
        """The VIF of a VM, by the VM's name."""
        (ref,) = self.records.where("VIF", VM=self.named("VM", vm), device=device)
        return ref

    def wire(self, vm: str, device: str = "0") -> Wired | None:
        """How that VIF is plugged now; None if it is not."""
        return self.wired.get(self.vif(vm, device))


def made_mac(name: str, device: int) -> str:
    """The same for the same VIF."""
    digest = blake2s(f"{name}/{device}".encode(), digest_size=4).hexdigest()
    return ":".join(["02", "16", *(digest[i : i + 2] for i in range(0, 8, 2))])
