# SPDX-License-Identifier: Apache-2.0
"""The only importer of pyroute2: links, addresses and routes of the network namespace that the program runs in."""
