# SPDX-License-Identifier: Apache-2.0
"""The vSphere driver before the lab's vCenter: two hosts in a cluster, an old one alone, VMs, a template. No root."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pyVmomi import vim

from anyvisor.drivers.vsphere.estate import Patience, VsphereEstate
from anyvisor.lab.vcenter import program
from anyvisor.model.estate import Deploy, Group, InnerSwitch, MakeGroup, MakeSwitch, Plugin
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.model.site import Manager

OWNER = "8f3a01c2-5f0e-4d7e-9a51-2f6f2f4f9d11"
INNER = SwitchName("av-8f3a01c2-C1")
OWN = SwitchName("av-8f3a01c2")
ESX1, ESX2, OLD = HostName("esx1"), HostName("esx2"), HostName("old1")


def host(name, **changes):
    return {
        "name": name,
        "cluster": "C1",
        "licence": "enterprise-plus",
        "cpu_cores": 8,
        "memory_mb": 32768,
        "pnics": [{"name": "vmnic0", "mbps": 25000, "sriov_functions": 8}, {"name": "vmnic1"}],
        "switches": [{"name": "vSwitch0", "uplinks": ["vmnic1"], "port_groups": [{"name": "VM Network"}]}],
        **changes,
    }


def inventory(**changes):
    alone = {"cluster": "", "version": "6.5.0", "licence": "standard"}
    office = [{"network": "office"}]
    return {
        "name": "driver",
        "datacenters": [
            {
                "name": "DC",
                "clusters": [{"name": "C1", "ha": True}],
                "hosts": [host("esx1"), host("esx2"), host("old1", **alone)],
                "distributed_switches": [
                    {
                        "name": "dvs",
                        "version": "7.0.0",
                        "members": [
                            {"host": "esx1", "pnics": ["vmnic0"]},
                            {"host": "esx2", "pnics": ["vmnic0"]},
                        ],
                        "port_groups": [{"name": "office", "vlan": 7}, {"name": "lab", "vlan": 8}],
                    }
                ],
                "vms": [
                    {"name": "web", "host": "esx1", "nics": office},
                    {"name": "db", "host": "esx2", "nics": office},
                    {
                        "name": "two",
                        "host": "esx1",
                        "nics": [{"network": "office"}, {"network": "VM Network"}],
                    },
                    {"name": "fast", "host": "esx1", "nics": [{"network": "VM Network", "type": "sriov"}]},
                    {"name": "aged", "host": "old1", "nics": [{"network": "VM Network"}]},
                    {"name": "golden", "host": "esx1", "template": True, "nics": [*office, *office]},
                ],
            }
        ],
        **changes,
    }


class Machines:
    """VMs by name, as the driver shows them."""

    def __init__(self, estate):
        self._estate = estate

    def cards(self, name):
        cards = self._estate.estate().cards
        return sorted(card for card in cards if cards[card].vm == name)

    def card(self, name):
        return self.cards(name)[0]

    def shown(self, name):
        return self._estate.estate().cards[self.card(name)]

    def group(self, name):
        return self.shown(name).backing.group

    def settled(self, name, *, host, seconds=10.0):
        """Wait until a migration has arrived."""
        deadline = time.monotonic() + seconds
        while (self.shown(name).host, self.shown(name).moving_to) != (host, None):
            assert time.monotonic() < deadline, f"{name} did not arrive on {host}"
            time.sleep(0.02)


class Steps:
    """Short ways to say a step."""

    inner, own, owner = INNER, OWN, OWNER

    @staticmethod
    def switch(*hosts, kind=SwitchKind.VDS, name=INNER, **more):
        return MakeSwitch(switch=InnerSwitch(name=name, kind=kind, hosts=hosts or (ESX1, ESX2), **more))

    @staticmethod
    def group(what, vlan, *, switch=INNER, **more):
        name = f"av-8f3a01c2-{what}"
        return MakeGroup(group=Group(switch=switch, name=name, key=f"port/{what}", vlan=vlan, **more))

    @staticmethod
    def trunk(*, switch=INNER, learns=True, **more):
        return MakeGroup(
            group=Group(
                switch=switch,
                name="av-8f3a01c2-trunk",
                key="trunk",
                trunk=True,
                mac_learning=learns,
                promiscuous=not learns,
                forged_transmits=True,
                **more,
            )
        )

    @staticmethod
    def plug(card, what, *, switch=INNER):
        return Plugin(card=card, switch=switch, group=f"av-8f3a01c2-{what}")

    @staticmethod
    def deploy(host=ESX1, **changes):
        return Deploy(
            **{
                "key": f"{host}/1",
                "vm": f"av-8f3a01c2-{host}",
                "host": host,
                "template": "golden",
                "user_data": "#cloud-config\nhostname: x\n",
                "switch": INNER,
                "trunk_group": "av-8f3a01c2-trunk",
                "networks": {"management": "VM Network", "tunnel": "office"},
                **changes,
            }
        )


@pytest.fixture
def steps():
    return Steps


@pytest.fixture
def data_center():
    """What the vCenter is made of; a test may change it before it asks for `running`."""
    return inventory()


@pytest.fixture
def running(start, data_center):
    vcenter = start(data_center)
    vcenter.control.set(vmotion_seconds=0.2, ha_seconds=0.1)
    return vcenter


@pytest.fixture
def credentials(folder):
    path = folder / "credentials"
    path.write_text("admin:secret\n", encoding="utf-8")
    path.chmod(0o600)
    return f"file:{path}"


@pytest.fixture
def drop_rule():
    """Somebody deletes a rule of a cluster."""

    def drop(vc, cluster, name):
        changed = vc.one(vim.ClusterComputeResource, cluster)
        key = next(rule.key for rule in changed.configurationEx.rule if rule.name == name)
        rules = [vim.cluster.RuleSpec(operation="remove", removeKey=key)]
        vc.done(changed.ReconfigureComputeResource_Task(vim.cluster.ConfigSpecEx(rulesSpec=rules), True))

    return drop


@pytest.fixture
def manager(running, credentials):
    return Manager(
        name="vc1",
        driver="vsphere",
        url=running.url,
        credentials=credentials,
        ca=str(running.place.certificate),
    )


@pytest.fixture
def connect(manager):
    """Another driver of the same vCenter."""
    drivers = []

    def begin(owner=OWNER, of=None, **patience):
        given = {"answer_seconds": 10.0, "task_seconds": 20.0, "news_seconds": 1, **patience}
        drivers.append(VsphereEstate.connect(of or manager, owner, patience=Patience(**given)))
        return drivers[-1]

    yield begin
    for driver in drivers:
        driver.close()


@pytest.fixture
def elsewhere(manager, connect):
    """A driver of another vCenter, which it has in `vcenter`."""
    with ExitStack() as stack:

        def begin(inventory, **more):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vc-"))
            vcenter = stack.enter_context(program.start(program.Place(folder=Path(folder)), inventory))
            there = replace(manager, url=vcenter.url, ca=str(vcenter.place.certificate))
            driver = connect(of=there, **more)
            driver.vcenter = vcenter
            return driver

        yield begin


@pytest.fixture
def estate(connect):
    return connect()


@pytest.fixture
def machines(estate):
    return Machines(estate)
