#!/usr/bin/env bash
# Install packages of Debian or Ubuntu, and start none of the daemons in them.
# usage: tools/install-packages.sh WHAT-FOR PACKAGE...
# It prints nothing unless it fails. Then stderr has the last lines of apt and one line with the reason.
set -euo pipefail
caller=tools/install-$1.sh
packages=("${@:2}")

if ! command -v apt-get >/dev/null; then
  echo "$caller: this machine has no apt-get; install these packages by hand: ${packages[*]}" >&2
  exit 1
fi
if [[ $(id -u) != 0 ]]; then
  if sudo -n true 2>/dev/null; then
    exec sudo -n "$0" "$@"
  fi
  echo "$caller: only root may install packages: sudo $caller" >&2
  exit 1
fi

# If two of these scripts ran at once, each would restore the other's policy file.
exec 9>/run/lock/prl-submit-packages
flock 9

# Debian starts the daemons that it installs, unless policy-rc.d forbids it. So this script puts a policy-rc.d
# of its own in place while it installs.
policy=/usr/sbin/policy-rc.d
scratch=$(mktemp -d)
restore() {
  rm -f "$policy"
  [[ ! -e $scratch/policy-rc.d ]] || mv "$scratch/policy-rc.d" "$policy"
  rm -rf "$scratch"
}
trap restore EXIT
trap 'exit 130' INT TERM HUP
[[ ! -e $policy ]] || mv "$policy" "$scratch/policy-rc.d"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
install() {
  local attempt
  for attempt in 1 2 3; do
    apt-get update -qq && apt-get install -qq -y --no-install-recommends \
      -o DPkg::Lock::Timeout=300 "${packages[@]}" && return
    sleep $((attempt * 3))
  done
  return 1
}

if ! install >"$scratch/log" 2>&1 </dev/null 9>&-; then
  tail -n 20 "$scratch/log" >&2
  echo "$caller: apt-get failed" >&2
  exit 1
fi
