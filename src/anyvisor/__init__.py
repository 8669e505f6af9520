# SPDX-License-Identifier: Apache-2.0
"""anyvisor: one SDN over any hypervisor."""

__version__ = "0.1.0"
