#!/bin/bash
# style: another script with variables before it, its output kept
NPROC_PER_NODE=2 bash -e ./scripts/inner.sh 2>&1 | tee /dev/null
