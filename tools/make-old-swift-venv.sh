#!/usr/bin/env bash
# Make the second environment of the tests: ms-swift 3.3.0, which many users still run, on the CPU.
# usage: tools/make-old-swift-venv.sh [PYTHON]    prints the environment's folder
#
# The folder is in ~/.cache/prl-submit, and all checkouts share it. Its name has the checksum of the
# constraints file, so changed constraints make a new environment. If PYTHON's own environment has the same
# torch (750 MB), its files are linked instead of installed again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
constraints=$here/swift-3.3-constraints.txt

fail() {
  echo "tools/make-old-swift-venv.sh: $*" >&2
  exit 1
}

is_old_enough() { # PYTHON: ms-swift 3.3 needs numpy 1.26, which supports Python up to 3.12
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null
}

for python in "${1:-python3}" python3.12 python3.11 python3.10 ""; do
  [[ $python ]] || fail "ms-swift 3.3 needs Python 3.10, 3.11 or 3.12; none is on PATH"
  ! is_old_enough "$python" || break
done

checksum=$(sha256sum "$constraints" | cut -c 1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/prl-submit
venv=$cache/swift-3.3.0-$checksum
mkdir -p "$cache"
exec {lock}>"$venv.lock"
flock "$lock" # another checkout may be making the same environment

if [[ ! -e $venv/complete ]]; then
  rm -rf "$venv"
  echo "installing ms-swift 3.3.0 for the tests into $venv: 1 GB, some minutes" >&2
  "$here/make-venv.sh" "$python" "$venv" >&2
  "$python" "$here/link_torch.py" "$venv" >&2 || true # pip installs what is not linked
  pip=("$venv/bin/python" -m pip install -q --disable-pip-version-check -c "$constraints")
  "${pip[@]}" 'setuptools<80' wheel >&2
  "${pip[@]}" torch ms-swift msgspec >&2
  touch "$venv/complete"
fi
echo "$venv"
