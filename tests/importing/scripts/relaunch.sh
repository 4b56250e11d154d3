#!/bin/bash
# style: settings that are exported, then another script
SCRIPT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export MODEL=${MODEL:-Qwen/Qwen2.5-7B-Instruct}
export NPROC_PER_NODE=2
UNEXPORTED=9
BATCH=2 exec bash "$SCRIPT_DIR/inner.sh" 2 --beta 0.1 "$@"
