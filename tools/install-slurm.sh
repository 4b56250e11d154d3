#!/usr/bin/env bash
# Install what the tests on a real Slurm need (Debian, Ubuntu), and start none of its daemons.
# The tests without accounting do not need MariaDB, so it is no failure if MariaDB cannot be installed.
set -euo pipefail

packages=(slurm-wlm munge)
programs=(munged slurmctld slurmd sbatch srun squeue scancel scontrol sinfo sacct sacctmgr)
accounting_packages=(slurmdbd mariadb-server mariadb-client)
accounting_programs=(slurmdbd mariadbd mariadb mariadb-install-db)

missing() { # PROGRAM...: those that are not installed
  local program
  for program; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "$program"
  done
}

install() { # PACKAGE...
  "$(dirname "$0")/install-packages.sh" slurm "$@"
}

if [[ $(missing "${programs[@]}") ]]; then
  echo "installing Slurm for the tests"
  install "${packages[@]}"
fi
left=$(missing "${programs[@]}")
if [[ $left ]]; then
  echo "install-slurm: still missing: ${left//$'\n'/ }" >&2
  exit 1
fi
if [[ $(missing "${accounting_programs[@]}") ]]; then
  echo "installing MariaDB for Slurm's accounting: about 180 MB"
  install "${accounting_packages[@]}" || true
fi
left=$(missing "${accounting_programs[@]}")
if [[ $left ]]; then
  echo "install-slurm: Slurm is here, its accounting is not, so tests with accounting are skipped: missing ${left//$'\n'/ }" >&2
fi
