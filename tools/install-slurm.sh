#!/usr/bin/env bash
# Install what the tests on a real Slurm need (Debian, Ubuntu), and start none of its daemons.
set -euo pipefail

packages=(slurm-wlm slurmdbd munge mariadb-server mariadb-client)
programs=(munged slurmctld slurmd slurmdbd mariadbd mariadb mariadb-install-db
  sbatch srun squeue scancel scontrol sinfo sacct sacctmgr)

missing() {
  local program
  for program in "${programs[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "$program"
  done
}

[[ $(missing) ]] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "install-slurm: no apt-get here; install Slurm, slurmdbd, munge and MariaDB by hand" >&2
  exit 1
fi
if [[ $(id -u) != 0 ]]; then
  if sudo -n true 2>/dev/null; then
    exec sudo -n "$0" "$@"
  fi
  echo "install-slurm: only root may install packages: sudo tools/install-slurm.sh" >&2
  exit 1
fi

# Debian starts what it installs. A policy of our own says no, for as long as we install.
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

echo "installing Slurm for the tests: about 200 MB"
if ! install >"$scratch/log" 2>&1 </dev/null; then
  tail -n 20 "$scratch/log" >&2
  echo "install-slurm: apt-get failed" >&2
  exit 1
fi
left=$(missing)
if [[ $left ]]; then
  echo "install-slurm: still missing: ${left//$'\n'/ }" >&2
  exit 1
fi
