# SPDX-License-Identifier: Apache-2.0
"""What must hold between the values of a site file, beyond the form of each: one module for each kind of object.

A check looks at drafts and notes faults in them. It is silent about what it cannot know because something else is
wrong already.
"""
