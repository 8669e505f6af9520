# SPDX-License-Identifier: Apache-2.0
"""Virtual functions as their physical function shows them: the address that was set for each (ip-link(8): vf)."""

from __future__ import annotations

from collections.abc import Mapping

from anyvisor.model.names import Mac
from anyvisor.netlink.links import Netlink, netlink

_WITH_FUNCTIONS = 1
"""RTEXT_FILTER_VF: a link is listed without its functions unless asked for."""
_NOBODY = "00:00:00:00:00:00"


def function_macs(device: str) -> Mapping[int, Mac]:
    """The address of each virtual function of that device, by its number; those without one are left out.

    A device that is not there has no functions.

    Raises:
        RetryableError, TerminalError: the kernel does not tell.
    """
    with netlink(f"read the virtual functions of {device}") as ip:
        found: dict[int, Mac] = {}
        for index in ip.link_lookup(ifname=device):
            for message in ip.link("get", index=index, ext_mask=_WITH_FUNCTIONS):
                found |= _functions(message)
        return found


def _functions(message: Netlink) -> dict[int, Mac]:
    listed = message.get_attr("IFLA_VFINFO_LIST")
    told = [each.get_attr("IFLA_VF_MAC") for each in listed.get_attrs("IFLA_VF_INFO")] if listed else []
    return {
        int(each["vf"]): Mac(str(each["mac"]).lower())
        for each in told
        if each is not None and each["mac"] != _NOBODY
    }
