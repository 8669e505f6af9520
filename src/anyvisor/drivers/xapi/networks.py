# SPDX-License-Identifier: Apache-2.0
"""Networks of ours: VLAN networks on the pool's cards, and that of the integration bridge, which XAPI does not manage.

A VLAN network is a network that says what it is to be, and a VLAN on the card of each host; it is laid host by host, so
that one who does not answer keeps nobody else from it. The bridge of an unmanaged network must be there on a host when
a VIF is plugged into it: the agent in dom0 makes it.

Source: xen-api, ocaml/xapi/xapi_network.ml, xapi_vlan.ml; unmanaged networks since XenServer 7.2.
"""

from __future__ import annotations

from anyvisor.drivers.xapi import names, plugging
from anyvisor.drivers.xapi.picture import Picture
from anyvisor.drivers.xapi.work import Work
from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import DropGroup, Group, MakeGroup

_DESCRIPTION = "made by anyvisor"


def make(work: Work, step: MakeGroup) -> None:
    """One that is there is completed."""
    group, picture = step.group, work.picture
    _check(group, picture)
    found = picture.networks_of(group.switch, group.name)
    if found and picture.ours[found[0]].vlan != group.vlan:
        raise RetryableError(f"{group.name} has another VLAN; it goes first")
    network = found[0] if found else _created(work, group)
    if found and picture.ours[network].key != group.key:
        doing = f"saying what {group.name} is for"
        work.session.write("network.remove_from_other_config", network, names.KEY, doing=doing)
        work.session.write("network.add_to_other_config", network, names.KEY, group.key, doing=doing)
    if group.vlan is None:
        return
    for host, pif in sorted(picture.lacking(network, group.switch).items()):
        doing = f"laying VLAN {group.vlan} of {group.name} on {picture.hosts.get(host, host)}"
        work.session.write("VLAN.create", pif, str(group.vlan), network, doing=doing)


def drop(work: Work, step: DropGroup) -> None:
    """One that is not there is no error.

    XAPI destroys VIFs that are not attached together with their network: so it must have none.
    """
    picture = work.picture
    found = picture.networks_of(step.switch, step.name)
    if not found and picture.foreign(step.switch, step.name):
        raise ForeignObjectError(f"{step.name} on {step.switch} is not ours")
    for network in found:
        for vif in work.session.read("network.get_VIFs", network, doing=f"who is on {step.name}"):
            plugging.vacate(work, str(vif), step.name)
        for pif in picture.pool.pifs_on(network):
            work.session.write(
                "VLAN.destroy", pif["VLAN_master_of"], doing=f"removing the VLAN of {step.name}"
            )
        work.session.write("network.destroy", network, doing=f"removing {step.name}")


def _check(group: Group, picture: Picture) -> None:
    if group.host is not None or group.trunk or group.entity:
        raise TerminalError(f"{group.name}: a pool has no such group")
    if picture.foreign(group.switch, group.name):
        raise ForeignObjectError(
            f"there is a network {group.name} on {group.switch} already that is not ours"
        )
    if group.vlan is None:
        other = picture.pool.sdn_controller
        if other:
            raise ForeignObjectError(
                f"the pool obeys another SDN controller ({other}), and XAPI admits one",
                hint="xe sdn-controller-forget, if that one is to go",
            )
    elif not picture.pool.bases(group.switch):
        raise RetryableError(f"there is no switch {group.switch} for {group.name}")


def _created(work: Work, group: Group) -> str:
    record = {
        "name_label": group.name,
        "name_description": _DESCRIPTION,
        "MTU": "1500",
        "other_config": names.marks(work.picture.owner, group.key, group.switch, group.vlan),
        "tags": [],
        **({} if group.vlan is not None else {"bridge": str(group.switch), "managed": False}),
    }
    return str(work.session.write("network.create", record, doing=f"making network {group.name}"))
