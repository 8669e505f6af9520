# SPDX-License-Identifier: Apache-2.0
"""NSX through its policy API: segments, groups, distributed firewall. The only importer of the HTTP library."""
