#!/bin/bash
# Lines that would run in another folder, or need the script's own path.
mkdir -p made
source venv/bin/activate
cd /srv/prl
python prepare.py --of "$0"
prl_x=$(date)
export FROM="$prl_x"
swift rlhf --rlhf_type grpo --external_plugins $(pwd)/a.py --run_name $OLDPWD
#! 3: runs in another folder than the training
#! 6: needs the script's own path
#! 7: variables named prl_… are those of launch.sh
#! 9: --run_name: $OLDPWD is known only when the script runs
#! 9: venv is relative to where one types, and the script has left that folder
