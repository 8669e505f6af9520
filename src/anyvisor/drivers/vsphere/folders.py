# SPDX-License-Identifier: Apache-2.0
"""Where in vCenter's tree an object stands, and where new ones belong."""

from __future__ import annotations

from typing import Any

from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.session import Open
from anyvisor.errors import RetryableError


def datacenter_folder(opened: Open, below: Any, folder: str) -> Any:
    """The ``networkFolder`` or ``vmFolder`` of the datacenter that an object is in.

    Raises:
        RetryableError: it is in none; somebody moves it.
    """
    entity = below
    while entity is not None and not isinstance(entity, vim.Datacenter):
        key = str(key_of(entity))
        entity = properties(opened, type(entity), [key], ("parent",)).get(key, {}).get("parent")
    if entity is None:
        raise RetryableError("the host is in no datacenter")
    key = str(key_of(entity))
    return properties(opened, vim.Datacenter, [key], (folder,))[key][folder]


def datacenters(opened: Open) -> list[Any]:
    """All datacenters."""
    content = opened.content
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.Datacenter], True)
    key = str(key_of(view))
    found = properties(opened, vim.view.ContainerView, [key], ("view",))
    view.DestroyView()
    return list(found.get(key, {}).get("view") or ())
