# SPDX-License-Identifier: Apache-2.0
"""What somebody does to an appliance under a running product is mended by the next looks, whatever it was."""

import pytest
from pyVmomi import vim

from anyvisor.lab.vcenter.client import Fault

EVERYBODY = ("web", "db", "aged", "plain", "wide")


@pytest.fixture
def built(product, world):
    """A product with everything built, and a client of its vCenter."""
    product.restart()
    product.want(EVERYBODY)
    product.settle()
    client = world.Client(product.vcenter)
    yield product, client
    client.close()


def appliance(product, host):
    return f"av-{product.store.snapshot().owner[:8]}-{host}"


def delete_rule(product, client):
    cluster = client.one(vim.ClusterComputeResource, "C1")
    (key,) = (r.key for r in cluster.configurationEx.rule if r.name == f"{appliance(product, 'esx1')}-pin")
    spec = vim.cluster.ConfigSpecEx(rulesSpec=[vim.cluster.RuleSpec(operation="remove", removeKey=key)])
    client.done(cluster.ReconfigureComputeResource_Task(spec, True))


def forget_autostart(product, client):
    auto = client.host("old1").configManager.autoStartManager
    (info,) = auto.config.powerInfo
    info.startAction = "none"
    auto.ReconfigureAutostart(vim.host.AutoStartManager.Config(powerInfo=[info]))


def delete_vm(product, client):
    vm = client.vm(appliance(product, "esx1"))
    client.done(vm.PowerOffVM_Task())
    client.done(vm.Destroy_Task())


def delete_vm_of_a_lone_host(product, client):
    vm = client.vm(appliance(product, "old1"))
    client.done(vm.PowerOffVM_Task())
    client.done(vm.Destroy_Task())


@pytest.mark.parametrize("harm", [delete_rule, forget_autostart, delete_vm, delete_vm_of_a_lone_host])
def test_whatever_somebody_takes_of_an_appliance_comes_back(built, harm):
    product, client = built
    before = product.world()
    harm(product, client)
    assert product.world() != before

    product.settle()

    assert product.world() == before
    assert [c for c in product.conditions() if not c.true] == []


def test_an_appliance_whose_pinning_a_crash_cut_off_is_pinned_by_the_next_daemon(product):
    product.restart()
    number = product.control.inject(Fault(method="ReconfigureComputeResource_Task", fault="cut"))
    product.want(EVERYBODY)
    for _ in range(6):
        product.turn()
        if product.control.struck(number):
            break
    appliances = {appliance(product, host) for host in ("esx1", "esx2")}
    assert appliances <= {vm.name for vm in product.control.state().vms}
    assert product.control.pins()["rules"]["C1"] == {}

    product.restart()
    product.settle()

    pins = product.control.pins()
    assert set(pins["rules"]["C1"]) == {f"{name}-pin" for name in appliances}
    assert pins["overrides"]["C1"] == {key: {"drs": "off", "restart": "highest"} for key in appliances}
