# SPDX-License-Identifier: Apache-2.0
"""A life of the whole product before an ESXi host that stands alone, with an appliance that somebody made by hand."""

import pytest
from pyVmomi import vim

from anyvisor.drivers.vsphere.names import KEY_OPTION, OWNER_OPTION, standard_group
from anyvisor.errors import UnreachableError
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.site import Site

TURNS = 8


@pytest.fixture
def lone(another):
    nics = [{"network": "VM Network"}]
    machines = [{"name": name, "host": "esx", "nics": nics} for name in ("web", "db")]
    hand = {"name": "hand", "host": "esx", "nics": nics * 3}
    host = {"name": "esx", "cpu_cores": 16, "memory_mb": 65536, "pnics": [{"name": "vmnic0"}]}
    product = another(kind="esxi", datacenters=[{"name": "ha", "hosts": [host], "vms": [*machines, hand]}])
    product.wishes = lambda state, hosts: {}
    return product


def want(product, *vms, scheme=Scheme.APPLIANCE):
    vss = NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",))
    host = Host(
        name="esx",
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        scheme=scheme,
        switches=(vss,),
        nics=(Nic(name="vmnic0", physical="fabric"),),
    )
    network = Network(
        name="web",
        kind=NetworkKind.OVERLAY,
        physical="fabric",
        vlan=200,
        subnets=(Subnet(cidr="10.1.0.0/24", dhcp=True),),
    )
    product.store.write_site(
        Site(
            managers={"vc1": product.manager},
            hosts={"esx": host},
            networks={"web": network},
            ports={vm: Port(name=vm, network="web", vm=vm, host="esx", mac=product.macs[vm]) for vm in vms},
        )
    )


@pytest.fixture
def operator(lone, world):
    """Whoever works on the host by hand."""
    client = world.Client(lone.vcenter)
    yield client
    client.close()


def make_appliance(product, client):
    owner = product.store.snapshot().owner
    (trunk,) = (group for group in product.driver.estate().groups.values() if group.trunk)
    hand = client.vm("hand")
    card = client.nics(hand)[-1]
    name = standard_group(owner, trunk.name, trunk.key)
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=name)
    marks = {OWNER_OPTION: owner, KEY_OPTION: "esx/1"}
    options = [vim.option.OptionValue(key=key, value=value) for key, value in marks.items()]
    client.reconfigure(hand, ("edit", card), extraConfig=options)


def groups_of(product):
    return {vm.name: [nic.backing.port_group for nic in vm.nics] for vm in product.control.state().vms}


def switches(product):
    (host,) = product.control.state().hosts
    return {switch.name: {group.name for group in switch.port_groups} for switch in host.switches}


def test_it_is_built_a_port_goes_the_host_restarts_its_api_and_everything_goes(lone, operator):
    before = lone.world()
    mark = lone.store.snapshot().owner[:8]
    want(lone, "web", "db")
    for _ in range(TURNS):
        assert lone.turn().error is None
    assert switches(lone)[f"av-{mark}"] == {f"av-{mark}-p=web", f"av-{mark}-p=db", *trunk_of(lone)}
    make_appliance(lone, operator)
    lone.settle()

    assert [c for c in lone.conditions() if not c.true] == []
    built = groups_of(lone)
    assert (built["web"], built["db"]) == ([f"av-{mark}-p=web"], [f"av-{mark}-p=db"])
    assert lone.control.pins()["autostart"] == {"esx": ["hand"]}

    want(lone, "web")
    lone.settle()
    assert groups_of(lone)["db"] == ["VM Network"]
    assert f"av-{mark}-p=db" not in switches(lone)[f"av-{mark}"]

    lone.kill()
    assert isinstance(lone.turn().error, UnreachableError)
    assert [c.reason for c in lone.conditions() if not c.true] == ["Unreachable"]
    lone.revive()
    lone.restart()
    lone.settle()
    assert groups_of(lone)["web"] == [f"av-{mark}-p=web"]
    assert [c for c in lone.conditions() if not c.true] == []

    want(lone, scheme=Scheme.SEPARATION)
    lone.settle()
    after = lone.world()
    del before["vms"]["hand"]
    assert {part: after[part] for part in ("standard", "vms", "pins", "tags")} == {
        part: before[part] for part in ("standard", "vms", "pins", "tags")
    }


def trunk_of(product):
    return {
        standard_group(product.store.snapshot().owner, group.name, group.key)
        for group in product.driver.estate().groups.values()
        if group.trunk
    }


def test_an_appliance_that_somebody_forgot_to_plug_in_is_named_until_it_is(lone, operator):
    want(lone, "web")
    lone.turn()
    owner = lone.store.snapshot().owner
    marks = {OWNER_OPTION: owner, KEY_OPTION: "esx/1"}
    options = [vim.option.OptionValue(key=key, value=value) for key, value in marks.items()]
    operator.reconfigure(operator.vm("hand"), extraConfig=options)
    for _ in range(TURNS):
        lone.turn()
    (said,) = (c for c in lone.conditions() if not c.true)
    assert said.reason == "Incomplete"
    assert "esx/1: its VM (hand) has no card in the trunk group" in said.message

    make_appliance(lone, operator)
    lone.settle()

    assert [c for c in lone.conditions() if not c.true] == []


def test_an_appliance_that_somebody_switched_off_or_took_from_autostart_is_brought_back(lone, operator):
    want(lone, "web")
    lone.turn()
    make_appliance(lone, operator)
    lone.settle()
    before = lone.world()
    auto = operator.host("esx").configManager.autoStartManager
    off = vim.host.AutoStartManager.SystemDefaults(enabled=False)
    auto.ReconfigureAutostart(vim.host.AutoStartManager.Config(defaults=off))
    lone.control.vm("hand", power="dies")
    assert lone.world() != before

    lone.settle()

    assert lone.world() == before
