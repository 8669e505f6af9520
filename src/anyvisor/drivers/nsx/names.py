# SPDX-License-Identifier: Apache-2.0
"""What our objects are called in NSX, and the tags that say whose they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, get_args

from anyvisor.model.names import GroupName, NetworkName, ObjectKey, ObjectKind

Json: TypeAlias = Mapping[str, Any]
"""An object as NSX writes it."""

OWNER = "anyvisor:owner"
KEY = "anyvisor:key"
GROUP = "anyvisor:group"
FILTERED = "anyvisor:filtered"
EGRESS = "anyvisor:egress"
SCOPES = frozenset({OWNER, KEY, GROUP, FILTERED, EGRESS})
"""The scopes of our tags; tags of other scopes are somebody else's, also on our objects."""

SEGMENTS = "/infra/segments"
DOMAIN = "/infra/domains/default"
GROUPS = f"{DOMAIN}/groups"
POLICIES = f"{DOMAIN}/security-policies"

GUARD = ObjectKey("policy", "filtered")
"""Whose rules drop what no group lets pass."""
GUARD_EGRESS = ObjectKey("policy", "filtered-egress")
ADMISSION = ObjectKey("policy", "admission")
"""Whose rules cut off who is on a segment of ours without our tags: not yet, no longer, or a stranger."""

_PLAIN = re.compile(r"[a-z0-9-]{1,50}")


@dataclass(frozen=True, slots=True)
class Names:
    """Of one installation. Two names never have one id, though NSX compares tags without regard to case."""

    owner: str

    def path(self, collection: str, key: ObjectKey, part: str = "") -> str:
        """The policy path of the object for `key`; `part` tells several of one kind apart."""
        return f"{collection}/{self.identity(key.name, part)}"

    def segment(self, network: NetworkName) -> str:
        """The path of a network's segment."""
        return self.path(SEGMENTS, ObjectKey("network", network))

    def members(self, group: GroupName) -> str:
        """The path of the NSX group that holds the segment ports of a security group."""
        return self.path(GROUPS, ObjectKey("group", group))

    def far_side(self, group: GroupName) -> str:
        """The path of the NSX group that holds the addresses of all members of a security group."""
        return self.path(GROUPS, ObjectKey("group", group), "far")

    def identity(self, name: str, part: str = "") -> str:
        """At most 80 characters (a port group's name in vCenter): letters of one case, digits, ``-`` and ``_``."""
        end = f"_{part}" if part else ""
        return f"anyvisor-{_word(self.owner[:8])}-{_word(name)}{end}"

    def tags(self, key: ObjectKey | str) -> tuple[dict[str, str], ...]:
        """The two tags that every object of ours carries."""
        return tag(OWNER, self.owner), tag(KEY, str(key))

    def owns(self, held: Json) -> bool:
        """Whether the object carries our owner."""
        return self.owner in tagged(held, OWNER)

    def key_of(self, held: Json) -> ObjectKey:
        """The key that the object was written for; one of kind policy where that cannot be read."""
        kind, _, name = next(iter(tagged(held, KEY)), "").partition("/")
        if name and kind in get_args(ObjectKind):
            return ObjectKey(cast("ObjectKind", kind), name)
        return ObjectKey("policy", str(held.get("id", "")))


def tag(scope: str, value: str) -> dict[str, str]:
    """A tag as NSX writes it."""
    return {"scope": scope, "tag": value}


def tagged(held: Json, scope: str) -> tuple[str, ...]:
    """The values of all tags of that scope."""
    return tuple(str(each.get("tag", "")) for each in held.get("tags") or () if each.get("scope") == scope)


def theirs(held: Json) -> tuple[dict[str, Any], ...]:
    """The tags that somebody else put on the object."""
    return tuple(dict(each) for each in held.get("tags") or () if each.get("scope") not in SCOPES)


def digest(body: Json) -> str:
    """A short name for what `body` says."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _word(name: str) -> str:
    """`name` itself where it is plain; otherwise what is plain in it, made unique by ``_`` and a digest."""
    if _PLAIN.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9-]", "-", name.lower())[:40]
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
