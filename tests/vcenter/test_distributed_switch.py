# SPDX-License-Identifier: Apache-2.0
"""Distributed switches and their port groups."""

import pytest
from pyVmomi import vim, vmodl

V = vim.dvs.VmwareDistributedVirtualSwitch
Group = vim.dvs.DistributedVirtualPortgroup


def member(host, operation="add", pnics=()):
    backing = vim.dvs.HostMember.PnicBacking(
        pnicSpec=[vim.dvs.HostMember.PnicSpec(pnicDevice=name) for name in pnics]
    )
    return vim.dvs.HostMember.ConfigSpec(operation=operation, host=host, backing=backing)


@pytest.fixture
def create(vc):
    """Create a switch as the product does."""

    def make(name, *, version="7.0.0", **spec):
        folder = vc.content.rootFolder.childEntity[0].networkFolder
        created = vim.DistributedVirtualSwitch.CreateSpec(
            configSpec=V.ConfigSpec(name=name, **spec), productInfo=vim.dvs.ProductSpec(version=version)
        )
        return vc.done(folder.CreateDVS_Task(created))

    return make


def test_a_new_switch_is_what_was_asked_for(vc, create):
    switch = create(
        "sw",
        version="6.6.0",
        maxMtu=9000,
        uplinkPortPolicy=vim.DistributedVirtualSwitch.NameArrayUplinkPortPolicy(uplinkPortName=["none"]),
        linkDiscoveryProtocolConfig=vim.host.LinkDiscoveryProtocolConfig(protocol="lldp", operation="both"),
        ipfixConfig=V.IpfixConfig(
            collectorIpAddress="10.0.0.9", collectorPort=4739, observationDomainId=7, activeFlowTimeout=60,
            idleFlowTimeout=15, samplingRate=0, internalFlowsOnly=False,
        ),
        pvlanConfigSpec=[
            V.PvlanConfigSpec(
                operation="add",
                pvlanEntry=V.PvlanMapEntry(primaryVlanId=200, secondaryVlanId=200, pvlanType="promiscuous"),
            )
        ],
    )  # fmt: skip

    config = switch.config
    assert isinstance(switch, V)
    assert isinstance(config, V.ConfigInfo)
    assert (config.maxMtu, config.productInfo.version, config.uplinkPortPolicy.uplinkPortName) == (
        9000,
        "6.6.0",
        ["none"],
    )
    assert config.linkDiscoveryProtocolConfig.protocol == "lldp"
    assert (config.ipfixConfig.collectorIpAddress, config.ipfixConfig.observationDomainId) == ("10.0.0.9", 7)
    assert [entry.primaryVlanId for entry in config.pvlanConfig] == [200]
    (uplinks,) = config.uplinkPortgroup
    assert uplinks.config.uplink
    assert "SYSTEM/DVS.UPLINKPG" in {tag.key for tag in uplinks.tag}
    assert vc.content.dvSwitchManager.QueryDvsByUuid(switch.uuid) == switch
    with pytest.raises(vim.fault.DuplicateName):
        create("sw")


def test_a_version_that_does_not_exist_is_refused(create):
    with pytest.raises(vmodl.fault.InvalidArgument):
        create("sw", version="9.9.9")


def test_hosts_join_change_and_leave(vc, create):
    switch, esx2 = create("sw"), vc.host("esx2")

    vc.done(
        switch.ReconfigureDvs_Task(
            V.ConfigSpec(configVersion=switch.config.configVersion, host=[member(esx2)])
        )
    )
    assert [(m.config.host.name, m.config.backing.pnicSpec) for m in switch.config.host] == [("esx2", [])]
    assert [h.name for h in switch.summary.hostMember] == ["esx2"]
    assert "sw" in [p.dvsName for p in esx2.config.network.proxySwitch]

    vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(host=[member(esx2, "edit", ["vmnic1"])])))
    (joined,) = switch.config.host
    (pnic,) = joined.config.backing.pnicSpec
    assert (pnic.pnicDevice, pnic.uplinkPortKey) == ("vmnic1", joined.uplinkPortKey[0])
    (port,) = switch.FetchDVPorts(vim.dvs.PortCriteria(uplinkPort=True, connected=True))
    assert (port.connectee.type, port.connectee.nicKey, port.proxyHost) == ("pnic", "vmnic1", esx2)

    with pytest.raises(vim.fault.AlreadyExists):
        vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(host=[member(esx2)])))
    vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(host=[member(esx2, "remove")])))
    assert switch.config.host == []


def test_a_switch_may_get_more_uplinks(vc):
    switch = vc.dvs()
    names = vim.DistributedVirtualSwitch.NameArrayUplinkPortPolicy(uplinkPortName=["one", "two"])

    vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(uplinkPortPolicy=names)))

    assert [len(m.uplinkPortKey) for m in switch.config.host] == [2, 2]


def test_health_checks_and_shares_are_kept(vc):
    switch = vc.dvs()

    vc.done(switch.UpdateDVSHealthCheckConfig_Task([V.VlanMtuHealthCheckConfig(enable=True, interval=1)]))
    switch.EnableNetworkResourceManagement(True)

    assert switch.config.healthCheckConfig[0].enable
    assert switch.config.networkResourceManagementEnabled


def test_a_nic_serves_one_switch(vc, create):
    switch = create("sw")

    with pytest.raises(vim.fault.ResourceInUse):
        vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(host=[member(vc.host("esx1"), pnics=["vmnic0"])])))
    with pytest.raises(vim.fault.ResourceInUse):
        vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(host=[member(vc.host("esx1"), pnics=["vmnic1"])])))
    assert switch.config.host == []


def test_a_host_that_is_too_old_or_has_no_licence_does_not_join(vc, create):
    old = vc.host("old1")

    with pytest.raises(vmodl.fault.NotSupported):
        vc.done(create("new", version="7.0.0").ReconfigureDvs_Task(V.ConfigSpec(host=[member(old)])))
    with pytest.raises(vim.fault.RestrictedVersion):
        vc.done(create("older", version="6.5.0").ReconfigureDvs_Task(V.ConfigSpec(host=[member(old)])))


def test_a_host_in_use_stays(vc):
    with pytest.raises(vim.fault.ResourceInUse):
        vc.done(vc.dvs().ReconfigureDvs_Task(V.ConfigSpec(host=[member(vc.host("esx2"), "remove")])))


def test_a_stale_change_is_refused(vc):
    switch, group = vc.dvs(), vc.group("tenants")
    version, group_version = switch.config.configVersion, group.config.configVersion

    vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(configVersion=version, maxMtu=8000)))
    vc.done(
        group.ReconfigureDVPortgroup_Task(Group.ConfigSpec(configVersion=group_version, description="ours"))
    )

    assert int(switch.config.configVersion) == int(version) + 1
    with pytest.raises(vim.fault.ConcurrentAccess):
        vc.done(switch.ReconfigureDvs_Task(V.ConfigSpec(configVersion=version, maxMtu=1500)))
    with pytest.raises(vim.fault.ConcurrentAccess):
        vc.done(
            group.ReconfigureDVPortgroup_Task(
                Group.ConfigSpec(configVersion=group_version, description="theirs")
            )
        )
    assert (switch.config.maxMtu, group.config.description) == (8000, "ours")


def test_a_change_of_a_port_group_leaves_what_it_does_not_name(vc):
    rule = vim.dvs.TrafficRule(
        sequence=10,
        direction="incomingPackets",
        action=vim.dvs.TrafficRule.DropAction(),
        qualifier=[
            vim.dvs.TrafficRule.IpQualifier(
                sourceAddress=vim.IpRange(addressPrefix="10.0.0.0", prefixLength=24),
                protocol=vim.IntExpression(value=6),
                destinationIpPort=vim.dvs.TrafficRule.SingleIpPort(portNumber=22),
            ),
            vim.dvs.TrafficRule.MacQualifier(sourceAddress=vim.SingleMac(address="00:50:56:00:00:01")),
        ],
    )
    ruleset = vim.dvs.TrafficRuleset(enabled=True, precedence=1, rules=[rule])
    filters = vim.dvs.DistributedVirtualPort.FilterPolicy(
        inherited=False,
        filterConfig=[
            vim.dvs.DistributedVirtualPort.TrafficFilterConfig(
                agentName="dvfilter-generic-vmware", inherited=False, trafficRuleset=ruleset
            )
        ],
    )
    yes = vim.BoolPolicy(inherited=False, value=True)
    group = vc.add_group(
        "g",
        defaultPortConfig=V.VmwarePortConfigPolicy(
            vlan=V.VlanIdSpec(inherited=False, vlanId=5),
            securityPolicy=V.SecurityPolicy(inherited=False, forgedTransmits=yes),
            filterPolicy=filters,
        ),
        policy=V.VMwarePortgroupPolicy(
            vlanOverrideAllowed=True, blockOverrideAllowed=True, livePortMovingAllowed=False,
            portConfigResetAtDisconnect=True, shapingOverrideAllowed=False, vendorConfigOverrideAllowed=False,
            uplinkTeamingOverrideAllowed=False, securityPolicyOverrideAllowed=False,
        ),
    )  # fmt: skip

    change = V.VmwarePortConfigPolicy(
        vlan=V.VlanIdSpec(inherited=False, vlanId=6),
        securityPolicy=V.SecurityPolicy(inherited=False, allowPromiscuous=yes),
    )
    vc.done(group.ReconfigureDVPortgroup_Task(Group.ConfigSpec(defaultPortConfig=change)))

    config, setting = group.config, group.config.defaultPortConfig
    assert (config.name, config.numPorts, config.type, setting.vlan.vlanId) == ("g", 2, "earlyBinding", 6)
    assert (setting.securityPolicy.allowPromiscuous.value, setting.securityPolicy.forgedTransmits.value) == (
        True,
        True,
    )
    assert config.policy.vlanOverrideAllowed
    assert (
        setting.filterPolicy.filterConfig[0].trafficRuleset.rules[0].qualifier[0].destinationIpPort.portNumber
        == 22
    )
    assert setting.macManagementPolicy.allowPromiscuous, "the old and the new way to say it agree"
    (shown,) = [g for g in vc.control.state().port_groups if g.name == "g"]
    assert shown.rules[0].match == (
        "ip.source=10.0.0.0/24", "ip.protocol=6", "ip.destination_port=22", "mac.source=00:50:56:00:00:01",
    )  # fmt: skip


def test_mac_learning_needs_a_switch_that_knows_it(vc):
    learning = V.MacManagementPolicy(
        inherited=False,
        allowPromiscuous=False,
        forgedTransmits=True,
        macLearningPolicy=V.MacLearningPolicy(inherited=False, enabled=True, limit=100, limitPolicy="drop"),
    )
    setting = V.VmwarePortConfigPolicy(macManagementPolicy=learning)

    group = vc.add_group("g", defaultPortConfig=setting)
    with pytest.raises(vmodl.fault.NotSupported):
        vc.add_group("h", dvs="outer", defaultPortConfig=setting)

    assert group.config.defaultPortConfig.macManagementPolicy.macLearningPolicy.limit == 100
    (shown,) = [g for g in vc.control.state().port_groups if g.name == "g"]
    assert (shown.mac_learning, shown.mac_limit, shown.security.forged_transmits) == (True, 100, True)


def test_filters_and_network_offload_exclude_each_other(vc):
    policy = vim.dvs.DistributedVirtualPort.FilterPolicy(
        inherited=False, filterConfig=[vim.dvs.DistributedVirtualPort.TrafficFilterConfig(agentName="x")]
    )

    with pytest.raises(vmodl.fault.NotSupported):
        vc.add_group("g", dvs="outer", defaultPortConfig=V.VmwarePortConfigPolicy(filterPolicy=policy))


def test_port_groups_have_names_of_their_own(vc):
    for name in ("tenants", "prod"):
        with pytest.raises(vim.fault.DuplicateName) as refused:
            vc.add_group(name)
        assert refused.value.object.name == name

    group = vc.add_group("g")
    vc.done(group.Rename_Task("renamed"))
    assert (group.name, group.config.name) == ("renamed", "renamed")
    with pytest.raises(vim.fault.DuplicateName):
        vc.done(group.Rename_Task("tenants"))


def test_several_port_groups_are_made_together_or_not_at_all(vc):
    specs = [Group.ConfigSpec(name=name, type="earlyBinding", numPorts=1) for name in ("a", "b", "tenants")]

    with pytest.raises(vim.fault.DuplicateName):
        vc.done(vc.dvs().AddDVPortgroup_Task(specs))

    assert not {"a", "b"} & set(vc.all(vim.dvs.DistributedVirtualPortgroup))


def test_what_is_in_use_cannot_be_destroyed(vc):
    switch, group = vc.dvs(), vc.group("tenants")

    for used in (switch, group, switch.config.uplinkPortgroup[0]):
        with pytest.raises(vim.fault.ResourceInUse):
            vc.done(used.Destroy_Task())

    spare = vc.add_group("spare")
    vc.done(spare.Destroy_Task())
    assert "spare" not in switch.summary.portgroupName
    empty = vc.dvs("outer")
    vc.done(empty.Destroy_Task())
    assert "outer" not in vc.all(vim.DistributedVirtualSwitch)
    assert "office" not in vc.all(vim.Network)


def test_the_manager_finds_groups_and_versions(vc):
    manager, group = vc.content.dvSwitchManager, vc.group("tenants")

    assert manager.DVSManagerLookupDvPortGroup(vc.dvs().uuid, group.key) == group
    assert next(spec.version for spec in manager.QueryAvailableDvsSpec()) == "8.0.3"
    assert vc.dvs().QueryUsedVlanIdInDvs() == [4000]
    with pytest.raises(vim.fault.NotFound):
        manager.QueryDvsByUuid("no such switch")
