#!/usr/bin/env bash
# Install the programs that the tests of real systems start, while lint and the unit tests run.
# usage: tools/install-in-background.sh start    returns at once
#        tools/install-in-background.sh wait     waits for the end, and prints what the scripts printed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/prl-submit
mkdir -p "$folder"
log=$folder/install-in-background.log

# The background process has this lock until it ends. What it starts must not have it, because a program
# that stays would keep the lock for ever.
exec {lock}>"$folder/install-in-background.lock"

install_all() {
  local kind
  for kind in slurm kubernetes platform chromium; do
    "$here/install-$kind.sh" {lock}>&- || true # what is missing then, the tests say
  done
}

case ${1:-} in
  start)
    if flock --nonblock "$lock"; then # else another `make test` installs already
      install_all >"$log" 2>&1 </dev/null &
    fi
    ;;
  wait)
    flock "$lock"
    [[ ! -e $log ]] || cat "$log"
    ;;
  *)
    echo "usage: tools/install-in-background.sh start|wait" >&2
    exit 2
    ;;
esac
