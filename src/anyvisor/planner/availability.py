# SPDX-License-Identifier: Apache-2.0
"""Which drivers carry a scheme out on a hypervisor, and which of them this release has. The only place to edit."""

from __future__ import annotations

from collections.abc import Mapping

from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.planner.facts import traits

BUILT: frozenset[str] = frozenset(
    {"ovn", "openvswitch", "linuxbridge", "libvirt", "vsphere", "nsx", "xl", "xapi", "smartnic"}
)
"""The packages under ``drivers/`` of this release."""

_KVM = Hypervisor.KVM
_ESXI = Hypervisor.ESXI
_XEN = Hypervisor.XEN

_WITH_BRIDGES = frozenset({Scheme.SEPARATION, Scheme.SUBSTITUTION})
"""The schemes in which a dom0 under xl keeps, or hands over, the Linux bridges that XAPI would make by itself."""

NEEDS: Mapping[tuple[Hypervisor, Scheme], tuple[str, ...]] = {
    (_KVM, Scheme.BASELINE): ("ovn", "openvswitch"),
    (_KVM, Scheme.SEPARATION): ("ovn", "linuxbridge"),
    (_KVM, Scheme.SUBSTITUTION): ("ovn", "openvswitch", "linuxbridge"),
    (_KVM, Scheme.APPLIANCE): ("ovn", "openvswitch", "appliance"),
    (_KVM, Scheme.NIC): ("ovn", "openvswitch", "smartnic"),
    (_ESXI, Scheme.VENDOR): ("ovn", "vsphere"),
    (_ESXI, Scheme.SEPARATION): ("ovn", "vsphere"),
    (_ESXI, Scheme.APPLIANCE): ("ovn", "openvswitch", "vsphere"),
    (_ESXI, Scheme.NIC): ("ovn", "openvswitch", "vsphere", "smartnic"),
    (_XEN, Scheme.BASELINE): ("ovn", "openvswitch"),
    (_XEN, Scheme.SEPARATION): ("ovn",),
    (_XEN, Scheme.SUBSTITUTION): ("ovn", "openvswitch"),
    (_XEN, Scheme.APPLIANCE): ("ovn", "openvswitch"),
    (_XEN, Scheme.NIC): ("ovn", "openvswitch", "smartnic"),
}
"""What does not stand here is impossible anyway. Xen's toolstack driver and NSX join by the host's facts."""


def needed(host: Host, scheme: Scheme) -> tuple[str, ...]:
    """The drivers that carry `scheme` out on that host."""
    drivers = NEEDS.get((host.hypervisor, scheme), ())
    if host.hypervisor is _XEN and drivers:
        toolstack = traits.toolstack(host)
        if scheme is Scheme.APPLIANCE:
            return (*drivers, *_between(host, toolstack), toolstack)
        bridged = toolstack == "xl" and scheme in _WITH_BRIDGES
        return (*drivers, *(("linuxbridge",) if bridged else ()), toolstack)
    if scheme is Scheme.VENDOR and traits.owned_by_nsx(host):
        return (*drivers, "nsx")
    return drivers


def _between(host: Host, toolstack: str) -> tuple[str, ...]:
    """What keeps the vNICs of a Xen host apart before its appliance: the agent in dom0, or where nothing of ours may
    run there, a driver domain that is the appliance itself."""
    if toolstack != "xl":
        return ("appliance",)
    return () if traits.switched_by_domain(host) else ("linuxbridge",)


def missing(host: Host, scheme: Scheme) -> tuple[str, ...]:
    """Those of them that this release does not have."""
    return tuple(driver for driver in needed(host, scheme) if driver not in BUILT)
