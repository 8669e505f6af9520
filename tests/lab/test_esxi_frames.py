# SPDX-License-Identifier: Apache-2.0
"""What vCenter says becomes frames: real ones, sent by hand and counted one by one where they arrive."""

import base64
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from urllib.parse import urlsplit

import pytest
import yaml

from anyvisor.codec.appliance_network import card_macs
from anyvisor.codec.user_data import appliance_user_data
from anyvisor.errors import TerminalError
from anyvisor.lab import down, manifest, namespace, process, status, topology_file, up
from anyvisor.lab.esxi import appliance, centre, links
from anyvisor.lab.esxi.bridges import Switches
from anyvisor.lab.place import Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.progress import silent
from anyvisor.lab.vcenter import program
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.names import HostName
from anyvisor.model.policy import AppliancePolicy

pytest.importorskip("pyVmomi")
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(120)]

V = vim.dvs.VmwareDistributedVirtualSwitch
Card = vim.vm.device.VirtualEthernetCard
TOPOLOGY = """
name: esx
hosts:
  - {name: kvm1, ip: 192.168.77.11, switch: openvswitch, nics: [{name: eth0}, {name: eth1, vlan: 150}]}
  - {name: esx1, hypervisor: esxi, version: 7.0.3, ip: 192.168.77.21, switch: vss, nics: [{name: vmnic0}]}
  - {name: esx2, hypervisor: esxi, version: 8.0.3, cluster: c, ip: 192.168.77.22, switch: vds, nics: [{name: vmnic0}]}
  - {name: esx3, hypervisor: esxi, version: 8.0.3, cluster: c, ip: 192.168.77.23, switch: vds, nics: [{name: vmnic0}]}
outside:
  - {name: outside, vlan: 150, addresses: [10.5.0.254/24]}
vms:
  - {name: s1, host: esx1, network: net, mac: "52:54:00:00:01:01"}
  - {name: s2, host: esx1, network: net, mac: "52:54:00:00:01:02"}
  - {name: a, host: esx2, network: net, mac: "52:54:00:00:02:01"}
  - {name: b, host: esx2, network: net, mac: "52:54:00:00:02:02"}
  - {name: t, host: esx2, network: net, mac: "52:54:00:00:02:03"}
  - {name: u, host: esx2, network: net, mac: "52:54:00:00:02:04"}
  - {name: far, host: esx3, network: net, mac: "52:54:00:00:03:01"}
site:
  networks:
    - {name: net, kind: vlan, physical: fabric, vlan: 150, subnets: [{cidr: 10.5.0.0/24}]}
"""
MACS = {vm["name"]: vm["mac"] for vm in yaml.safe_load(TOPOLOGY)["vms"]}
ALL = "ff:ff:ff:ff:ff:ff"
STRANGER = "52:54:00:99:99:99"
HOME = "dvs-c-VM Network"
OURS = 0x88B5
"""The Ethernet type that is free for experiments."""
RARP = 0x8035
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, TAGGED = 3, 263, 8, 0x10
QUIET_SECONDS = 0.3
_TOKENS = count(1)


def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))


class Wire:
    """A card of some part, listened to and spoken on past its IP stack."""

    def __init__(self, place, part, card="eth0"):
        self.part = part
        with namespace.entered(place.namespace(part)):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self._socket.bind((card, ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def close(self):
        self._socket.close()

    def say(self, target, *, source=None, vlan=None, token=None):
        """Send a frame; its token."""
        token = token or next(_TOKENS)
        tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
        header = octets(target) + octets(source or MACS[self.part]) + tag + struct.pack("!HQ", OURS, token)
        self._socket.send(header.ljust(64, b"\0"))
        return token

    def hear(self, seconds=0.0):
        """What has come in: (token, VLAN or None), and RARP as ("rarp", source, VLAN)."""
        found, give_up = [], time.monotonic() + seconds
        while select.select([self._socket], [], [], max(0.0, give_up - time.monotonic()))[0]:
            data, extra, _, sender = self._socket.recvmsg(2048, 256)
            if sender[2] == socket.PACKET_OUTGOING:
                continue
            state, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", extra[0][2]) if extra else (0,) * 7
            vlan = tci & 0xFFF if state & TAGGED else None
            (kind,) = struct.unpack_from("!H", data, 12)
            if kind == OURS:
                found.append((struct.unpack_from("!Q", data, 14)[0], vlan))
            elif kind == RARP:
                found.append(("rarp", data[6:12].hex(":"), vlan))
        return found


class World:
    """The lab, and vCenter as an operator's client sees it from outside of the lab."""

    def __init__(self, place, topology, stack):
        self.place, self.topology = place, topology
        self._stack = stack
        self.wires = {}
        where = urlsplit(centre.url(place, topology))
        user, _, password = centre.credentials(place).read_text().strip().partition(":")
        context = ssl.create_default_context(cafile=centre.certificate(place))
        self._where = {
            "host": where.hostname,
            "port": where.port,
            "user": user,
            "pwd": password,
            "sslContext": context,
        }
        self.login()

    def login(self):
        self.si = SmartConnect(**self._where)
        self._stack.callback(self._leave, self.si)

    @staticmethod
    def _leave(si):
        with suppress(OSError, vim.fault.NotAuthenticated):
            Disconnect(si)
        si._stub.DropConnections()

    def wire(self, part, card="eth0"):
        if part not in self.wires:
            self.wires[part] = Wire(self.place, part, card)
            self._stack.callback(self.wires[part].close)
        return self.wires[part]

    def heard(self, *words, settle=QUIET_SECONDS):
        """Send frames and see where each arrives: (part, VLAN) per word, sorted, duplicates kept."""
        for wire in self.wires.values():
            wire.hear()
        tokens = [self.wire(part).say(target, **how) for part, target, how in words]
        time.sleep(settle)
        arrived = {token: [] for token in tokens}
        for part, wire in self.wires.items():
            for token, vlan in (event for event in wire.hear() if event[0] != "rarp"):
                arrived.get(token, []).append((part, vlan))
        found = [sorted(arrived[token], key=str) for token in tokens]
        return found[0] if len(found) == 1 else found

    # vCenter

    def all(self, kind):
        view = self.si.content.viewManager.CreateContainerView(self.si.content.rootFolder, [kind], True)
        found = {entity.name: entity for entity in view.view}
        view.Destroy()
        return found

    def vm(self, name):
        return self.all(vim.VirtualMachine)[name]

    def host(self, name):
        return self.all(vim.HostSystem)[name]

    def group(self, name):
        return self.all(vim.dvs.DistributedVirtualPortgroup)[name]

    def done(self, task):
        WaitForTask(task, si=self.si)
        return task.info.result

    def inner(self):
        """A distributed switch without uplinks, as anyvisor makes it."""
        members = [
            vim.dvs.HostMember.ConfigSpec(
                operation="add", host=self.host(name), backing=vim.dvs.HostMember.PnicBacking()
            )
            for name in ("esx2", "esx3")
        ]
        spec = vim.DistributedVirtualSwitch.CreateSpec(
            configSpec=V.ConfigSpec(name="inner", maxMtu=9000, host=members),
            productInfo=vim.dvs.ProductSpec(version="8.0.0"),
        )
        folder = self.si.content.rootFolder.childEntity[0].networkFolder
        return self.done(folder.CreateDVS_Task(spec))

    def make_group(
        self,
        name,
        *,
        dvs="inner",
        vlan=None,
        learning=False,
        promiscuous=False,
        forged=False,
        limit=100,
        ports=4,
    ):
        tags = (
            V.VlanIdSpec(vlanId=vlan)
            if vlan
            else V.TrunkVlanSpec(vlanId=[vim.NumericRange(start=1, end=4094)])
        )
        policy = vim.dvs.VmwareDistributedVirtualSwitch.MacManagementPolicy(
            allowPromiscuous=promiscuous,
            forgedTransmits=forged,
            macChanges=False,
            macLearningPolicy=V.MacLearningPolicy(
                enabled=learning, allowUnicastFlooding=True, limit=limit, limitPolicy="drop"
            ),
        )
        policies = V.VMwarePortgroupPolicy(
            vlanOverrideAllowed=True, blockOverrideAllowed=True, livePortMovingAllowed=False,
            portConfigResetAtDisconnect=True, shapingOverrideAllowed=False, vendorConfigOverrideAllowed=False,
            uplinkTeamingOverrideAllowed=False, securityPolicyOverrideAllowed=False,
        )  # fmt: skip
        spec = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(
            name=name, type="earlyBinding", numPorts=ports, policy=policies,
            defaultPortConfig=V.VmwarePortConfigPolicy(vlan=tags, macManagementPolicy=policy),
        )  # fmt: skip
        self.done(self.all(vim.DistributedVirtualSwitch)[dvs].AddDVPortgroup_Task([spec]))

    def card(self, name):
        return next(device for device in self.vm(name).config.hardware.device if isinstance(device, Card))

    def change_card(self, name, card):
        change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
        self.done(self.vm(name).ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))

    def plug(self, name, group):
        """Plug a VM's card in."""
        card, target = self.card(name), self.group(group)
        uuid = target.config.distributedVirtualSwitch.uuid
        port = vim.dvs.PortConnection(switchUuid=uuid, portgroupKey=target.key)
        card.backing = Card.DistributedVirtualPortBackingInfo(port=port)
        self.change_card(name, card)
        self.settle()

    def connect(self, name, *, connected):
        card = self.card(name)
        card.connectable.connected = connected
        self.change_card(name, card)

    def settle(self):
        """Wait until the lab does what vCenter says."""
        centre.await_settled(self.place)

    def plug_of(self, host, name):
        bridges = Switches(self.place, host, Programs()).observe().values()
        return next((ports[f"tap-{name}"].plug for ports in bridges if f"tap-{name}" in ports), None)

    def port_setting(self, name, **setting):
        port = self.card(name).backing.port
        switch = next(s for s in self.all(vim.DistributedVirtualSwitch).values() if s.uuid == port.switchUuid)
        spec = vim.dvs.DistributedVirtualPort.ConfigSpec(
            operation="edit", key=port.portKey, setting=V.VmwarePortConfigPolicy(**setting)
        )
        self.done(switch.ReconfigureDVPort_Task([spec]))

    def move(self, name, host):
        self.done(self.vm(name).RelocateVM_Task(vim.vm.RelocateSpec(host=self.host(host))))


def eventually(holds, *, seconds=10.0):
    give_up = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.02)
    return answer


def require_vcenter():
    try:
        program.find()
    except TerminalError as error:
        pytest.skip(str(error))


@contextmanager
def a_lab(name):
    require_vcenter()
    chosen = Place(name=name)
    topology = topology_file.parse(TOPOLOGY, source="esx.yaml")
    with ExitStack() as stack:
        stack.callback(down.down, chosen)
        up.up(chosen, topology, up.Options(agents=False), silent)
        world = World(chosen, topology, stack)
        for vm in topology.vms:
            world.wire(vm.name)
        world.wire("outside")
        world.wire("kvm1", "eth1")
        eventually(lambda: len(world.heard(("a", ALL, {}), settle=0.1)) == len(MACS) + 1)
        yield world


@pytest.fixture(scope="module")
def whole():
    with a_lab(f"tx{os.getpid()}") as world:
        world.inner()
        world.make_group("red", vlan=101)
        world.make_group("blue", vlan=102)
        world.make_group("learns", learning=True, forged=True)
        world.make_group("learns-one", learning=True, forged=True, limit=1)
        world.make_group("hears", promiscuous=True, forged=True)
        yield world


@pytest.fixture
def world(whole):
    """Afterwards everything is where it was."""
    yield whole
    for name in ("a", "b", "t", "u", "far"):
        host = "esx3" if name == "far" else "esx2"
        if whole.vm(name).runtime.host.name != host:
            whole.move(name, host)
        if whole.card(name).backing.port.portgroupKey != whole.group(HOME).key:
            whole.plug(name, HOME)


class TestUplink:
    def test_a_vlan_reaches_all_that_is_in_it_wherever_it_is(self, world):
        everybody = [(part, None) for part in ("b", "far", "kvm1", "outside", "s1", "s2", "t", "u")]

        assert world.heard(("a", ALL, {})) == everybody
        assert (("a", None) in world.heard(("outside", ALL, {"source": STRANGER}))) is True

    def test_unicast_reaches_its_target_alone_and_once(self, world):
        world.heard(*((name, ALL, {}) for name in MACS))  # so that the fabric knows where everybody is

        for target in ("b", "far", "s1"):
            assert world.heard(("a", MACS[target], {})) == [(target, None)]

    def test_vms_of_a_standard_switch_meet_on_it(self, world):
        assert world.heard(("s1", MACS["s2"], {})) == [("s2", None)]

    def test_a_forged_source_is_dropped(self, world):
        assert world.heard(("a", ALL, {"source": STRANGER})) == []

    def test_a_tag_of_the_vms_own_is_dropped(self, world):
        assert world.heard(("a", ALL, {"vlan": 150})) == []

    def test_the_underlay_stays_hidden_from_vms(self, world):
        assert world.heard(("a", ALL, {"vlan": 10})) == []


class TestInner:
    def test_two_vlans_of_a_switch_without_uplink_never_meet(self, world):
        world.plug("a", "red")
        world.plug("b", "blue")

        assert world.heard(("a", ALL, {}), ("b", ALL, {}), ("a", MACS["b"], {})) == [[], [], []]

    def test_one_vlan_meets_on_its_host_and_stays_on_it(self, world):
        for name in ("a", "b", "far"):
            world.plug(name, "red")

        assert world.heard(("a", ALL, {}), ("far", ALL, {})) == [[("b", None)], []]

    def test_a_trunk_sees_the_tag_and_gives_it_back(self, world):
        world.plug("a", "red")
        world.plug("b", "blue")
        world.plug("t", "hears")

        assert world.heard(("a", STRANGER, {})) == [("t", 101)]
        assert world.heard(("t", MACS["b"], {"vlan": 102, "source": MACS["a"]})) == [("b", None)]
        assert world.heard(("t", ALL, {"vlan": 103}), ("t", ALL, {})) == [[], []]

    def test_promiscuous_ports_all_get_a_copy(self, world):
        world.plug("a", "red")
        for name in ("t", "u"):
            world.plug(name, "hears")
        world.heard(("t", ALL, {"vlan": 101, "source": STRANGER}))

        assert world.heard(("a", STRANGER, {})) == [("t", 101), ("u", 101)]

    def test_of_learning_ports_only_the_one_that_learned_gets_a_copy(self, world):
        world.plug("a", "red")
        for name in ("t", "u"):
            world.plug(name, "learns")

        assert world.heard(("a", STRANGER, {})) == [("t", 101), ("u", 101)], "unknown: flooded"
        world.heard(("t", ALL, {"vlan": 101, "source": STRANGER}))
        assert world.heard(*[("a", STRANGER, {})] * 5) == [[("t", 101)]] * 5
        world.heard(("u", ALL, {"vlan": 101, "source": STRANGER}))
        assert world.heard(*[("a", STRANGER, {})] * 5) == [[("u", 101)]] * 5

    def test_beyond_a_ports_limit_frames_of_new_sources_are_dropped(self, world):
        world.plug("a", "red")
        world.plug("t", "learns-one")
        first, second = (("t", ALL, {"vlan": 101, "source": f"52:54:00:99:99:0{n}"}) for n in (1, 2))

        assert world.heard(first) == [("a", None)]
        assert world.heard(second, second, first) == [[], [], [("a", None)]]

    def test_what_was_learned_stays_while_others_are_replugged(self, world):
        world.plug("a", "red")
        for name in ("t", "u"):
            world.plug(name, "learns")
        world.heard(("t", ALL, {"vlan": 101, "source": STRANGER}))

        world.plug("b", "blue")

        assert world.heard(("a", STRANGER, {})) == [("t", 101)]

    def test_what_a_port_learned_is_forgotten_with_it(self, world):
        world.plug("a", "red")
        for name in ("t", "u"):
            world.plug(name, "learns")
        world.heard(("t", ALL, {"vlan": 101, "source": STRANGER}))

        world.connect("t", connected=False)
        world.settle()

        assert world.heard(("a", STRANGER, {})) == [("u", 101)]
        world.connect("t", connected=True)
        world.settle()

    def test_a_blocked_port_passes_nothing_either_way(self, world):
        for name in ("a", "b"):
            world.plug(name, "red")

        world.port_setting("b", blocked=vim.BoolPolicy(inherited=False, value=True))
        world.settle()
        assert world.heard(("a", ALL, {}), ("b", ALL, {})) == [[], []]

        world.port_setting("b", blocked=vim.BoolPolicy(inherited=False, value=False))
        world.settle()
        assert world.heard(("a", ALL, {}), ("b", ALL, {})) == [[("b", None)], [("a", None)]]

    def test_a_vlan_of_one_port_is_changed_while_it_runs(self, world):
        world.plug("a", "red")
        world.plug("t", "hears")

        world.port_setting("a", vlan=V.VlanIdSpec(inherited=False, vlanId=777))

        world.settle()
        assert world.heard(("a", STRANGER, {})) == [("t", 777)]

    def test_a_guest_that_takes_another_address_is_cut_off(self, world):
        world.plug("a", "red")
        world.plug("b", "red")
        inside = world.place.namespace("a")
        namespace.batch([f"link set eth0 address {STRANGER}"], inside=inside)
        try:
            eventually(lambda: world.heard(("b", ALL, {}), settle=0.05) == [])
            assert world.heard(("a", ALL, {"source": STRANGER}), ("b", STRANGER, {})) == [[], []]
        finally:
            namespace.batch([f"link set eth0 address {MACS['a']}"], inside=inside)
        eventually(lambda: world.heard(("b", ALL, {}), settle=0.05) == [("a", None)])


class TestLife:
    def test_a_vm_that_is_off_is_unplugged(self, world):
        world.done(world.vm("b").PowerOffVM_Task())
        world.settle()

        assert ("b", None) not in world.heard(("a", ALL, {}))

        world.done(world.vm("b").PowerOnVM_Task())
        world.settle()
        assert ("b", None) in world.heard(("a", ALL, {}))

    def test_a_vm_moves_and_its_new_host_says_so(self, world):
        centre.control(world.place).set(vmotion_seconds=0.5)
        world.heard(*((name, ALL, {}) for name in MACS))
        wire, outside = world.wire("b"), world.wire("outside")
        outside.hear()
        task = world.vm("b").RelocateVM_Task(vim.vm.RelocateSpec(host=world.host("esx3")))
        seen, until = Counter(), time.monotonic() + 2.0
        sent = {}
        while time.monotonic() < until:
            sent[world.wire("far").say(MACS["b"])] = time.monotonic()
            time.sleep(0.005)
            seen.update(token for token, *_ in wire.hear())
        seen.update(token for token, *_ in wire.hear(QUIET_SECONDS))
        world.done(task)

        assert [event for event in outside.hear() if event[0] == "rarp"] == [("rarp", MACS["b"], None)]
        assert "tap-b" in links.read(world.place.namespace("esx3"), ("tap-",))
        lost = [when for token, when in sent.items() if not seen[token]]
        assert lost, "there is a gap"
        assert max(lost) - min(lost) < 1.0
        assert max(seen[token] for token in sent) == 1, "a duplicate"
        assert world.heard(("a", MACS["b"], {})) == [("b", None)]

    def test_counters_come_back(self, world):
        dvs = world.all(vim.DistributedVirtualSwitch)["dvs-c"]
        key = world.card("b").backing.port.portKey

        def received():
            (port,) = dvs.FetchDVPorts(vim.dvs.PortCriteria(portKey=[key]))
            return port.state.stats.packetsOutUnicast, port.state.stats.bytesOutUnicast

        time.sleep(1.2)
        packets, size = received()
        for _ in range(50):
            world.wire("a").say(MACS["b"])

        eventually(lambda: received()[0] >= packets + 50, seconds=5)
        assert received()[1] >= size + 50 * 60

    def test_a_restarted_vcenter_changes_nothing_and_is_followed_again(self, world):
        centre.restart_vcenter(world.place, world.topology)
        world.login()

        assert ("b", None) in world.heard(("a", ALL, {}))
        world.plug("a", "red")
        assert world.heard(("a", ALL, {})) == []

    def test_what_happened_while_the_emulator_was_dead_is_made_up_for(self, world):
        (emulator,) = (
            one
            for one in manifest.read(world.place.manifest).processes
            if one.what == centre.EMULATOR and process.alive(one.pid, one.start)
        )
        os.kill(emulator.pid, signal.SIGKILL)
        centre.control(world.place).set(vmotion_seconds=0)
        world.move("b", "esx3")
        assert ("b", None) in world.heard(("a", ALL, {})), "frames do not need it"

        centre.restart_emulator(world.place)

        eventually(lambda: "tap-b" in links.read(world.place.namespace("esx3"), ("tap-",)))
        world.settle()
        assert ("b", None) in world.heard(("a", ALL, {}))


POLICY = AppliancePolicy(
    template="anyvisor-appliance",
    management="dvs-c-Management",
    tunnel="dvs-c-Management",
    database="tcp:192.168.77.1:6640",
    datapath="system",
)
APPLIANCE = "av-esx2-1"


def deploy(world, name):
    """Clone an appliance from the template onto esx2, as anyvisor does it, and switch it on."""
    template = world.vm(POLICY.template)
    changes = []
    cards = [device for device in template.config.hardware.device if isinstance(device, Card)]
    groups, macs = (POLICY.management, POLICY.tunnel, "hears"), card_macs("", HostName("esx2"), 1).values()
    for card, group, mac in zip(cards, groups, macs, strict=True):
        target = world.group(group)
        uuid = target.config.distributedVirtualSwitch.uuid
        port = vim.dvs.PortConnection(switchUuid=uuid, portgroupKey=target.key)
        card.backing = Card.DistributedVirtualPortBackingInfo(port=port)
        card.addressType, card.macAddress = "manual", mac
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=card))
    host = Host(name=HostName("esx2"), hypervisor=Hypervisor.ESXI, tunnel_ip="192.168.77.22")
    data = base64.b64encode(appliance_user_data(host, POLICY).encode()).decode()
    options = {"guestinfo.userdata": data, "guestinfo.userdata.encoding": "base64"}
    config = vim.vm.ConfigSpec(
        deviceChange=changes, extraConfig=[vim.option.OptionValue(key=k, value=v) for k, v in options.items()]
    )
    host = world.host("esx2")
    where = vim.vm.RelocateSpec(host=host, pool=host.parent.resourcePool)
    spec = vim.vm.CloneSpec(location=where, config=config, powerOn=True)
    return world.done(template.CloneVM_Task(template.parent, name, spec))


class TestAppliance:
    def alive(self, world):
        return {
            one.what: one.pid
            for one in manifest.read(world.place.manifest).processes
            if one.part == APPLIANCE and process.alive(one.pid, one.start)
        }

    def test_it_boots_works_dies_boots_again_and_is_deleted(self, world):
        inside = world.place.namespace(APPLIANCE)
        everything = {"ovsdb-server", "ovs-vswitchd", "ovn-controller", "agent"}
        world.plug("a", "red")

        machine = deploy(world, APPLIANCE)
        eventually(lambda: self.alive(world).keys() >= everything, seconds=30)
        asked = ["ovsdb-client", "--timeout=10", "list-dbs", "tcp:192.168.77.1:6642"]
        said = subprocess.run(namespace.command(inside, asked), capture_output=True, text=True, check=True)
        assert "OVN_Southbound" in said.stdout
        wire = world.wire(APPLIANCE, "trunk0")
        assert world.heard(("a", STRANGER, {})) == [(APPLIANCE, 101)]
        assert "netplan apply\n" in (world.place.part(APPLIANCE) / "disk/runcmd").read_text()
        assert status.status(world.place)["appliances"] == {APPLIANCE: "on"}

        pids = set(self.alive(world).values())
        centre.control(world.place).vm(APPLIANCE, power="dies")
        eventually(lambda: not process.in_namespaces("net", {namespace.inode(inside)}), seconds=3)
        eventually(lambda: all(process.start_time(pid) is None for pid in pids), seconds=1)
        assert status.status(world.place)["state"] == "up"
        eventually(lambda: world.heard(("a", STRANGER, {}), settle=0.05) == [])

        world.done(machine.PowerOnVM_Task())
        eventually(lambda: self.alive(world).keys() >= everything, seconds=30)
        eventually(lambda: world.heard(("a", STRANGER, {}), settle=0.05) == [(APPLIANCE, 101)])

        world.done(machine.PowerOffVM_Task())
        world.done(machine.Destroy_Task())
        eventually(lambda: namespace.inode(inside) is None)
        wire.close()
        del world.wires[APPLIANCE]
        assert appliance.parts(world.place) == ()
        eventually(lambda: status.status(world.place)["state"] == "up", seconds=5)
        assert all(
            one["alive"] for one in status.status(world.place)["processes"] if one["part"] != "vcenter"
        )


def test_everything_shows_in_the_status_and_can_be_entered(whole):
    found = status.status(whole.place)
    argv = [
        sys.executable,
        "-m",
        "anyvisor",
        "lab",
        "exec",
        "--name",
        whole.place.name,
        "vcenter",
        "ip",
        "addr",
    ]

    assert found["state"] == "up"
    parts = {(one["part"], one["what"]) for one in found["processes"] if one["alive"]}
    assert {
        ("vcenter", "vcenter"),
        ("vcenter", "emulator"),
        ("vcenter", "doorway"),
        ("esx2", "ovs-vswitchd"),
    } <= parts
    assert "192.168.77.2/24" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_two_labs_side_by_side_have_doors_of_their_own_and_one_ends_without_a_trace(whole):
    with a_lab(f"ty{os.getpid()}") as other:
        assert centre.url(other.place, other.topology) != centre.url(whole.place, whole.topology)
        assert other.heard(("a", MACS["b"], {})) == [("b", None)]
        other.inner()
        other.make_group("hears", promiscuous=True, forged=True)
        deploy(other, APPLIANCE)
        eventually(lambda: status.status(other.place)["appliances"] == {APPLIANCE: "on"}, seconds=30)
        centre.end(other.place, centre.EMULATOR)
        prefix = other.place.namespace("")
        names = {entry.name for entry in namespace.FOLDER.iterdir() if entry.name.startswith(prefix)}
        pids = process.in_namespaces("net", {namespace.inode(name) for name in names})

    assert other.place.namespace(APPLIANCE) in names
    assert {entry.name for entry in namespace.FOLDER.iterdir()} & names == set()
    assert not [pid for pid in pids if process.start_time(pid) is not None]
    assert not other.place.folder.exists()
    assert status.status(whole.place)["state"] == "up"
