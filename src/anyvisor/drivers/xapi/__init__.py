# SPDX-License-Identifier: Apache-2.0
"""A pool of XenServer or XCP-ng hosts, through the API of its master (XAPI)."""
