# SPDX-License-Identifier: Apache-2.0
"""The pool that is none obeys the rules of a real one, as the vendor's own client sees them."""

import threading

import pytest
import XenAPI

from anyvisor.access.trust import trust
from anyvisor.drivers.xapi.endpoint import client
from anyvisor.testing.nsx.certificate import made
from anyvisor.testing.xapi.pool import Pool
from anyvisor.testing.xapi.server import PASSWORD, USER, FakeXapi
from anyvisor.testing.xapi.troubles import Trouble


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return made(tmp_path_factory.mktemp("xapi"))


@pytest.fixture
def xapi(tmp_path, certificate):
    pool = Pool()
    host = pool.add_host("xen1", "eth0", "eth1", bond=False)
    pool.add_host("xen2", "eth0", "eth1")
    pool.add_vm("vm1", host, pool.network("", "xenbr1"))
    server = FakeXapi(tmp_path, pool, certificate=certificate)
    yield server
    server.close()


@pytest.fixture
def session(xapi):
    session = client(xapi.address, trust(str(xapi.certificate.certificate)), 20.0)
    session.login_with_password(USER, PASSWORD, "1.0", "test")
    yield session
    session("close")()


@pytest.fixture
def api(session):
    return session.xenapi


@pytest.fixture
def network(api):
    return api.network.create({"name_label": "n", "other_config": {}, "MTU": "1500"})


def refused(call, *params):
    with pytest.raises(XenAPI.Failure) as caught:
        call(*params)
    return caught.value.details


def pif(xapi, host, device):
    (ref,) = xapi.pool.records.where("PIF", host=xapi.pool.named("host", host), device=device, physical=True)
    return ref


def test_a_login_that_is_none_is_refused(xapi):
    session = client(xapi.address, trust(str(xapi.certificate.certificate)), 20.0)

    assert refused(session.login_with_password, USER, "x")[0] == "SESSION_AUTHENTICATION_FAILED"
    session("close")()


def test_a_call_without_a_session_is_refused(xapi, session):
    xapi.end_sessions()
    session.last_login_method = ""

    with pytest.raises(Exception, match="401"):
        session.xenapi.host.get_all()


def test_what_it_does_not_know_is_refused(api):
    assert refused(api.VM.teleport, "x") == ["MESSAGE_METHOD_UNKNOWN", "VM.teleport"]
    assert refused(api.VIF.move, "x") == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VIF.move", "3", "2"]
    assert refused(api.VIF.get_record, "x") == ["HANDLE_INVALID", "VIF", "x"]
    assert refused(api.host.get_colour, "x")[0] == "HANDLE_INVALID"


def test_numbers_are_text(api):
    assert (
        refused(api.network.create, {"name_label": "n", "other_config": {}, "MTU": 1500})[0]
        == "FIELD_TYPE_ERROR"
    )


@pytest.mark.parametrize("bridge", ["xenbr9", "xapi9", "vif1", "tapx", "eth9", "a-name-of-sixteen"])
def test_bridges_of_certain_names_are_xapis_own(api, bridge):
    record = {"name_label": "n", "other_config": {}, "bridge": bridge, "managed": False}

    assert refused(api.network.create, record) == ["INVALID_VALUE", "bridge", bridge]


def test_a_bridge_has_one_network(api):
    record = {"name_label": "n", "other_config": {}, "bridge": "br-int", "managed": False}
    api.network.create(record)

    assert refused(api.network.create, record) == ["BRIDGE_NAME_EXISTS", "br-int"]


def test_a_network_that_is_in_use_stays(xapi, api, network):
    vif = xapi.pool.vif("vm1")
    api.VLAN.create(pif(xapi, "xen1", "eth1"), "20", network)
    api.VIF.move(vif, network)

    assert refused(api.network.destroy, network) == ["NETWORK_CONTAINS_VIF", vif]
    api.VIF.move(vif, xapi.pool.network("", "xenbr1"))
    assert refused(api.network.destroy, network)[0] == "NETWORK_CONTAINS_PIF"


def test_what_is_not_attached_is_destroyed_with_its_network(xapi, api, network):
    vm = xapi.pool.add_vm("halted", None, network)

    api.network.destroy(network)

    assert api.VM.get_VIFs(vm) == []


def test_vlans_obey_their_rules(xapi, api, network):
    card = pif(xapi, "xen1", "eth1")
    other = api.network.create({"name_label": "m", "other_config": {}})
    unmanaged = api.network.create(
        {"name_label": "u", "other_config": {}, "bridge": "br-int", "managed": False}
    )
    vlan = api.VLAN.create(card, "20", network)

    assert refused(api.VLAN.create, card, "20", other) == ["PIF_VLAN_EXISTS", "eth1"]
    assert refused(api.VLAN.create, card, "21", network)[0] == "NETWORK_ALREADY_CONNECTED"
    assert refused(api.VLAN.create, card, "4095", other) == ["VLAN_TAG_INVALID", "4095"]
    assert refused(api.VLAN.create, card, "22", unmanaged)[0] == "NETWORK_UNMANAGED"
    assert refused(api.VLAN.create, api.VLAN.get_untagged_PIF(vlan), "23", other)[0] == "PIF_IS_VLAN"

    api.VIF.move(xapi.pool.vif("vm1"), network)
    assert refused(api.VLAN.destroy, vlan)[0] == "VIF_IN_USE"


def test_bonded_cards_carry_no_vlans_of_their_own(xapi, api):
    host = xapi.pool.add_host("xen3", "eth0", "eth1", "eth2", bond=True)
    network = api.network.create({"name_label": "n", "other_config": {}})
    slave = pif(xapi, "xen3", "eth1")

    assert refused(api.VLAN.create, slave, "20", network) == ["CANNOT_ADD_VLAN_TO_BOND_SLAVE", slave]
    (bond,) = xapi.pool.records.where("PIF", host=host, device="bond0")
    api.VLAN.create(bond, "20", network)


def test_a_vif_moves_only_to_what_its_host_has(xapi, api, network):
    api.VLAN.create(pif(xapi, "xen2", "eth1"), "20", network)

    assert refused(api.VIF.move, xapi.pool.vif("vm1"), network)[0] == "HOST_CANNOT_ATTACH_NETWORK"
    assert xapi.pool.wire("vm1").bridge == "xenbr1"


def test_where_a_bridge_is_missing_the_database_is_ahead_of_the_device(xapi, api):
    unmanaged = api.network.create(
        {"name_label": "u", "other_config": {}, "bridge": "br-int", "managed": False}
    )
    vif = xapi.pool.vif("vm1")

    assert refused(api.VIF.move, vif, unmanaged) == ["BRIDGE_NOT_AVAILABLE", "br-int"]

    assert (api.VIF.get_network(vif), xapi.pool.wire("vm1").bridge) == (unmanaged, "xenbr1")


def test_the_interface_gets_the_identity_that_is_known_when_it_is_plugged(xapi, api):
    vif, guests = xapi.pool.vif("vm1"), xapi.pool.network("", "xenbr1")

    api.VIF.add_to_other_config(vif, "nicira-iface-id", "port1")
    assert xapi.pool.wire("vm1").iface == api.VIF.get_uuid(vif)
    api.VIF.move(vif, guests)

    assert xapi.pool.wire("vm1").iface == "port1"


def test_a_key_stands_once_in_a_map(xapi, api):
    vif = xapi.pool.vif("vm1")
    api.VIF.add_to_other_config(vif, "k", "v")

    assert refused(api.VIF.add_to_other_config, vif, "k", "w") == [
        "MAP_DUPLICATE_KEY",
        "VIF",
        "other_config",
        vif,
        "k",
    ]
    api.VIF.remove_from_other_config(vif, "k")
    api.VIF.remove_from_other_config(vif, "k")
    assert api.VIF.get_other_config(vif) == {}


def test_there_is_one_other_sdn_controller_and_it_forbids_locks(xapi, api):
    ref = api.SDN_controller.introduce("pssl", "", "0")
    vif = xapi.pool.vif("vm1")

    assert refused(api.SDN_controller.introduce, "ssl", "192.0.2.9", "6640")[0] == "OPERATION_NOT_ALLOWED"
    assert refused(api.VIF.set_locking_mode, vif, "locked")[0] == "OPERATION_NOT_ALLOWED"
    api.SDN_controller.forget(ref)
    api.VIF.set_locking_mode(vif, "locked")


def test_a_lock_lets_the_named_addresses_pass(xapi, api):
    vif = xapi.pool.vif("vm1")
    api.VIF.set_ipv4_allowed(vif, ["10.1.0.11"])
    api.VIF.set_locking_mode(vif, "locked")

    assert xapi.pool.wire("vm1").addresses == ("10.1.0.11",)
    assert xapi.pool.wire("vm1").direct
    assert refused(api.VIF.set_ipv6_allowed, vif, ["10.1.0.11"])[0] == "INVALID_IP_ADDRESS_SPECIFIED"
    assert refused(api.VIF.set_locking_mode, vif, "shut")[0] == "FIELD_TYPE_ERROR"
    api.VIF.set_locking_mode(vif, "disabled")
    assert xapi.pool.wire("vm1") is None


def test_a_licence_may_forbid_locks(tmp_path, certificate):
    pool = Pool(restricted=True)
    pool.add_vm("vm1", pool.add_host("xen1", "eth0"), pool.network("", "xenbr0"))
    xapi = FakeXapi(tmp_path, pool, certificate=certificate)
    session = client(xapi.address, trust(str(certificate.certificate)), 20.0)
    session.login_with_password(USER, PASSWORD)

    assert refused(session.xenapi.VIF.set_locking_mode, pool.vif("vm1"), "locked")[0] == "LICENCE_RESTRICTION"
    session("close")()
    xapi.close()


def events(session, classes, token, seconds):
    return session.xenapi_request("event.from", (classes, token, seconds))


def test_an_empty_token_gives_everything_and_then_what_changed(xapi, session, api):
    first = events(session, ["VIF", "network"], "", 0.0)
    assert {(each["class"], each["operation"]) for each in first["events"]} == {
        ("vif", "add"),
        ("network", "add"),
    }

    vif = xapi.pool.vif("vm1")
    api.VIF.add_to_other_config(vif, "k", "v")
    api.VIF.remove_from_other_config(vif, "k")
    second = events(session, ["VIF", "network"], first["token"], 5.0)

    assert [(each["operation"], each["ref"]) for each in second["events"]] == [("mod", vif)]
    assert second["events"][0]["snapshot"]["other_config"] == {}
    assert events(session, ["VIF"], second["token"], 0.0)["events"] == []


def test_what_comes_and_goes_between_two_questions_is_not_told(session, api):
    token = events(session, ["network"], "", 0.0)["token"]
    gone = api.network.create({"name_label": "n", "other_config": {}})
    kept = api.network.create({"name_label": "m", "other_config": {}})
    api.network.destroy(gone)
    told = events(session, ["network"], token, 0.0)
    assert [(each["operation"], each["ref"]) for each in told["events"]] == [("add", kept)]

    api.network.destroy(kept)
    told = events(session, ["network"], told["token"], 0.0)
    assert [(each["operation"], each["ref"]) for each in told["events"]] == [("del", kept)]


def test_who_waits_hears_of_the_next_change(xapi, session):
    token = events(session, ["VM"], "", 0.0)["token"]
    vm = xapi.pool.named("VM", "vm1")
    threading.Timer(0.1, lambda: xapi.pool.power(vm, None)).start()

    told = events(session, ["VM"], token, 20.0)

    assert [each["snapshot"]["power_state"] for each in told["events"]] == ["Halted"]


def test_an_old_token_is_refused(xapi, session):
    token = events(session, ["VM"], "", 0.0)["token"]
    xapi.forget_events()

    assert refused(events, session, ["VM"], token, 0.0) == ["EVENTS_LOST"]
    assert refused(events, session, ["VM"], "x", 0.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", "x"]


def test_troubles_strike_when_they_are_told_to(xapi, api):
    xapi.troubles.add(Trouble(kind="refuse", method="network.get_all", at=2, code=("HOST_OFFLINE", "x")))

    api.network.get_all()
    assert refused(api.network.get_all) == ["HOST_OFFLINE", "x"]
    api.network.get_all()
