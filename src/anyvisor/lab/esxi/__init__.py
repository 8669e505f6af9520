# SPDX-License-Identifier: Apache-2.0
"""ESXi hosts of the lab: what vCenter says of their native switches becomes real frames.

Each host is a namespace with an Open vSwitch that no SDN controller programs: one bridge per native switch, whose
ports and flows follow vCenter's state. A process of the lab, the emulator, follows that state and applies differences;
it also boots the appliances. Nothing here is the product's, and the product never comes here.
"""
