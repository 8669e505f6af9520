# SPDX-License-Identifier: Apache-2.0
"""vSphere: a vCenter, or an ESXi host without one. The only place that knows pyVmomi."""
