# SPDX-License-Identifier: Apache-2.0
"""An XAPI pool that is none: XML-RPC over HTTPS on loopback, written down from xen-api's own source.

It knows only what the driver asks for, and that strictly: unknown methods, wrong numbers of arguments and values of the
wrong kind are refused, as are the things that XAPI refuses. No VM runs in it and no packet passes.

Source: github.com/xapi-project/xen-api, ocaml/xapi/{xapi_vif,xapi_network,xapi_vlan,xapi_pif,xapi_event,
xapi_sdn_controller,xapi_network_attach_helpers}.ml and ocaml/idl/datamodel*.ml, as of August 2026.
"""
