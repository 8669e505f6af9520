#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a fresh Debian 12+ or Ubuntu 24.04+ ready: distribution packages, then the Python environment in .venv.
#   tools/setup.sh          what the program, the lab and the demo need
#   tools/setup.sh test     and what the whole test suite needs
#   tools/setup.sh xen      or what the emulated Xen host needs
# Only what is missing is installed; a second run takes a fraction of a second. Settings of apt, pip and uv
# (files and environment) are respected.
set -euo pipefail
cd "$(dirname "$0")/.."
exec 9<. && flock 9 # two runs at once would spoil each other

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

packages=(openvswitch-switch ovn-central ovn-host python3 python3-venv iproute2 ethtool busybox procps openssl)
packages+=(golang-go golang-github-vmware-govmomi-dev golang-github-google-uuid-dev) # for the lab's vCenter
programs=(ovs-vswitchd ovsdb-server ovn-northd ovn-controller ip ethtool busybox sysctl openssl go)
if [[ ${1-} == xen ]]; then
  packages+=(qemu-system-x86 debootstrap debian-archive-keyring e2fsprogs gcc make binutils libc6-dev xz-utils)
elif [[ ${1-} == test ]]; then
  packages+=(libvirt-daemon-system libvirt-clients python3-libvirt qemu-system-x86 cpio debootstrap graphviz)
  case "$(. /etc/os-release && echo "$ID ${ID_LIKE-}")" in
    ubuntu*) packages+=(linux-image-virtual) ;; # a kernel for the virtual machines under test
    *) packages+=(libvirt-daemon-driver-qemu "linux-image-$(dpkg --print-architecture 2>/dev/null || echo amd64)") ;;
  esac
fi

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"
  elif ! command -v sudo >/dev/null; then die "root is needed for: $* (there is no sudo; run this once as root)"
  elif [[ -t 0 ]]; then sudo "$@"
  else sudo -n "$@" || die "root is needed for: $*"
  fi
}

installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]] ||
    { [[ $1 == busybox ]] && command -v busybox >/dev/null; } # busybox-static serves as well
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
    apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -qq -y install --no-install-recommends "$@" </dev/null >/dev/null
}

install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing ${missing[*]}"
  apt_install "${missing[@]}" && return 0
  say "not all found; refreshing the package lists"
  as_root apt-get -o DPkg::Lock::Timeout=600 -qq update </dev/null
  apt_install "${missing[@]}"
}

check_programs() {
  local missing=() program
  for program in "${programs[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$program")
  done
  [[ ${#missing[@]} -eq 0 ]] || die "this is neither Debian nor Ubuntu; please install what provides: ${missing[*]}"
}

if command -v apt-get >/dev/null; then install_packages; else check_programs; fi

python=/usr/bin/python3 # the distribution's, since its libvirt module is made for it
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "Python 3.11 or newer is needed, $("$python" --version) is here (Debian 12, Ubuntu 24.04 and later have it)"

stamp=.venv/.anyvisor-ready
if [[ -x .venv/bin/anyvisor && $stamp -nt pyproject.toml && $stamp -nt uv.lock && $stamp -nt tools/setup.sh ]] &&
  .venv/bin/python -c '' 2>/dev/null; then
  exec tools/vcenter.sh
fi

if ! .venv/bin/python -c '' 2>/dev/null; then
  say "creating .venv"
  "$python" -m venv --clear --system-site-packages .venv
fi
if [[ ! -x .venv/bin/uv ]]; then
  say "installing uv into .venv"
  .venv/bin/python -m pip install --quiet uv
fi
say "installing the locked Python packages"
if ! .venv/bin/uv sync --quiet --frozen --inexact --all-extras --python .venv/bin/python; then
  # Where only pip knows the way to a package index, the same locked versions, with their hashes, come through pip.
  say "uv could not; trying pip"
  .venv/bin/uv export --quiet --frozen --all-extras --no-emit-project --output-file .venv/requirements.txt
  .venv/bin/python -m pip install --quiet --requirement .venv/requirements.txt
  .venv/bin/python -m pip install --quiet --no-deps --editable .
fi
touch "$stamp"
say "ready: .venv/bin/anyvisor"
exec tools/vcenter.sh
