#!/usr/bin/env bash
# Install what the tests of reports need (Debian, Ubuntu): the browser Chromium.
set -euo pipefail

has() { # one of the programs that tools/chromium.py looks for
  local program
  for program in chromium chromium-browser google-chrome-stable; do
    ! command -v "$program" >/dev/null || return 0
  done
  return 1
}

! has || exit 0
echo "installing chromium for the tests of reports: about 370 MB"
"$(dirname "$0")/install-packages.sh" chromium chromium
if ! has; then
  echo "install-chromium: there is no program named chromium after the installation" >&2
  exit 1
fi
