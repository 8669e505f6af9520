# SPDX-License-Identifier: Apache-2.0
"""Between the model and text: the site file (YAML) and the values of database columns (canonical JSON)."""
