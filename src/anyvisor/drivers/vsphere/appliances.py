# SPDX-License-Identifier: Apache-2.0
"""Appliance VMs: cloned from a template, pinned to their host, switched on, fenced, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyvisor.drivers.vsphere import clones, lookup, names, pins, plugging
from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.folders import datacenter_folder
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.records import HostRecord, Place, VmRecord
from anyvisor.drivers.vsphere.session import Open
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import AnyvisorError, ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import Deploy, Fence, Pin, Remove, Start
from anyvisor.model.names import Mac

_EXTENSION_PATH = "extensionList"
_TRUNK = "trunk"
"""The card that carries a VLAN per vNIC, among the MACs of an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A clone to be made, checked."""

    step: Deploy
    template: VmRecord
    host: HostRecord
    places: tuple[Place, ...]
    macs: tuple[Mac | None, ...]


def deploy(work: Work, steps: Sequence[Deploy]) -> None:
    """Clone what is missing, pin all of them, switch them on. Those before one that is refused are there."""
    orders: list[_Order] = []
    admitted: list[Deploy] = []
    refusal: AnyvisorError | None = None
    for step in steps:
        try:
            order = _checked(work, step)
        except AnyvisorError as error:
            refusal = error
            break
        admitted.append(step)
        orders.extend([] if order is None else [order])
    if orders:
        _clone(work, orders)
    made = [vm for step in admitted if (vm := lookup.appliance(work.picture, step.key)) is not None]
    pins.pin(work, made)
    work.run(_start_job(vm) for vm in made)
    if refusal is not None:
        raise refusal


def _checked(work: Work, step: Deploy) -> _Order | None:
    picture = work.picture
    there = lookup.appliance(picture, step.key)
    if there is not None:
        if not there.running:
            _check_can_start(picture.hosts[there.host])
        return None
    host = lookup.host_named(picture, step.host)
    if not picture.vcenter:
        raise TerminalError(
            f"{step.host}: a host without a vCenter cannot clone a template",
            hint=f"make the VM by hand, with anyvisor.owner = {work.owner} and anyvisor.key = {step.key}"
            " among its advanced parameters",
        )
    template = next((vm for vm in picture.vms.values() if vm.template and vm.name == step.template), None)
    if template is None:
        raise TerminalError(f"there is no template {step.template}")
    if any(vm.name == step.vm for vm in picture.vms.values()):
        raise ForeignObjectError(f"there is a VM {step.vm} already, that is not ours")
    _check_can_start(host)
    networks = [_operators_place(work, host, name) for name in step.networks.values()]
    trunk = plugging.target_place(picture, host, step.switch, step.trunk_group)
    macs = tuple(step.macs.get(card) for card in (*step.networks, _TRUNK))
    return _Order(step=step, template=template, host=host, places=(*networks, trunk), macs=macs)


def _check_can_start(host: HostRecord) -> None:
    lookup.answering(host)
    if host.maintenance:
        raise RetryableError(f"{host.name} is in maintenance")


def _operators_place(work: Work, host: HostRecord, name: str) -> Place:
    for group in lookup.groups_named(work.picture, name):
        switch = work.picture.switches.get(group.switch)
        if switch is not None and host.key in switch.members and not group.nsx and not group.uplink:
            return Place(switch=switch.uuid, group=group.key)
    if name in host.groups:
        return Place(network=name)
    raise TerminalError(f"there is no group {name} on {host.name}")


def _clone(work: Work, orders: Sequence[_Order]) -> None:
    managed = work.session.read(_has_extension, "reading the extensions")
    refused: ForeignObjectError | None = None
    try:
        work.run(_clone_job(work.owner, order, managed=managed) for order in orders)
    except ForeignObjectError as error:
        refused = error  # it may be ours: made by a call whose answer was lost
    work.refresh()
    for order in orders:
        if lookup.appliance(work.picture, order.step.key) is None:
            raise refused or RetryableError(f"appliance {order.step.key} is not shown yet")


def _has_extension(opened: Open) -> bool:
    manager = opened.content.extensionManager
    if manager is None:
        return False
    key = str(key_of(manager))
    found = properties(opened, vim.ExtensionManager, [key], (_EXTENSION_PATH,)).get(key, {})
    return any(each.key == names.EXTENSION for each in found.get(_EXTENSION_PATH, ()))


def _clone_job(owner: str, order: _Order, *, managed: bool) -> Job:
    def start(opened: Open) -> Any:
        host = opened.object(vim.HostSystem, order.host.key)
        template = _read(opened, order.template.key, ("config.hardware.device", "datastore"))
        where = clones.location(
            host,
            pool=_pool(opened, order.host),
            datastore=clones.datastore(_datastores(opened, order.host.key), template.get("datastore") or ()),
        )
        spec = clones.clone_spec(
            owner,
            order.step,
            where,
            clones.card_changes(template.get("config.hardware.device") or (), order.places, order.macs),
            managed=managed,
        )
        folder = datacenter_folder(opened, host, "vmFolder")
        return opened.object(vim.VirtualMachine, order.template.key).CloneVM_Task(folder, order.step.vm, spec)

    return Job(f"cloning {order.step.vm} from {order.step.template}", start)


def _read(opened: Open, key: str, paths: tuple[str, ...]) -> Mapping[str, Any]:
    return properties(opened, vim.VirtualMachine, [key], paths).get(key, {})


def _pool(opened: Open, host: HostRecord) -> Any:
    found = properties(opened, vim.ComputeResource, [host.parent], ("resourcePool",))
    return found.get(host.parent, {}).get("resourcePool")


def _datastores(opened: Open, host: str) -> dict[str, Any]:
    """Those of a host, with their summaries."""
    listed = properties(opened, vim.HostSystem, [host], ("datastore",)).get(host, {}).get("datastore") or ()
    found = properties(opened, vim.Datastore, [str(key_of(each)) for each in listed], ("summary",))
    return {key: values["summary"] for key, values in found.items() if "summary" in values}


# --- afterwards -------------------------------------------------------------------------------------------------------


def pin(work: Work, steps: Sequence[Pin]) -> None:
    """Let their hosts or clusters hold them, as far as these do not."""
    pins.pin(work, [_known(work, step.key) for step in steps])


def start(work: Work, step: Start) -> None:
    """Switch it on."""
    vm = _known(work, step.key)
    if not vm.running:
        _check_can_start(work.picture.hosts[vm.host])
    work.run([_start_job(vm)])


def _start_job(vm: VmRecord) -> Job:
    def begin(opened: Open) -> Any:
        state = _read(opened, vm.key, ("runtime.powerState",)).get("runtime.powerState")
        return (
            None if str(state) == "poweredOn" else opened.object(vim.VirtualMachine, vm.key).PowerOnVM_Task()
        )

    return Job(f"switching {vm.name} on", begin)


def remove(work: Work, step: Remove) -> None:
    """Switch it off and delete it; one that is not there is no error."""
    vm = lookup.appliance(work.picture, step.key)
    if vm is None:
        return
    lookup.answering(work.picture.hosts[vm.host])
    pins.unpin(work, vm)

    def off(opened: Open) -> Any:
        state = _read(opened, vm.key, ("runtime.powerState",)).get("runtime.powerState", "poweredOff")
        return (
            None
            if str(state) == "poweredOff"
            else opened.object(vim.VirtualMachine, vm.key).PowerOffVM_Task()
        )

    def delete(opened: Open) -> Any:
        return opened.object(vim.VirtualMachine, vm.key).Destroy_Task()

    work.run([Job(f"switching {vm.name} off", off)])
    work.run([Job(f"deleting {vm.name}", delete)])


def fence(work: Work, step: Fence) -> None:
    """Disconnect its trunk, or connect it again, for now and for its next start."""
    if step.off and lookup.appliance(work.picture, step.key) is None:
        return
    vm = _known(work, step.key)
    trunk = work.picture.trunk_of(vm)
    if trunk is None:
        raise TerminalError(f"appliance {step.key} has no trunk")
    wanted = not step.off

    def edit(device: Any, options: Mapping[str, str], change: plugging.Change) -> None:  # noqa: ARG001 - an Editor
        link = device.connectable
        if link.startConnected == wanted and (link.connected == wanted or not vm.running):
            return
        link.startConnected = wanted
        link.connected = wanted and vm.running
        change.edit(device)

    work.run([plugging.edit_job(vm, {trunk.key: edit})])


def _known(work: Work, key: str) -> VmRecord:
    vm = lookup.appliance(work.picture, key)
    if vm is None:
        raise RetryableError(f"there is no appliance {key}")
    lookup.answering(work.picture.hosts[vm.host])
    return vm
