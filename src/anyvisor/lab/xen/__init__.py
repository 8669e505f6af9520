# SPDX-License-Identifier: Apache-2.0
"""A real Xen host: hypervisor, Debian dom0 and paravirtual guests, all emulated by one QEMU without KVM."""
