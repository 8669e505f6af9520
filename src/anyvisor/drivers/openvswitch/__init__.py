# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch through OVSDB: chassis settings, plugs, counters."""
