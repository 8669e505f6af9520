#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command that makes network namespaces: as root, else in a user namespace, else through sudo.
#   tools/as-root.sh COMMAND...          a user namespace is made here, around the command
#   tools/as-root.sh --lab COMMAND...    the command makes one itself and keeps it (anyvisor lab, the demo)
#   tools/as-root.sh --real COMMAND...   no user namespace will do (debootstrap, the emulated Xen host): root or sudo
# With ANYVISOR_USERNS=1 even root takes a user namespace.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
own=(unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc)
lab= real=
[[ ${1-} != --lab ]] || { lab=yes; shift; }
[[ ${1-} != --real ]] || { real=yes; shift; }

if [[ $EUID -eq 0 && -z ${ANYVISOR_USERNS-} ]]; then
  exec "$@"
elif [[ -z $real ]] && "${own[@]}" mount -t tmpfs tmpfs /run 2>/dev/null; then
  [[ -z $lab ]] || exec "$@"
  echo "==> not root: running in a user namespace" >&2
  # /run is private there, so that namespaces and state directories can be made in it.
  exec "${own[@]}" sh -c 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"' sh "$@"
elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
  [[ -n $real ]] || echo "==> this system refuses user namespaces: running through sudo" >&2
  given=(PATH="$PATH" PYTHONDONTWRITEBYTECODE=1)
  for name in DEBIAN_MIRROR http_proxy https_proxy no_proxy; do [[ -z ${!name-} ]] || given+=("$name=${!name}"); done
  exec sudo "${given[@]}" "$@"
fi
[[ -z $real ]] || { echo "as-root: this needs root or sudo: $*" >&2; exit 1; }
echo "as-root: this needs root, unprivileged user namespaces (sysctl user.max_user_namespaces," \
  "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns) or sudo; none is to be had here" >&2
exit 1
