# SPDX-License-Identifier: Apache-2.0
"""A site survives the way through a file: any site that makes sense, drawn by hypothesis."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyvisor.codec.site import parse_site
from anyvisor.codec.site_yaml import dump_site
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Direction, Hypervisor, NetworkKind, Protocol, Scheme, SwitchKind
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.policy import Floor, Policy, Preference
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Controller, Manager, Site

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
tricky = st.sampled_from(
    ["on", "no", "null", "~", "8.0", "010", "1e3", "52:54", "2016-01-01", "=", "<<", "{}", "- a", "a: b", "#"]
)
texts = tricky | st.text(min_size=1, max_size=12).filter(
    lambda t: t.isprintable() and t.strip() and t.encode("utf-8", "ignore").decode() == t
)
numbers = st.integers(-(10**12), 10**12)
floats = st.floats(allow_nan=False, allow_infinity=False)
facts = st.dictionaries(
    st.sampled_from(["ALPHA", "BETA", "on", "8.0"]), texts | numbers | floats | st.booleans(), max_size=3
)
remotes = st.sampled_from(["", "ssl:nb:6641", "tcp:[fd00::1]:6641,tcp:b:1", "unix:/run/x y.sock"])
shares = st.floats(0, 1)
vlans = st.integers(1, 4094)

switches = st.builds(
    NativeSwitch,
    name=texts,
    kind=st.sampled_from(SwitchKind),
    version=st.just("") | texts,
    uplinks=st.lists(texts, max_size=2).map(tuple),
)
nics = st.builds(
    Nic,
    name=texts,
    speed_gbps=st.none() | st.floats(0, 800),
    sriov_vfs=st.integers(0, 64),
    switchdev=st.booleans(),
    dpu=st.none() | texts,
    physical=st.none() | names,
    vlan=st.none() | vlans,
)
preferences = st.builds(
    Preference,
    prefer=st.lists(st.sampled_from(Scheme), min_size=1, unique=True).map(tuple),
    floor=st.builds(Floor, controlled=shares, observed=shares),
)


def by_name(values):
    return {value.name: value for value in values}


def unique(strategy, max_size=3):
    return st.lists(strategy, max_size=max_size, unique_by=lambda value: value.name)


@st.composite
def hosts(draw):
    found = draw(
        unique(
            st.builds(
                Host,
                name=names,
                hypervisor=st.sampled_from(Hypervisor),
                version=st.just("") | texts,
                cluster=st.none() | names,
                scheme=st.none() | st.sampled_from(Scheme),
                switches=unique(switches, 2).map(tuple),
                nics=unique(nics, 2).map(tuple),
                facts=facts,
                tunnel_ip=st.none(),
                ovsdb=st.none() | remotes.filter(bool),
            )
        )
    )
    return by_name(found)


@st.composite
def networks(draw):
    found = {}
    for index, name in enumerate(draw(st.lists(names, max_size=4, unique=True))):
        kind = draw(st.sampled_from(NetworkKind))
        four = Subnet(
            cidr=f"10.{index}.0.0/24",
            gateway=draw(st.sampled_from([None, f"10.{index}.0.1"])),
            dhcp=draw(st.booleans()),
            dns=draw(st.sampled_from([(), ("10.9.9.9", "9.9.9.9")])),
        )
        six = Subnet(cidr=f"fd00:{index + 1}::/64", dhcp=draw(st.booleans()))
        subnets = tuple(draw(st.sampled_from([(four,), (four, six), (six, four)])))
        physical = "fabric" if kind is NetworkKind.VLAN else draw(st.sampled_from([None, "fabric"]))
        vlan = (
            index + 100
            if kind is NetworkKind.VLAN
            else draw(st.sampled_from([None, index + 100]) if physical else st.none())
        )
        mtu = draw(st.none() | st.integers(1280, 9000))
        found[name] = Network(name=name, kind=kind, physical=physical, vlan=vlan, mtu=mtu, subnets=subnets)
    return found


@st.composite
def routers(draw, nets):
    inside = [name for name in nets if draw(st.booleans())]
    outside = [n.name for n in nets.values() if n.kind is NetworkKind.VLAN and n.name not in inside]
    names_of_routers = draw(st.lists(names, max_size=2, unique=True))
    found = {}
    for index, name in enumerate(names_of_routers):
        external = None
        if outside and draw(st.booleans()):
            ip = _host_address(nets[outside[0]], 200 + index) if draw(st.booleans()) else None
            external = ExternalGateway(network=outside[0], snat=draw(st.booleans()), ip=ip)
        mine = tuple(inside[index :: len(names_of_routers)])
        found[name] = Router(name=name, networks=mine, external=external)
    return found


@st.composite
def rules(draw, groups):
    protocol = draw(st.sampled_from(Protocol))
    ranges = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted)
    ports = draw(st.lists(ranges, max_size=3)) if protocol in {Protocol.TCP, Protocol.UDP} else []
    far = draw(st.sampled_from(["any", "cidr", "group"]))
    return Rule(
        direction=draw(st.sampled_from(Direction)),
        protocol=protocol,
        ports=tuple(PortRange(first=first, last=last) for first, last in ports),
        cidr=draw(st.sampled_from(["0.0.0.0/0", "10.0.0.0/25", "fd00:1::/64", "10.1.0.10/32"]))
        if far == "cidr"
        else None,
        group=draw(st.sampled_from(groups)) if far == "group" else None,
    )


@st.composite
def security_groups(draw):
    wanted = draw(st.lists(names, max_size=3, unique=True))
    return {
        name: SecurityGroup(name=name, rules=tuple(draw(st.lists(rules(wanted), max_size=3))))
        for name in wanted
    }


@st.composite
def ports(draw, nets, ways, groups, on):
    found = {}
    exits = {
        name: router.external.network
        for router in ways.values()
        if router.external
        for name in router.networks
    }
    for index, name in enumerate(draw(st.lists(names, max_size=5, unique=True)) if nets else []):
        network = nets[draw(st.sampled_from(sorted(nets)))]
        way_out = exits.get(network.name)
        found[name] = Port(
            name=name,
            network=network.name,
            vm=draw(st.sampled_from([None, f"vm {index}"])),
            host=draw(st.sampled_from([None, *on])),
            mac=draw(st.sampled_from([None, f"52:54:00:00:00:{index:02x}"])),
            ips=draw(st.sampled_from([(), (_host_address(network, 10 + index),)])),
            security_groups=tuple(draw(st.lists(st.sampled_from(groups), unique=True)) if groups else ()),
            floating_ip=_host_address(nets[way_out], 100 + index)
            if way_out and draw(st.booleans())
            else None,
        )
    return found


@st.composite
def sites(draw):
    on = draw(hosts())
    nets = draw(networks())
    ways = draw(routers(nets))
    groups = draw(security_groups())
    in_use = sorted({host.cluster for host in on.values() if host.cluster})
    return Site(
        controller=draw(
            st.none()
            | st.builds(Controller, northbound=remotes, southbound=remotes, southbound_for_chassis=remotes)
        ),
        managers=by_name(
            draw(
                unique(
                    st.builds(
                        Manager,
                        name=names,
                        driver=st.sampled_from(["libvirt", "vsphere", "xapi", "xl", "listed"]),
                        url=st.sampled_from(["", "qemu:///system", "https://vc1.example/sdk"]),
                        credentials=st.sampled_from([None, "env:VC1", "file:/etc/a b"]),
                        ca=st.none() | texts,
                    ),
                    2,
                )
            )
        ),
        hosts=on,
        policy=Policy(
            default=draw(preferences),
            clusters=draw(
                st.dictionaries(st.sampled_from(in_use), preferences, max_size=2) if in_use else st.just({})
            ),
            vlans=draw(
                st.dictionaries(names, st.tuples(vlans, vlans).map(lambda p: tuple(sorted(p))), max_size=2)
            ),
        ),
        networks=nets,
        routers=ways,
        security_groups=groups,
        ports=draw(ports(nets, ways, sorted(groups), sorted(on))),
    )


def _host_address(network, number):
    four = next(ip_network(subnet.cidr) for subnet in network.subnets if subnet.version == 4)
    return str(ip_address(int(four.network_address) + number))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(sites())
def test_a_site_survives_the_way_through_a_file(site):
    assert parse_site(dump_site(site)) == site


def test_an_empty_site_is_an_empty_mapping():
    assert dump_site(Site()) == "{}\n"


def test_a_controller_without_remotes_is_still_a_controller():
    site = Site(controller=Controller())

    assert parse_site(dump_site(site)) == site


def test_a_cluster_that_prefers_what_is_usual_keeps_to_it_under_an_unusual_default():
    site = Site(policy=Policy(default=Preference(prefer=(Scheme.NIC,)), clusters={"c1": Preference()}))

    assert parse_site(dump_site(site)) == site


def test_an_nsx_beside_its_vcenter_is_written_and_read_back():
    site = Site(
        managers=by_name(
            [
                Manager(name="vc1", driver="vsphere", url="https://vc1.example/sdk"),
                Manager(
                    name="nsx1",
                    driver="nsx",
                    url="https://nsx1.example",
                    credentials="file:/etc/anyvisor/nsx1",
                    transport_zone="/infra/sites/default/enforcement-points/default/transport-zones/vlans",
                    vcenter="vc1",
                ),
            ]
        )
    )

    assert parse_site(dump_site(site)) == site
