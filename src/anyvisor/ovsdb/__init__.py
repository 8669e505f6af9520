# SPDX-License-Identifier: Apache-2.0
"""Everything that speaks OVSDB (RFC 7047): the only importer of the library `ovs`."""
