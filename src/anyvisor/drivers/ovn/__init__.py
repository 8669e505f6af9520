# SPDX-License-Identifier: Apache-2.0
"""OVN as the SDN controller: logical objects to northbound rows."""
