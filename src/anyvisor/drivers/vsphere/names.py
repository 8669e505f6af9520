# SPDX-License-Identifier: Apache-2.0
"""How an object of vSphere says that it is ours, and what for.

What has a description says it there: its first line is ``anyvisor:OWNER:KEY``. Standard switches and their port groups
have nothing but a name, so the name says all of it. With ``8f3a01c2`` the first eight characters of the owner:

    av-8f3a01c2                         a switch that we call just so
    av-8f3a01c2-=inner                  the switch that we call ``inner``
    av-8f3a01c2-p=web-1                 the group ``av-8f3a01c2-web-1``, key ``port/web-1``
    av-8f3a01c2-n=red=web               the group ``web``, key ``network/red``
    av-8f3a01c2-i=red                   the group ``av-8f3a01c2++red``, key ``inner/red``
    av-8f3a01c2-trunk=                  the group ``av-8f3a01c2-trunk``, key ``trunk``
    av-8f3a01c2-x=some~thing=odd        the group ``odd``, key ``some/thing``

Groups of both kinds share the names of a datacenter. No name of ours on a distributed switch has an equals sign.
"""

from __future__ import annotations

from anyvisor.errors import TerminalError

SWITCH_KEY = "switch"
"""The key in an inner switch's own mark."""
GROUP_NAME_MAX = 80
SWITCH_NAME_MAX = 32

OWNER_OPTION = "anyvisor.owner"
KEY_OPTION = "anyvisor.key"
EXTENSION = "org.anyvisor"
"""The key of the vCenter extension that our VMs name as their manager, where it is registered."""

_MARK = "anyvisor"
_LETTERS = {"port": "p", "network": "n", "inner": "i", "trunk": "t"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_OTHER = "x"
_WORDS = frozenset({"trunk", "parking"})


def mark(owner: str, key: str) -> str:
    """What the description of an object of ours begins with."""
    return f"{_MARK}:{owner}:{key}"


def marked_key(owner: str, description: str | None) -> str | None:
    """The key in a description; None if the object is not ours."""
    line = (description or "").split("\n", 1)[0].strip()
    begins = f"{_MARK}:{owner}:"
    return line.removeprefix(begins) if line.startswith(begins) else None


def segment_key(owner: str, name: str) -> str | None:
    """The key of a segment of ours that NSX has made; None if it is not ours. It bears the name of a network's group
    (`anyvisor.planner.inner.network_group_name`), which NSX gives to nobody else.
    """
    begins = f"{prefix(owner)}+"
    network = name.removeprefix(begins)
    return f"network/{network}" if network and name != network else None


def before_option(card: str) -> str:
    """The extraConfig key that says where a card was before we took it."""
    return f"anyvisor.before.{card}"


def prefix(owner: str) -> str:
    """What the names of all our standard switches, groups and rules begin with."""
    return f"av-{owner[:8]}"


def standard_group(owner: str, name: str, key: str) -> str:
    """What a group is called on a standard switch.

    Raises:
        TerminalError: name and key do not fit into a name.
    """
    body = _body_of(key)
    native = f"{prefix(owner)}-{body}"
    if name != _plain_name(owner, body):
        native += f"={name}"
    if len(native) > GROUP_NAME_MAX or "=" in key or "~" in key or not name or _key_of(body) != key:
        raise TerminalError(f"{name} ({key}) does not fit into the name of a standard port group")
    return native


def read_standard_group(owner: str, native: str) -> tuple[str, str] | None:
    """(name, key) of a group on a standard switch; None if it is not ours."""
    begins = f"{prefix(owner)}-"
    if not native.startswith(begins):
        return None
    kind, told, rest = native.removeprefix(begins).partition("=")
    rest, _, name = rest.partition("=")
    key = _key_of(f"{kind}={rest}") if told else None
    return None if key is None else (name or _plain_name(owner, f"{kind}={rest}"), key)


def standard_switch(owner: str, name: str) -> str:
    """What a standard switch of ours is called.

    Raises:
        TerminalError: the name is too long.
    """
    begins = prefix(owner)
    said = name == begins or (name.startswith(f"{begins}-") and not name.startswith(f"{begins}-="))
    native = name if said else f"{begins}-={name}"
    if len(native) > SWITCH_NAME_MAX or not name:
        longest = SWITCH_NAME_MAX - len(begins) - 2
        raise TerminalError(f"{name} is no name for a standard switch: it has 1 to {longest} characters")
    return native


def read_standard_switch(owner: str, native: str) -> str | None:
    """Our name of a standard switch; None if it is not ours."""
    begins = prefix(owner)
    if native.startswith(f"{begins}-="):
        return native.removeprefix(f"{begins}-=") or None
    return native if native == begins or native.startswith(f"{begins}-") else None


def _body_of(key: str) -> str:
    kind, _, rest = key.partition("/")
    if kind in _LETTERS and rest:
        return f"{_LETTERS[kind]}={rest}"
    return f"{key}=" if key in _WORDS else f"{_OTHER}={key.replace('/', '~')}"


def _plain_name(owner: str, body: str) -> str:
    """What such a group is called if nothing else is said."""
    kind, _, rest = body.partition("=")
    return f"{prefix(owner)}++{rest}" if kind == _LETTERS["inner"] else f"{prefix(owner)}-{rest or kind}"


def _key_of(body: str) -> str | None:
    kind, _, rest = body.partition("=")
    if kind in _WORDS:
        return None if rest else kind
    if not rest:
        return None
    if kind == _OTHER:
        return rest.replace("~", "/")
    return f"{_KINDS[kind]}/{rest}" if kind in _KINDS else None
