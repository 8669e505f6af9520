# SPDX-License-Identifier: Apache-2.0
"""The fake NSX is as strict as the API reference: a driver that passes against it has been held to something."""

from __future__ import annotations

import copy
import json

import pytest

from anyvisor.testing.nsx import FakeNsx
from anyvisor.testing.nsx.intent import DOMAIN, ZONES, Intent
from anyvisor.testing.nsx.refusing import RefusedError
from anyvisor.testing.nsx.server import PASSWORD, USER

GROUP = {"resource_type": "Group", "id": "g1", "expression": []}
RULE = {
    "resource_type": "Rule", "id": "r1", "action": "ALLOW", "source_groups": ["ANY"], "destination_groups": ["ANY"],
    "services": ["ANY"], "direction": "IN", "ip_protocol": "IPV4",
}  # fmt: skip
POLICY = {
    "resource_type": "SecurityPolicy",
    "id": "s1",
    "category": "Application",
    "scope": [f"{DOMAIN}/groups/g1"],
}
SEGMENT = {"resource_type": "Segment", "id": "n1", "vlan_ids": ["7"], "transport_zone_path": f"{ZONES}/vlans"}


def child(body, *children, gone=False):
    kind = body["resource_type"]
    inner = {**body, "children": list(children)} if children else body
    return {"resource_type": f"Child{kind}", "marked_for_delete": gone, kind: inner}


def infra(*children, domain=()):
    inside = {
        "resource_type": "ChildResourceReference", "id": "default", "target_type": "Domain", "children": list(domain),
    }  # fmt: skip
    return {"resource_type": "Infra", "children": [*children, *([inside] if domain else [])]}


@pytest.fixture
def intent():
    held = Intent()
    held.patch(infra(child(SEGMENT), domain=[child(GROUP), child(POLICY, child(RULE))]), revisions=True)
    return held


def refused(intent, body, *, revisions=False):
    before = copy.deepcopy(intent.objects)
    with pytest.raises(RefusedError) as caught:
        intent.patch(body, revisions=revisions)
    assert intent.objects == before
    return caught.value


def rule(**other):
    return infra(domain=[child(POLICY, child({**RULE, **other}))])


def test_one_call_makes_a_whole_tree(intent):
    assert f"{DOMAIN}/security-policies/s1/rules/r1" in intent.objects
    assert intent.objects["/infra/segments/n1"]["_revision"] == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (infra(child({**SEGMENT, "vlan": 7})), 'Unrecognized field "vlan"'),
        (infra(child({**SEGMENT, "vlan_ids": [7]})), "text is expected"),
        (infra(child({**SEGMENT, "vlan_ids": ["4095"]})), "0 to 4094"),
        (infra(child({**SEGMENT, "vlan_ids": []})), "needs vlan_ids"),
        (infra(child({**SEGMENT, "transport_zone_path": "/infra/x"})), "transport zone"),
        (infra(child({**SEGMENT, "id": "a/b"})), "not of the form"),
        (infra(child({**SEGMENT, "tags": [{"scope": "s", "tag": "t"}] * 31})), "31 items"),
        (infra(child({**SEGMENT, "display_name": "x" * 256})), "longer than 255"),
        (infra(child(GROUP)), "no child of Infra"),
        (infra(domain=[child({**GROUP, "expression": [{"resource_type": "Odd"}]})]), "none of Condition"),
        (rule(action="PERMIT"), "none of ALLOW"),
        (rule(source_groups=["ANY", "10.0.0.1"]), "only element"),
        (rule(source_groups=["10.0.0.256"]), "no address"),
        (rule(source_groups=["fd00::/64"]), "not of IPV4"),
        (rule(source_groups=[f"{DOMAIN}/groups/none"]), "there is no"),
        (rule(source_groups=["10.0.0.1"] * 129), "129 items"),
        (rule(service_entries=[{"resource_type": "ICMPTypeServiceEntry", "protocol": "ICMPv6"}]), "does not go with"),
        (
            rule(
                service_entries=[
                    {"resource_type": "L4PortSetServiceEntry", "l4_protocol": "TCP", "destination_ports": ["1-2"] * 8}
                ]
            ),
            "ranges count as 2",
        ),
        (infra(domain=[child({name: POLICY[name] for name in POLICY if name != "category"})]), "category is missing"),
        ({"resource_type": "Infra", "children": {}}, "a list"),
        (
            infra(domain=[child({**GROUP, "expression": [{"resource_type": "IPAddressExpression", "ip_addresses": []}]})]),
            "0 items",
        ),
        (
            infra(
                domain=[
                    child({
                        **GROUP,
                        "expression": [{"resource_type": "IPAddressExpression", "ip_addresses": ["10.0.0.1"] * 4001}],
                    })
                ]
            ),
            "4001 items",
        ),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_and_nothing_of_the_call_is_done(intent, body, said):
    error = refused(intent, body)

    assert error.status == 400
    assert said in str(error)
    assert error.body["error_code"]


def test_what_is_named_cannot_be_deleted_unless_what_names_it_goes_as_well(intent):
    gone = child({"resource_type": "Group", "id": "g1"}, gone=True)
    error = refused(intent, infra(domain=[gone]))
    assert (error.status, error.code) == (400, 500030)

    intent.patch(
        infra(domain=[gone, child({"resource_type": "SecurityPolicy", "id": "s1"}, gone=True)]),
        revisions=False,
    )
    assert not [path for path in intent.objects if path.startswith(DOMAIN)]


def test_a_segment_with_vnics_cannot_be_deleted(intent):
    intent.put("/infra/segments/n1/ports/p1", {"resource_type": "SegmentPort", "attachment": {"id": "v1"}})
    error = refused(intent, infra(child({"resource_type": "Segment", "id": "n1"}, gone=True)))

    assert (error.status, error.code) == (400, 503040)


def test_what_is_not_there_cannot_be_deleted_or_reached_through(intent):
    assert refused(intent, infra(child({"resource_type": "Segment", "id": "n2"}, gone=True))).status == 404
    away = {"resource_type": "ChildResourceReference", "id": "n2", "target_type": "Segment", "children": []}
    assert refused(intent, infra(away)).status == 404


@pytest.mark.parametrize("revision", [None, 1])
def test_a_wrong_revision_is_refused_where_revisions_are_checked(intent, revision):
    body = SEGMENT if revision is None else {**SEGMENT, "_revision": revision}
    assert refused(intent, infra(child(body)), revisions=True).status == 412
    intent.patch(infra(child({**SEGMENT, "_revision": 0})), revisions=True)
    assert intent.objects["/infra/segments/n1"]["_revision"] == 1
    with pytest.raises(RefusedError, match="revision"):
        intent.put("/infra/segments/n1", {**SEGMENT, "_revision": 0})


@pytest.mark.parametrize("partial", [False, True])
def test_a_patch_replaces_unless_partial_patches_are_on(intent, partial):
    intent.partial = partial
    intent.patch(infra(child({**SEGMENT, "description": "ours"})), revisions=False)
    intent.patch(infra(child(SEGMENT)), revisions=False)

    assert ("description" in intent.objects["/infra/segments/n1"]) is partial


def test_a_request_needs_the_cookie_and_the_token(tmp_path):
    nsx = FakeNsx(tmp_path)
    try:
        form = f"j_username={USER}&j_password={PASSWORD}".encode()
        _, headers, _ = nsx.answer("POST", "/api/session/create", {}, form)
        cookie, token = {"Cookie": headers["Set-Cookie"]}, {"X-XSRF-TOKEN": headers["X-XSRF-TOKEN"]}
        place = "/policy/api/v1/infra/segments"

        assert nsx.answer("GET", place, {**cookie, **token}, b"")[0] == 200
        assert nsx.answer("GET", place, cookie, b"")[0] == 403
        assert nsx.answer("GET", place, token, b"")[0] == 403
        assert nsx.answer("GET", "/policy/api/v1/infra/odd", {**cookie, **token}, b"")[0] == 404
        assert nsx.answer("PATCH", "/policy/api/v1/infra", {**cookie, **token}, b"{")[0] == 400
    finally:
        nsx.close()


def test_a_list_comes_in_pages(tmp_path):
    nsx = FakeNsx(tmp_path, page=2)
    try:
        _, headers, _ = nsx.answer(
            "POST", "/api/session/create", {}, f"j_username={USER}&j_password={PASSWORD}".encode()
        )
        session = {"Cookie": headers["Set-Cookie"], "X-XSRF-TOKEN": headers["X-XSRF-TOKEN"]}
        for number in range(5):
            nsx.intent.put(f"/infra/segments/n{number}", {**SEGMENT, "id": f"n{number}"})
        found, cursor, sizes = [], "", []
        while cursor is not None:
            target = f"/policy/api/v1/infra/segments?page_size=1000{cursor and '&cursor=' + cursor}"
            page = json.loads(json.dumps(nsx.answer("GET", target, session, b"")[2]))
            found += [each["id"] for each in page["results"]]
            sizes.append(len(page["results"]))
            cursor = page.get("cursor")
    finally:
        nsx.close()

    assert sorted(found) == [f"n{number}" for number in range(5)]
    assert sizes == [2, 2, 1, 0]
