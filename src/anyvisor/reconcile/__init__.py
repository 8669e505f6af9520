# SPDX-License-Identifier: Apache-2.0
"""When: keys, retries, resync. One reconciler per kind of object; knows contracts, not adapters."""
