#!/usr/bin/env bash
# Install what the tests on a platform's nodes need (Debian, Ubuntu): the programs that make namespaces and networks.
set -euo pipefail

missing() { # those of the programs that are not installed
  local program
  for program in ip unshare nsenter hostname mount; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "$program"
  done
}

[[ $(missing) ]] || exit 0
echo "installing iproute2 for the tests on a platform's nodes"
"$(dirname "$0")/install-packages.sh" platform iproute2 util-linux mount hostname
left=$(missing)
if [[ $left ]]; then
  echo "install-platform: still missing: ${left//$'\n'/ }" >&2
  exit 1
fi
