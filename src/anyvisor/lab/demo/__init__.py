# SPDX-License-Identifier: Apache-2.0
"""The whole story in one go: ``python -m anyvisor.lab.demo`` (`make demo`).

A mixed lab is built: KVM hosts, ESXi hosts under a vCenter and a Xen host, some of them with a DPU. A KVM host keeps
its native switch and traffic escapes; the same host is converted while its VMs run, and a VM moves between ESXi hosts;
nothing escapes any more. With `make demo XEN=1` a real Xen host under emulation joins in the end and goes through every
scheme that Xen allows. Every statement is checked with real packets or against what the product reports. What the
product does is done by its own commands, which are shown, so that a reader can repeat them.
"""
