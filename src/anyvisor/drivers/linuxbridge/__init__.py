# SPDX-License-Identifier: Apache-2.0
"""The Linux bridge through netlink."""
