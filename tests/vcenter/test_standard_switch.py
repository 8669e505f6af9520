# SPDX-License-Identifier: Apache-2.0
"""Standard switches: each host's own, with port groups that may be called alike."""

import pytest
from pyVmomi import vim


def security(*, promiscuous=None, changes=None, forged=None):
    policy = vim.host.NetworkPolicy.SecurityPolicy(
        allowPromiscuous=promiscuous, macChanges=changes, forgedTransmits=forged
    )
    return vim.host.NetworkPolicy(security=policy)


def group(name, vlan, *, switch="av1", policy=None):
    return vim.host.PortGroup.Specification(
        name=name, vlanId=vlan, vswitchName=switch, policy=policy or vim.host.NetworkPolicy()
    )


def switch(system, name):
    return next(s for s in system.networkInfo.vswitch if s.name == name)


def read(system, name):
    return next(g for g in system.networkInfo.portgroup if g.spec.name == name)


@pytest.fixture
def system(vc):
    """The networking of a host, with a switch of ours without uplink."""
    found = vc.networking("esx1")
    found.AddVirtualSwitch(
        "av1", vim.host.VirtualSwitch.Specification(numPorts=128, mtu=9000, policy=security(promiscuous=True))
    )
    return found


def test_a_new_switch_keeps_its_spec(system):
    made = switch(system, "av1")

    assert (made.mtu, made.spec.mtu, made.pnic) == (9000, 9000, [])
    assert made.spec.policy.security.allowPromiscuous
    with pytest.raises(vim.fault.AlreadyExists):
        system.AddVirtualSwitch("av1", vim.host.VirtualSwitch.Specification(numPorts=128))


def test_a_switch_can_be_updated(system):
    bridge = vim.host.VirtualSwitch.BondBridge(nicDevice=["vmnic0"])
    with pytest.raises(vim.fault.ResourceInUse):
        system.UpdateVirtualSwitch("av1", vim.host.VirtualSwitch.Specification(numPorts=128, bridge=bridge))

    system.UpdateVirtualSwitch("av1", vim.host.VirtualSwitch.Specification(numPorts=128, mtu=1600))

    assert switch(system, "av1").mtu == 1600


def test_a_port_group_gets_what_it_does_not_say_from_its_switch(system):
    system.AddPortGroup(group("plain", 101))
    system.AddPortGroup(group("every", 4095, policy=security(forged=False)))

    plain, trunk = read(system, "plain").computedPolicy.security, read(system, "every")
    assert (plain.allowPromiscuous, plain.macChanges, plain.forgedTransmits) == (True, True, True)
    assert trunk.computedPolicy.security.forgedTransmits is False
    assert trunk.computedPolicy.security.allowPromiscuous
    assert trunk.spec.policy.security.allowPromiscuous is None
    assert (trunk.spec.vlanId, trunk.vswitch) == (4095, switch(system, "av1").key)


def test_two_hosts_may_have_port_groups_of_one_name(vc, system):
    other = vc.networking("esx2")
    other.AddVirtualSwitch("av1", vim.host.VirtualSwitch.Specification(numPorts=128))

    system.AddPortGroup(group("same", 101))
    other.AddPortGroup(group("same", 202))

    network = vc.one(vim.Network, "same")
    assert {host.name for host in network.host} == {"esx1", "esx2"}
    assert [read(s, "same").spec.vlanId for s in (system, other)] == [101, 202]
    assert network in vc.host("esx1").network
    assert "same" in {g.spec.name for g in vc.host("esx1").config.network.portgroup}


def test_a_port_group_can_be_updated_and_removed(vc, system):
    system.AddPortGroup(group("pg", 101))

    system.UpdatePortGroup("pg", group("pg", 102, policy=security(promiscuous=False)))
    assert read(system, "pg").spec.vlanId == 102
    assert read(system, "pg").computedPolicy.security.allowPromiscuous is False

    system.RemovePortGroup("pg")
    assert "pg" not in {g.spec.name for g in system.networkInfo.portgroup}
    assert "pg" not in vc.all(vim.Network)


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (group("prod", 5), vim.fault.AlreadyExists),
        (group("tenants", 5), vim.fault.DuplicateName),
        (group("x", 5, switch="nowhere"), vim.fault.NotFound),
    ],
    ids=["there-already", "named-like-a-distributed-one", "no-such-switch"],
)
def test_a_port_group_that_cannot_be_is_refused(system, bad, fault):
    with pytest.raises(fault):
        system.AddPortGroup(bad)


def test_what_a_running_machine_uses_cannot_be_removed(vc):
    system = vc.networking("esx1")

    with pytest.raises(vim.fault.ResourceInUse):
        system.RemovePortGroup("island")
    with pytest.raises(vim.fault.ResourceInUse):
        system.RemoveVirtualSwitch("av0")

    vc.done(vc.vm("lonely").PowerOffVM_Task())
    system.RemovePortGroup("island")
    system.RemoveVirtualSwitch("av0")
    assert [s.name for s in system.networkInfo.vswitch] == ["vSwitch0"]


def test_a_network_adapter_moves_between_standard_port_groups(vc, system):
    system.AddPortGroup(group("pg", 101))
    machine = vc.vm("web")
    card = vc.nics(machine)[1]
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="pg")

    vc.reconfigure(machine, ("edit", card))

    assert {n.name for n in machine.network} == {"tenants", "pg"}
    backing = vc.state_of("web").nics[1].backing
    assert (backing.kind, backing.switch, backing.port_group) == ("standard", "av1", "pg")
    elsewhere = vc.nics(vc.vm("db"))[0]
    elsewhere.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="pg")
    with pytest.raises(vim.fault.InvalidDeviceBacking):
        vc.reconfigure(vc.vm("db"), ("edit", elsewhere))


def test_the_data_plane_sees_port_groups_with_the_policy_in_force(vc, system):
    system.AddPortGroup(group("pg", 4095, policy=security(changes=False)))

    (host,) = [h for h in vc.control.state().hosts if h.name == "esx1"]
    made = next(s for s in host.switches if s.name == "av1")
    (shown,) = made.port_groups
    assert (made.mtu, made.uplinks) == (9000, ())
    assert (shown.name, shown.vlan) == ("pg", 4095)
    assert (shown.security.promiscuous, shown.security.mac_changes, shown.security.forged_transmits) == (
        True,
        False,
        True,
    )
