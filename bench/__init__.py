# SPDX-License-Identifier: Apache-2.0
"""Measures the control plane against real OVN daemons; see docs/performance.md."""
