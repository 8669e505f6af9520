# SPDX-License-Identifier: Apache-2.0
"""Measures the vSphere side of the whole product before the lab's vCenter; see docs/performance.md."""
