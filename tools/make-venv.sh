#!/usr/bin/env bash
# Make a virtual environment. If Debian's or Ubuntu's Python lacks the venv module, install it (as root).
# usage: tools/make-venv.sh PYTHON DIR
set -euo pipefail
python=$1
venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "make: $("$python" --version) is too old; Python 3.10 or newer is needed: make PYTHON=python3.12" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null
  else
    echo "make: $python has no venv module; install it first: sudo apt-get install $package" >&2
    exit 1
  fi
fi
"$python" -m venv "$venv"
