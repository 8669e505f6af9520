# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Two commands are enough on a fresh Debian 12+ or Ubuntu 24.04+:
#   make demo     builds a mixed data centre on this machine, applies a scheme per host, checks it with real packets
#   make test     runs every check and every test

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS  += --no-print-directory

BIN    := .venv/bin
PYTEST := $(BIN)/python -m pytest
SRC    := src tests bench
export PATH := $(PATH):/usr/sbin:/sbin

define step
@printf '\n==> %s\n' "$(1)"
endef

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup setup-test
setup: ## distribution packages and the Python environment (only what is missing)
	@tools/setup.sh

setup-test: ## what setup does, and what the whole test suite needs (libvirt, QEMU)
	@tools/setup.sh test

.PHONY: demo
demo: setup ## build the mixed lab, apply, check with real packets, show the view (KEEP=1 leaves it up; XEN=1: a real Xen joins, a quarter to half an hour)
	@if [[ "$(filter-out 0,$(XEN))" ]]; then
	  tools/setup.sh xen
	  tools/as-root.sh --real tools/xen.sh
	fi
	tools/as-root.sh $(if $(filter-out 0,$(XEN)),--real,--lab) $(CURDIR)/$(BIN)/python -m anyvisor.lab.demo $(if $(filter-out 0,$(XEN)),--xen .cache/xen) $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: test check format unit ovn vcenter lab-test
test: setup-test ## all that follows down to lab-test, one after the other
	@$(MAKE) check
	$(MAKE) unit
	$(MAKE) ovn
	$(MAKE) vcenter
	$(MAKE) lab-test
	printf '\n==> all tests passed\n'

check: setup ## format, lint, types, direction of imports, dependencies, spelling
	$(call step,ruff)
	@$(BIN)/ruff format --check $(SRC)
	$(BIN)/ruff check $(SRC)
	printf '\n==> mypy\n'
	$(BIN)/mypy
	printf '\n==> import-linter\n'
	$(BIN)/lint-imports --no-cache
	printf '\n==> deptry, codespell\n'
	$(BIN)/deptry src
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs src tests tools

format: setup ## put the code into the house format
	@$(BIN)/ruff format $(SRC)
	$(BIN)/ruff check --fix $(SRC)

unit: setup ## tests without any daemon (two minutes)
	$(call step,unit tests)
	@$(PYTEST) -n 2 -m "not ovn and not vcenter and not lab and not xen"

ovn: setup ## tests against real OVN and OVSDB daemons in a temporary folder, no root
	$(call step,tests against OVN)
	@$(PYTEST) -n 2 -m "ovn and not lab"

vcenter: setup-test ## tests against the lab's vCenter, no root
	$(call step,tests against the vCenter of the lab)
	@$(PYTEST) -n 2 -m "vcenter and not lab"

lab-test: setup-test ## tests with real packets in network namespaces (root, sudo or a user namespace)
	$(call step,tests in the lab)
	@tools/as-root.sh $(CURDIR)/$(BIN)/python -m pytest -v -m "lab and not kills"

.PHONY: lab-kills
lab-kills: setup-test ## processes that are killed half-way, with real packets (eight minutes; root, sudo or a user namespace)
	$(call step,what kill -9 does in the lab)
	@tools/as-root.sh $(CURDIR)/$(BIN)/python -m pytest -v -m "lab and kills"

.PHONY: conformance-xen
conformance-xen: setup-test ## the same on a real Xen host under emulation; writes docs/conformance-xen.md (root or sudo; a quarter of an hour)
	@tools/setup.sh xen
	tools/as-root.sh --real tools/xen.sh
	tools/as-root.sh --real $(CURDIR)/$(BIN)/python -m anyvisor lab conformance --name confx --xen .cache/xen --write docs/conformance-xen.md

.PHONY: conformance
conformance: setup ## the same policy cases on every hypervisor and scheme of a lab; writes docs/conformance.md (half a minute)
	@tools/as-root.sh --lab $(CURDIR)/$(BIN)/python -m anyvisor lab conformance --write docs/conformance.md

.PHONY: test-xen nightly
test-xen: setup-test ## a real Xen host under emulation beside a KVM host (root or sudo; twenty minutes)
	@tools/setup.sh xen
	tools/as-root.sh --real tools/xen.sh
	tools/as-root.sh --real $(CURDIR)/$(BIN)/python -m pytest -v -m xen tests/xen

nightly: ## test, lab-kills, vcenter-faults, test-xen and conformance-xen, one after the other
	@$(MAKE) test
	$(MAKE) lab-kills
	$(MAKE) vcenter-faults
	$(MAKE) test-xen
	$(MAKE) conformance-xen

.PHONY: lab lab-down bench
lab: setup ## bring the lab up and leave it up
	@tools/as-root.sh --lab $(CURDIR)/$(BIN)/anyvisor lab up

lab-down: setup ## take the lab down
	@tools/as-root.sh --lab $(CURDIR)/$(BIN)/anyvisor lab down

bench: setup ## measure against real OVN daemons at 100, 1,000 and 10,000 ports, no root (SIZES="..." for others)
	@$(BIN)/python -m bench $(SIZES)

.PHONY: bench-vcenter
bench-vcenter: setup ## measure the vSphere side at 8 hosts, 625 vNICs and at 64, 5,000, no root (SIZES="HOSTS VNICS ..." for others)
	@$(BIN)/python -m bench.vcenter $(SIZES)

.PHONY: vcenter-faults
vcenter-faults: setup-test ## every fault at every vCenter call of the whole product, once and for a while (ten minutes)
	@ANYVISOR_FAULTS=all $(PYTEST) -n 2 tests/vcenter/product

.PHONY: test-ovn-next
test-ovn-next: setup-test ## the tests against OVN and those in the lab, with the daemons of Debian 13
	@tools/ovn-next.sh $(PYTEST) -n 2 -m "ovn and not lab"
	tools/as-root.sh env ANYVISOR_LAB_CHROOT=$(CURDIR)/.cache/ovn-next/root $(CURDIR)/$(BIN)/python -m pytest -v -m lab

.PHONY: docs
docs: setup ## build the documentation into site/ and redraw its pictures
	@tools/docs.sh

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf .venv site dist build .coverage* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache
