# SPDX-License-Identifier: Apache-2.0
"""Plain Xen (xl, or libvirt's driver for it): domains and vifs in xenstore, the hypervisor's version, statistics."""
