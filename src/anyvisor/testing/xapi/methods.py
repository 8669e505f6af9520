# SPDX-License-Identifier: Apache-2.0
"""The calls that the pool knows, each with its arguments after the session and what it refuses."""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Callable
from typing import Any

from anyvisor.testing.xapi.pool import Pool
from anyvisor.testing.xapi.records import CLASSES, NULL
from anyvisor.testing.xapi.refusing import RefusedError

BRIDGE_BLACKLIST = ("xen", "xapi", "vif", "tap", "eth")
_NETWORK = {"name_label", "name_description", "MTU", "other_config", "bridge", "managed", "tags"}
_NEEDED = {"name_label", "other_config"}
_MODES = ("network_default", "locked", "unlocked", "disabled")


class Methods:
    """`half` is set by the server for a call that is to fail after the database was written."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.half: RefusedError | None = None
        self._known: dict[str, Callable[..., Any]] = {
            "network.create": self._network_create,
            "network.destroy": self._network_destroy,
            "network.set_default_locking_mode": self._network_default,
            "VLAN.create": self._vlan_create,
            "VLAN.destroy": self._vlan_destroy,
            "VIF.move": self._vif_move,
            "VIF.set_locking_mode": self._vif_mode,
            "VIF.set_ipv4_allowed": lambda vif, value: self._vif_allowed(vif, 4, value),
            "VIF.set_ipv6_allowed": lambda vif, value: self._vif_allowed(vif, 6, value),
            "SDN_controller.introduce": self._introduce,
            "SDN_controller.forget": self._forget,
        }
        for kind in ("network", "VIF"):
            self._known[f"{kind}.add_to_other_config"] = _bound(self._add_key, kind)
            self._known[f"{kind}.remove_from_other_config"] = _bound(self._remove_key, kind)
        for kind in CLASSES:
            self._known[f"{kind}.get_all"] = _bound(self._all, kind)
            self._known[f"{kind}.get_all_records"] = _bound(self._all_records, kind)
            self._known[f"{kind}.get_record"] = _bound(self._record, kind)
            self._known[f"{kind}.get_by_uuid"] = _bound(self._by_uuid, kind)

    def call(self, method: str, params: tuple[Any, ...]) -> Any:
        """Carry it out.

        Raises:
            RefusedError: as XAPI refuses it.
        """
        known = self._known.get(method) or self._getter(method)
        if known is None:
            raise RefusedError("MESSAGE_METHOD_UNKNOWN", method)
        expected = len(inspect.signature(known).parameters)
        if expected != len(params):
            # XAPI counts the session among the arguments.
            counts = (str(expected + 1), str(len(params) + 1))
            raise RefusedError("MESSAGE_PARAMETER_COUNT_MISMATCH", method, *counts)
        return known(*params)

    def _getter(self, method: str) -> Callable[..., Any] | None:
        kind, _, name = method.partition(".get_")
        if kind not in CLASSES or not name:
            return None

        def read(ref: str) -> Any:
            shown = self.pool.records.shown(kind, ref)
            if name not in shown:
                raise RefusedError("MESSAGE_METHOD_UNKNOWN", method)
            return shown[name]

        return read

    # --- any class ----------------------------------------------------------------------------------------------------

    def _all(self, kind: str) -> list[str]:
        return list(self.pool.records.rows(kind))

    def _all_records(self, kind: str) -> dict[str, Any]:
        return {ref: self.pool.records.shown(kind, ref) for ref in self.pool.records.rows(kind)}

    def _record(self, kind: str, ref: str) -> dict[str, Any]:
        return self.pool.records.shown(kind, ref)

    def _by_uuid(self, kind: str, uuid: str) -> str:
        found = self.pool.records.where(kind, uuid=uuid)
        if not found:
            raise RefusedError("UUID_INVALID", kind, uuid)
        return found[0]

    def _add_key(self, kind: str, ref: str, key: str, value: str) -> str:
        _text(key, value)
        held = self.pool.records.row(kind, ref)["other_config"]
        if key in held:
            raise RefusedError("MAP_DUPLICATE_KEY", kind, "other_config", ref, key)
        self.pool.records.change(kind, ref, other_config={**held, key: value})
        return ""

    def _remove_key(self, kind: str, ref: str, key: str) -> str:
        """One that is not there is no error."""
        held = self.pool.records.row(kind, ref)["other_config"]
        self.pool.records.change(kind, ref, other_config={k: v for k, v in held.items() if k != key})
        return ""

    # --- networks -----------------------------------------------------------------------------------------------------

    def _network_create(self, record: Any) -> str:
        if not isinstance(record, dict) or not record.keys() <= _NETWORK or not record.keys() >= _NEEDED:
            raise RefusedError("FIELD_TYPE_ERROR", "record")
        _text(record["name_label"], record.get("MTU", "1500"), record.get("bridge", ""))
        bridge = record.get("bridge", "")
        taken = {row["bridge"] for row in self.pool.records.rows("network").values()}
        if bridge and (len(bridge) > 15 or bridge.startswith(BRIDGE_BLACKLIST)):
            raise RefusedError("INVALID_VALUE", "bridge", bridge)
        if bridge in taken:
            raise RefusedError("BRIDGE_NAME_EXISTS", bridge)
        if not bridge:
            bridge = next(name for n in range(10_000) if (name := f"xapi{n}") not in taken)
        ref = self.pool.add_network(record["name_label"], bridge, managed=record.get("managed", True))
        self.pool.records.change("network", ref, other_config=dict(record["other_config"]))
        self._break()
        return ref

    def _network_destroy(self, network: str) -> str:
        """VIFs that are not attached are destroyed with it, as XAPI does."""
        records = self.pool.records
        records.row("network", network)
        vifs = records.where("VIF", network=network)
        attached = [vif for vif in vifs if records.row("VIF", vif)["currently_attached"]]
        if attached:
            raise RefusedError("NETWORK_CONTAINS_VIF", *attached)
        if pifs := records.where("PIF", network=network):
            raise RefusedError("NETWORK_CONTAINS_PIF", *pifs)
        for vif in vifs:
            records.remove("VIF", vif)
        records.remove("network", network)
        return ""

    def _network_default(self, network: str, mode: str) -> str:
        if mode not in ("unlocked", "disabled"):
            raise RefusedError("FIELD_TYPE_ERROR", "value")
        for vif in self.pool.records.where("VIF", network=network, currently_attached=True):
            raise RefusedError("VIF_IN_USE", network, vif)
        self.pool.records.change("network", network, default_locking_mode=mode)
        return ""

    def _vlan_create(self, tagged: str, tag: str, network: str) -> str:
        records = self.pool.records
        _text(tag)
        if not records.row("network", network)["managed"]:
            raise RefusedError("NETWORK_UNMANAGED", network)
        pif = records.row("PIF", tagged)
        host = pif["host"]
        if other := records.where("PIF", network=network, host=host):
            raise RefusedError("NETWORK_ALREADY_CONNECTED", host, other[0])
        if pif["VLAN"] != "-1":
            raise RefusedError("PIF_IS_VLAN", tagged)
        if pif["bond_slave_of"] != NULL:
            raise RefusedError("CANNOT_ADD_VLAN_TO_BOND_SLAVE", tagged)
        if not (tag.isdigit() and 0 <= int(tag) <= 4094):
            raise RefusedError("VLAN_TAG_INVALID", tag)
        if records.where("VLAN", tagged_PIF=tagged, tag=tag):
            raise RefusedError("PIF_VLAN_EXISTS", pif["device"])
        self._reached(host)
        untagged = self.pool.add_pif(
            host, network, pif["device"], VLAN=tag, currently_attached=False, metrics=pif["metrics"]
        )
        vlan = records.add(
            "VLAN", {"tagged_PIF": tagged, "untagged_PIF": untagged, "tag": tag, "other_config": {}}
        )
        records.change("PIF", untagged, VLAN_master_of=vlan)
        self._break()
        records.change("PIF", untagged, currently_attached=True)
        return vlan

    def _vlan_destroy(self, vlan: str) -> str:
        records = self.pool.records
        pif = records.row("VLAN", vlan)["untagged_PIF"]
        row = records.row("PIF", pif)
        self._reached(row["host"])
        for vif in records.where("VIF", network=row["network"], currently_attached=True):
            if records.row("VM", records.row("VIF", vif)["VM"])["resident_on"] == row["host"]:
                raise RefusedError("VIF_IN_USE", row["network"], vif)
        records.change("PIF", pif, currently_attached=False)
        self._break()
        records.remove("VLAN", vlan)
        records.remove("PIF", pif)
        return ""

    # --- VIFs ---------------------------------------------------------------------------------------------------------

    def _vif_move(self, vif: str, network: str) -> str:
        """The database first, as XAPI does it; the device only if that can be done."""
        records = self.pool.records
        row = records.row("VIF", vif)
        target = records.row("network", network)
        active = row["currently_attached"]
        host = records.row("VM", row["VM"])["resident_on"]
        pifs = [records.row("PIF", pif) for pif in records.where("PIF", network=network)]
        if active and pifs and host not in {pif["host"] for pif in pifs}:
            raise RefusedError("HOST_CANNOT_ATTACH_NETWORK", host, network)
        if active and any(pif["sriov_logical_PIF_of"] for pif in pifs):
            raise RefusedError(
                "INTERNAL_ERROR", f"vif_move: Unable to move a network SR-IOV backed VIF {vif}"
            )
        records.change("VIF", vif, network=network)
        self._break()
        if active:
            self._reached(host)
            if not target["managed"] and target["bridge"] not in self.pool.dom0[host].bridges:
                raise RefusedError("BRIDGE_NOT_AVAILABLE", target["bridge"])
        self.pool.plug(vif)
        return ""

    def _vif_mode(self, vif: str, mode: str) -> str:
        if mode not in _MODES:
            raise RefusedError("FIELD_TYPE_ERROR", "value")
        row = self.pool.records.row("VIF", vif)
        if self.pool.locking({**row, "locking_mode": mode})[0] == "locked":
            if self.pool.records.rows("SDN_controller"):
                raise RefusedError("OPERATION_NOT_ALLOWED", "A vswitch controller is active")
            self._licensed()
        self.pool.records.change("VIF", vif, locking_mode=mode)
        self._break()
        self.pool.plug(vif)
        return ""

    def _vif_allowed(self, vif: str, family: int, value: list[str]) -> str:
        self.pool.records.row("VIF", vif)
        if value:
            self._licensed()
        for address in value:
            try:
                fits = ipaddress.ip_address(address).version == family
            except ValueError:
                fits = False
            if not fits:
                raise RefusedError("INVALID_IP_ADDRESS_SPECIFIED", f"ipv{family}_allowed")
        self.pool.records.change("VIF", vif, **{f"ipv{family}_allowed": sorted(set(value))})
        self._break()
        self.pool.plug(vif)
        return ""

    def _licensed(self) -> None:
        if self.pool.records.row("pool", self.pool.ref)["restrictions"]["restrict_vif_locking"] == "true":
            raise RefusedError("LICENCE_RESTRICTION", "VIF_locking")

    # --- another SDN controller ---------------------------------------------------------------------------------------

    def _introduce(self, protocol: str, address: str, port: str) -> str:
        if self.pool.backend != "openvswitch":
            raise RefusedError("OPERATION_NOT_ALLOWED", "host not configured for vswitch operation")
        if self.pool.records.rows("SDN_controller"):
            raise RefusedError(
                "OPERATION_NOT_ALLOWED", "SDN controller has been configured. Please forget it first."
            )
        if protocol not in ("ssl", "pssl"):
            raise RefusedError("FIELD_TYPE_ERROR", "protocol")
        if protocol == "pssl" and address:
            raise RefusedError("INVALID_VALUE", "address", address)
        if protocol == "pssl" and port != "0":
            raise RefusedError("INVALID_VALUE", "port", port)
        if protocol == "ssl" and not address:
            raise RefusedError("INVALID_VALUE", "address", address)
        number = "6632" if protocol == "ssl" and port == "0" else port
        return self.pool.records.add(
            "SDN_controller", {"protocol": protocol, "address": address, "port": number}
        )

    def _forget(self, ref: str) -> str:
        self.pool.records.remove("SDN_controller", ref)
        return ""

    # --- small parts --------------------------------------------------------------------------------------------------

    def _reached(self, host: str) -> None:
        metrics = self.pool.records.row("host", host)["metrics"]
        if not self.pool.records.row("host_metrics", metrics)["live"]:
            raise RefusedError("HOST_OFFLINE", host)

    def _break(self) -> None:
        half, self.half = self.half, None
        if half is not None:
            raise half


def _bound(method: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """The method for one class; its signature is what remains."""
    parameters = list(inspect.signature(method).parameters.values())[1:]

    def call(*params: Any) -> Any:
        return method(kind, *params)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _text(*values: Any) -> None:
    """XAPI takes whole numbers as text, as it gives them."""
    if not all(isinstance(value, str) for value in values):
        raise RefusedError("FIELD_TYPE_ERROR", "value")
