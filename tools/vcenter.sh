#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the lab's vCenter from vcenter/ into .venv/bin/anyvisor-vcenter. Nothing is fetched: the libraries are the
# distribution's. On Debian and Ubuntu: golang-go golang-github-vmware-govmomi-dev golang-github-google-uuid-dev.
# The first build takes a minute, a change a few seconds, and nothing is done if the sources are what was built.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'vcenter: %s\n' "$*" >&2; exit 1; }

target=.venv/bin/anyvisor-vcenter
stamp=.venv/.anyvisor-vcenter-sources
packages='golang-go golang-github-vmware-govmomi-dev golang-github-google-uuid-dev'
libraries=${ANYVISOR_GOPATH:-/usr/share/gocode}

[[ -d .venv/bin ]] || die "there is no .venv (make setup creates it)"
exec 9<vcenter && flock 9 # two builds at once would spoil each other

sources=$(cat vcenter/*.go tools/vcenter.sh | sha256sum | cut -d' ' -f1)
if [[ -x $target && -e $stamp && $(<"$stamp") == "$sources" ]]; then
  exit 0
fi

command -v go >/dev/null || die "Go is missing; packages: $packages"
for library in vmware/govmomi/simulator google/uuid; do
  [[ -d $libraries/src/github.com/$library ]] || die "$libraries has no $library; packages: $packages"
done

say "building the lab's vCenter (the first time takes a minute)"
mkdir -p .cache/go
export GO111MODULE=off GOPATH=$libraries GOCACHE=$PWD/.cache/go GOFLAGS=
(cd vcenter && nice go build -ldflags='-s -w' -o "../$target.new" .)
mv "$target.new" "$target"
printf '%s\n' "$sources" >"$stamp"
say "ready: $target"
