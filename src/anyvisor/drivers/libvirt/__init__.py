# SPDX-License-Identifier: Apache-2.0
"""libvirt: domains, interfaces, events, statistics."""
