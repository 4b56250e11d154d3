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
echo "installing Slurm for the tests: about 200 MB"
"$(dirname "$0")/install-packages.sh" slurm "${packages[@]}"
left=$(missing)
if [[ $left ]]; then
  echo "install-slurm: still missing: ${left//$'\n'/ }" >&2
  exit 1
fi
