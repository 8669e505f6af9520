# SPDX-License-Identifier: Apache-2.0
"""What differs between the drivers of cards that switch, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Order(StrEnum):
    """What must be done first on a card, so that its functions get representors."""

    FUNCTIONS = "functions"
    """Make the virtual functions and unbind them, then set the mode."""
    MODE = "mode"
    """Set the mode while there are none, then make them."""
    EITHER = "either"
    FIXED = "fixed"
    """Its firmware decides the mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One kernel driver. `dpu`: cards of it can run a Linux of their own that drives the switch.

    `tells_mac`: devlink shows the address of each function; where it does not, that which was set at the physical
    function (``ip link set PF vf N mac``) is taken, which a DPU does not see.
    """

    maker: str
    dpu: bool
    order: Order
    tells_mac: bool
    source: str


VENDORS: Mapping[str, Vendor] = {
    "mlx5_core": Vendor(
        maker="NVIDIA ConnectX, BlueField",
        dpu=True,
        order=Order.FUNCTIONS,
        tells_mac=True,
        source="Linux: networking/device_drivers/ethernet/mellanox/mlx5/switchdev.rst; devlink-port.rst",
    ),
    "ice": Vendor(
        maker="Intel E810",
        dpu=False,
        order=Order.MODE,
        tells_mac=False,
        source="Linux: networking/device_drivers/ethernet/intel/ice.rst; drivers/net/ethernet/intel/ice/ice_eswitch.c",
    ),
    "bnxt_en": Vendor(
        maker="Broadcom NetXtreme-E",
        dpu=False,
        order=Order.FUNCTIONS,
        tells_mac=False,
        source="Linux: drivers/net/ethernet/broadcom/bnxt/bnxt_vfr.c",
    ),
    "nfp": Vendor(
        maker="Netronome, Corigine Agilio",
        dpu=False,
        order=Order.FIXED,
        tells_mac=False,
        source="Linux: networking/device_drivers/ethernet/netronome/nfp.rst",
    ),
    "netdevsim": Vendor(
        maker="the kernel's simulated card",
        dpu=False,
        order=Order.EITHER,
        tells_mac=False,
        source="Linux: drivers/net/netdevsim",
    ),
}
"""By the name of the kernel's driver. A card of another one is taken as its kernel shows it."""


def how_to_switch(driver: str, address: str) -> str:
    """What an operator does to a card in legacy mode, in words."""
    mode = f"devlink dev eswitch set {address} mode switchdev"
    match VENDORS[driver].order if driver in VENDORS else Order.EITHER:
        case Order.FUNCTIONS:
            return f"make its virtual functions, unbind them from their driver, then `{mode}`"
        case Order.MODE:
            return f"remove its virtual functions, `{mode}`, then make them again"
        case Order.FIXED:
            return "load the firmware that switches (flower)"
        case _:
            return f"`{mode}`"
