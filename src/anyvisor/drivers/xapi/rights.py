# SPDX-License-Identifier: Apache-2.0
"""Which calls the account needs, and which it may not make. The table stands in docs/reference/xen.md, too.

Source: xen-api, ocaml/idl/datamodel.ml: `rbac_permissions` and `is_local_superuser` of a session.
"""

from __future__ import annotations

from anyvisor.drivers.xapi.session import Session
from anyvisor.model.estate import MissingRight

RIGHTS = (
    MissingRight("network.create", "make networks"),
    MissingRight("network.destroy", "remove networks of ours"),
    MissingRight("network.add_to_other_config", "say what a network of ours is for"),
    MissingRight("network.remove_from_other_config", "say what a network of ours is for"),
    MissingRight("VLAN.create", "lay the VLANs of networks on the hosts"),
    MissingRight("VLAN.destroy", "remove VLANs of ours"),
    MissingRight("VIF.move", "plug vNICs into networks"),
    MissingRight("VIF.add_to_other_config", "remember where a vNIC was, and name its port"),
    MissingRight("VIF.remove_from_other_config", "give vNICs back"),
    MissingRight("VIF.set_locking_mode", "lock vNICs to their addresses"),
    MissingRight("VIF.set_ipv4_allowed", "lock vNICs to their addresses"),
    MissingRight("VIF.set_ipv6_allowed", "lock vNICs to their addresses"),
)


def missing(session: Session) -> tuple[MissingRight, ...]:
    """Of a local superuser (root) XAPI lists nothing: it may do everything.

    Raises:
        AnyvisorError: as `Session.read`.
    """
    doing = "asking for our rights"
    if session.read("session.get_is_local_superuser", session.handle, doing=doing):
        return ()
    listed = session.read("session.get_rbac_permissions", session.handle, doing=doing)
    held = {str(each).lower() for each in listed}
    return tuple(right for right in RIGHTS if right.name.lower() not in held)
