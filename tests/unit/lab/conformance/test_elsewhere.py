# SPDX-License-Identifier: Apache-2.0
from importlib import resources
from itertools import product

import yaml
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.codec.site import parse_site
from anyvisor.lab.conformance.elsewhere import pinned, verdicts
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.state import State
from anyvisor.planner import paper

PAIRS = set(product(Hypervisor, Scheme))
FILE = resources.files("anyvisor.lab.conformance") / "elsewhere.yaml"


@given(tried=st.sets(st.sampled_from(sorted(PAIRS))))
def test_what_was_not_tried_is_asked_of_the_planner_and_answered_with_a_reason(tried):
    site, asked = pinned(yaml.safe_load(FILE.read_text(encoding="utf-8")), tried)
    planned = paper.plan(parse_site(yaml.safe_dump(site)), State())

    found = list(verdicts(paper.to_json(planned), asked))

    always = {("xen-xapi", scheme) for scheme in Scheme} | {("esxi-dpu", Scheme.NIC)}
    assert {(one.host, one.scheme) for one in found} >= always
    others = {(one.hypervisor, one.scheme) for one in found if (one.host, one.scheme) not in always}
    assert others == PAIRS - tried
    assert all(one.reason and bool(one.code) != one.possible for one in found)
    assert [(one.host, one.scheme) for one in found] == list(asked.values())
