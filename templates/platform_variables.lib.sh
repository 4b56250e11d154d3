# shellcheck shell=bash
# shellcheck disable=SC2034 # launch.lib.sh and launch.sh use the variables that these functions set.
# shellcheck disable=SC2154 # launch.sh assigns the values of a job before it reads launch.lib.sh.
#
# --- a platform's variables: which node this is -------------------------------------------------------
#
# This file stands in launch.lib.sh of a run directory. A platform starts one command on every node, and tells each node
# its place among the nodes by environment variables. These functions read the variables, compare them with the spec, and
# compute what only a node can. What the nodes of a job then do together is in platform_nodes.lib.sh.

# The rows of the table of variables: a name, and the cells nodes, node_rank, master_addr, master_port, nproc_per_node,
# job and not-with. Each cell is `-` or NAMES joined by `|`; NAME[0] is the first word of a list.
prl_platform_table='
# platforms.txt stands here in a run directory.
'
# These mean processes inside torchrun. launch.sh does not look at them there.
prl_torchrun_sets=" NNODES NODE_RANK NPROC_PER_NODE RANK WORLD_SIZE "

# Find out which node of the job this is. Before: prl_nodes and prl_nproc_per_node are the spec's numbers, or 0 where the
# spec states none; prl_platform_names has six words, the variables that the spec names in place of the table's;
# prl_visible is local.cuda_visible_devices.
#
# Sets prl_platform (empty if no variable is there), prl_nodes, prl_node_rank, prl_nproc_per_node, prl_master_addr,
# prl_master_port and prl_platform_job (each empty if not known), and prl_refusal: why this node must not train, or
# nothing. The caller ends the job with prl_refusal when it can write exit.json; until then all numbers can be used.
prl_identify() {
  local LC_ALL=C
  prl_refusal=''
  prl_see_platform
  if ((${#prl_seen_faults[@]} > 0)); then
    printf -v prl_refusal '%s; ' "${prl_seen_faults[@]}"
    prl_refusal="the variables of the platform are wrong: ${prl_refusal%; }. Set them as the platform does, or name other variables with platform: {nodes: VARIABLE, …} in the spec"
  fi
  prl_take_nodes
  prl_take_processes
  prl_master_addr=${prl_seen[2]} prl_master_port=${prl_seen[3]} prl_platform_job=${prl_seen[5]}
  [[ -z $prl_refusal ]] || printf 'prl-submit: %s\n' "$prl_refusal" >&2
}
prl_refuse_place() { [[ -n $prl_refusal ]] || prl_refusal=$1; } # WORDS: the first refusal is told

prl_take_nodes() {
  local prl_stated=$prl_nodes prl_variable=${prl_platform_names[0]-}
  prl_node_rank=${prl_seen[1]:-0}
  if [[ -n ${prl_seen[0]} ]]; then
    ((prl_stated == 0 || prl_stated == prl_seen[0])) ||
      prl_refuse_place "resources.nodes in the spec is $prl_stated, but the platform has started ${prl_seen[0]} (${prl_seen_in[0]}=${prl_seen[0]}): change the spec or the platform's form"
    prl_nodes=${prl_seen[0]}
  elif [[ -n $prl_variable ]]; then
    prl_refuse_place "platform.nodes in the spec names $prl_variable, which is not set on this node"
  elif ((prl_stated > 1)); then
    prl_refuse_place "resources.nodes in the spec is $prl_stated, but no variable of a platform is set on this node: set NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT, or name the platform's variables with platform: {nodes: VARIABLE, …} in the spec"
  fi
  ((prl_nodes > 0)) || prl_nodes=1
  ((prl_node_rank < prl_nodes)) || prl_nodes=$((prl_node_rank + 1)) # only after a refusal
}

prl_take_processes() {
  local prl_stated=$prl_nproc_per_node prl_given=${prl_seen[4]} prl_from=${prl_seen_in[4]} prl_listed
  # A number of GPUs says nothing about the processes of a job that trains on the CPU.
  [[ ${prl_needs_gpus:-0} == 1 || $prl_from == *NPROC* || -n ${prl_platform_names[4]-} ]] || prl_given=''
  if ((prl_stated == 0)); then
    prl_listed=${prl_visible:-}
    prl_listed=${prl_listed//[!,]/}
    if [[ -n ${prl_visible:-} ]]; then
      prl_nproc_per_node=$((${#prl_listed} + 1))
    elif [[ -n $prl_given ]]; then
      prl_nproc_per_node=$prl_given
    else
      prl_count_processes
    fi
  elif [[ -z $prl_given ]]; then
    return 0
  elif [[ -n ${prl_visible:-} ]]; then
    ((prl_given >= prl_stated)) || prl_refuse_place "resources.nproc_per_node in the spec is $prl_stated, but the platform gives this node $prl_given ($prl_from=$prl_given)"
  else
    ((prl_given == prl_stated)) || prl_refuse_place "resources.nproc_per_node in the spec is $prl_stated, but the platform gives this node $prl_given ($prl_from=$prl_given): change the spec or the platform's form, or choose GPUs with local.cuda_visible_devices"
  fi
}
# Neither the spec nor a variable says how many processes: one for each GPU of this node.
prl_count_processes() {
  prl_nproc_per_node=1
  [[ ${prl_needs_gpus:-0} == 1 ]] || return 0
  prl_nproc_per_node=$(prl_visible_gpus)
  ((prl_nproc_per_node > 0)) && return 0
  prl_nproc_per_node=1
  prl_refuse_place "resources.nproc_per_node is not stated, no variable of the platform states it, and no GPU is visible on this node"
}

# GRPO's arithmetic, where only this node knows how many processes there are. prl-submit checks it before, where the spec
# says so: see prl_submit/rules/batch.py, whose messages these are.
prl_check_batch() { # NAME=NUMBER: the factors of the batches
  local prl_word prl_faults_of_batch='' prl_batch='' prl_world=$((prl_nodes * prl_nproc_per_node))
  local prl_of_world="nproc_per_node $prl_nproc_per_node x nodes $prl_nodes"
  local prl_group='' prl_device='' prl_total='' prl_steps='' prl_rows='' prl_eval_device='' prl_eval_group=''
  for prl_word in "$@"; do
    case $prl_word in
      num_generations=*) prl_group=${prl_word#*=} ;;
      per_device_train_batch_size=*) prl_device=${prl_word#*=} ;;
      generation_batch_size=*) prl_total=${prl_word#*=} ;;
      steps_per_generation=*) prl_steps=${prl_word#*=} ;;
      gradient_accumulation_steps=*) prl_rows=${prl_word#*=} ;;
      num_generations_eval=*) prl_eval_group=${prl_word#*=} ;;
      per_device_eval_batch_size=*) prl_eval_device=${prl_word#*=} ;;
    esac
  done
  [[ -z $prl_device ]] || prl_check_generation_batch
  [[ -z $prl_eval_device ]] || prl_check_evaluation_batch
  [[ -z $prl_faults_of_batch ]] || prl_fail 78 "${prl_faults_of_batch%; }; change the spec, or the number of nodes or GPUs in the platform's form"
}
prl_check_generation_batch() {
  local prl_from=''
  prl_batch=$((prl_device * prl_world))
  local prl_formula="per_device_train_batch_size x $prl_of_world = $prl_batch"
  [[ $prl_rows != about-16-rows ]] || prl_rows=$(((15 + prl_batch) / prl_batch))
  if [[ -z $prl_total ]]; then
    [[ -n $prl_steps ]] || prl_from=" (from gradient_accumulation_steps)"
    prl_steps=${prl_steps:-$prl_rows}
    prl_total=$((prl_batch * prl_steps))
  elif [[ -n $prl_steps ]] && ((prl_total != prl_batch * prl_steps)); then
    prl_faults_of_batch+="swift.generation_batch_size: $prl_total is not $prl_formula x steps_per_generation $prl_steps = $((prl_batch * prl_steps)); "
    return 0
  elif ((prl_total % prl_batch)); then
    prl_faults_of_batch+="swift.generation_batch_size: $prl_total is not a multiple of $prl_formula; "
    return 0
  else
    [[ -n $prl_steps ]] || prl_from=" (from generation_batch_size)"
    prl_steps=$((prl_total / prl_batch))
  fi
  ((prl_total % prl_group == 0)) ||
    prl_faults_of_batch+="swift.num_generations: $prl_group does not divide the generation batch $prl_total = per_device_train_batch_size $prl_device x $prl_of_world x steps_per_generation $prl_steps$prl_from; "
}
prl_check_evaluation_batch() {
  local prl_total=$((prl_eval_device * prl_world)) prl_name=num_generations
  [[ -z $prl_eval_group ]] || prl_name+=_eval
  ((prl_total % ${prl_eval_group:-$prl_group} == 0)) ||
    prl_faults_of_batch+="swift.$prl_name: ${prl_eval_group:-$prl_group} does not divide the evaluation batch $prl_total = per_device_eval_batch_size $prl_eval_device x $prl_of_world; "
}

# --- the variables of this node ---------------------------------------------------------------------
#
# prl_submit/backends/platform/variables.py does the same in Python. A test compares the two.

# Sets prl_platform, prl_seen (the values nodes, node_rank, master_addr, master_port, nproc_per_node, job; each empty if
# not known), prl_seen_in (the variables from which they are) and prl_seen_faults (what is wrong, in words).
prl_see_platform() {
  local LC_ALL=C prl_rest prl_line prl_apart='' prl_alone='' prl_orphan='' prl_row_is=''
  local prl_row=() prl_values=() prl_found_in=()
  prl_platform='' prl_seen=('' '' '' '' '' '') prl_seen_in=('' '' '' '' '' '') prl_seen_faults=()
  prl_rest=$prl_platform_table
  [[ -z ${prl_platform_names[0]-} ]] || prl_rest=$(prl_row_of_names)
  while [[ -n $prl_rest ]]; do
    prl_line=${prl_rest%%$'\n'*}
    prl_rest=${prl_rest#"$prl_line"}
    prl_rest=${prl_rest#$'\n'}
    prl_read_row "$prl_line" || continue
    case $prl_row_is in
      complete | wrong) prl_judge_row; return ;;
      apart) prl_apart=${prl_apart:-$prl_line} ;;
      alone) prl_alone=${prl_alone:-$prl_line} ;;
      orphan) prl_orphan=$prl_line ;; # a later row has the more general names
    esac
  done
  # No row is complete.
  prl_line=${prl_apart:-${prl_alone:-$prl_orphan}}
  [[ -z $prl_line ]] || { prl_read_row "$prl_line" && prl_judge_row; }
}

# Split a line of the table into prl_row, read its variables into prl_values and prl_found_in, and set prl_row_is:
#   absent    the number of nodes is not stated          wrong     a number is wrong
#   orphan    a rank and an address without a number     complete  all that is needed
#   alone     one node, without a rank                   apart     several nodes, without a rank or an address
prl_read_row() { # LINE; false if it is no row
  local prl_i prl_cell='[[:space:]]+([^[:space:]]+)' prl_value prl_found
  [[ $1 =~ ^([^[:space:]#]+)$prl_cell$prl_cell$prl_cell$prl_cell$prl_cell$prl_cell$prl_cell ]] || return 1
  prl_row=("${BASH_REMATCH[@]:1:8}") prl_values=() prl_found_in=()
  for ((prl_i = 0; prl_i < 6; prl_i++)); do
    [[ -z ${prl_platform_names[prl_i]-} ]] || prl_row[prl_i + 1]=${prl_platform_names[prl_i]}
    # A list of hosts or ports is no host and no port, so the spec may name one.
    [[ -z ${prl_platform_names[prl_i]-} || $prl_i != [23] || ${prl_row[prl_i + 1]} == *'[0]' ]] || prl_row[prl_i + 1]+='[0]'
    prl_read_cell "${prl_row[prl_i + 1]}"
    prl_values[prl_i]=$prl_value prl_found_in[prl_i]=$prl_found
  done
  prl_read_cell "${prl_row[7]}"
  if [[ -n $prl_value ]]; then prl_row_is=absent; else prl_classify_row; fi
}
prl_classify_row() {
  local prl_count=${prl_values[0]} prl_rank=${prl_values[1]} prl_address=${prl_values[2]}
  if [[ -z $prl_count ]]; then
    prl_row_is=absent
    [[ -z $prl_rank || -z $prl_address ]] || prl_is_this_node "$prl_address" || prl_row_is=orphan
  elif ! prl_is_number "$prl_count" || ((10#$prl_count == 0)); then
    prl_row_is=wrong
  elif [[ -z $prl_rank ]]; then
    if ((10#$prl_count == 1)); then prl_row_is=alone; else prl_row_is=apart; fi
  elif ! prl_is_number "$prl_rank" || ((10#$prl_rank >= 10#$prl_count)); then
    prl_row_is=wrong
  elif [[ -z $prl_address ]] && ((10#$prl_count > 1)); then
    prl_row_is=apart
  else
    prl_row_is=complete
  fi
}

# The first variable of a cell that is set: its value into prl_value, its name into prl_found; else both are empty.
prl_read_cell() { # CELL
  local prl_words=$1'|' prl_word
  prl_value='' prl_found=''
  [[ $1 != - ]] || return 0
  while [[ -z $prl_value && -n $prl_words ]]; do
    prl_word=${prl_words%%'|'*}
    prl_words=${prl_words#*'|'}
    prl_found=${prl_word%'[0]'}
    # Bash would run the text in the brackets of another name.
    [[ $prl_found =~ ^[a-zA-Z_][a-zA-Z0-9_]*$ ]] || continue
    [[ -z ${LOCAL_RANK:-}${TORCHELASTIC_RUN_ID:-} || $prl_torchrun_sets != *" $prl_found "* ]] || continue
    prl_value=${!prl_found-}
    if [[ $prl_word == *'[0]' ]]; then
      prl_value=${prl_value#"${prl_value%%[!,;[:space:]]*}"}
      prl_value=${prl_value%%[,;[:space:]]*}
    fi
  done
  [[ -n $prl_value ]] || prl_found=''
}

# If the spec names the variable of the nodes, the table is one row: each cell has the name of the spec, or else all
# names of the table, in the table's order.
prl_row_of_names() {
  local prl_rest=$prl_platform_table prl_line prl_i prl_cells=() prl_row=() prl_values=() prl_found_in=() prl_row_is
  while [[ -n $prl_rest ]]; do
    prl_line=${prl_rest%%$'\n'*}
    prl_rest=${prl_rest#"$prl_line"}
    prl_rest=${prl_rest#$'\n'}
    prl_read_row "$prl_line" || continue
    for ((prl_i = 0; prl_i < 6; prl_i++)); do
      if [[ -n ${prl_platform_names[prl_i]-} ]]; then
        prl_cells[prl_i]=${prl_platform_names[prl_i]}
      elif [[ ${prl_row[prl_i + 1]} != - ]]; then
        prl_cells[prl_i]=${prl_cells[prl_i]:+${prl_cells[prl_i]}|}${prl_row[prl_i + 1]}
      fi
    done
  done
  echo "spec ${prl_cells[*]} -"
}

# Take the row that was read: its values into prl_seen, and what is wrong into prl_seen_faults.
prl_judge_row() {
  local prl_several=0
  prl_platform=${prl_row[0]}
  prl_seen_in=("${prl_found_in[@]}")
  if [[ -z ${prl_values[0]} ]]; then
    prl_add_fault "$(prl_set_to 1) and $(prl_set_to 2), but the number of nodes is not known: $(prl_not_set 0)"
    return 0
  elif ! prl_is_number "${prl_values[0]}" || ((10#${prl_values[0]} == 0)); then
    if [[ ${prl_values[0]} =~ ^[0-9]+:[0-9]+$ ]]; then
      prl_add_fault "$(prl_set_to 0) is a range, and the number of nodes must be fixed"
    else
      prl_add_fault "$(prl_set_to 0) is not a number of nodes"
    fi
    return 0
  fi
  prl_seen[0]=$((10#${prl_values[0]}))
  ((prl_seen[0] == 1)) || prl_several=1
  prl_judge_rank
  prl_judge_address
  prl_judge_port
  prl_judge_processes
  [[ -z ${prl_values[5]} ]] || prl_seen[5]=$(prl_shown "${prl_values[5]}")
}
prl_judge_rank() {
  if [[ -z ${prl_values[1]} ]]; then
    ((prl_several)) || prl_seen[1]=0
    ((prl_several == 0)) || prl_add_fault "there are ${prl_seen[0]} nodes ($(prl_set_to 0)), but which of them this one is, is not known: $(prl_not_set 1)"
  elif prl_is_number "${prl_values[1]}" && ((10#${prl_values[1]} < prl_seen[0])); then
    prl_seen[1]=$((10#${prl_values[1]}))
  else
    prl_add_fault "$(prl_set_to 1) is not a node of ${prl_seen[0]} ($(prl_set_to 0)): the nodes are counted from 0"
  fi
}
prl_judge_address() { # one node needs none
  if [[ -z ${prl_values[2]} ]]; then
    ((prl_several == 0)) || prl_add_fault "there are ${prl_seen[0]} nodes ($(prl_set_to 0)), but the address of node 0 is not known: $(prl_not_set 2)"
  elif ! prl_is_address "${prl_values[2]}"; then
    ((prl_several == 0)) || prl_add_fault "$(prl_set_to 2) is not a host name or an address"
  elif prl_is_this_node "${prl_values[2]}"; then
    ((prl_several == 0)) || prl_add_fault "$(prl_set_to 2) is each node itself, so the ${prl_seen[0]} nodes ($(prl_set_to 0)) cannot find node 0"
  else
    prl_seen[2]=${prl_values[2]}
  fi
}
prl_judge_port() {
  local prl_port=${prl_values[3]}
  if [[ -z $prl_port || $prl_port =~ ^0+$ ]]; then
    return 0
  elif prl_is_number "$prl_port" && ((10#$prl_port < 65536)); then
    prl_seen[3]=$((10#$prl_port))
  elif ((prl_several)); then
    prl_add_fault "$(prl_set_to 3) is not a port"
  fi
}
prl_judge_processes() {
  local prl_count=${prl_values[4]}
  [[ ! $prl_count =~ ^(0*|[aA][uU][tT][oO]|[gGcCxX][pP][uU])$ ]] || return 0 # not stated
  if prl_is_number "$prl_count"; then
    prl_seen[4]=$((10#$prl_count))
  else
    prl_add_fault "$(prl_set_to 4) is not a number of processes"
  fi
}

prl_add_fault() { prl_seen_faults+=("$1"); }
prl_is_number() { [[ $1 =~ ^[0-9]{1,6}$ ]]; }
prl_is_address() { # a name, an IPv4 address or an IPv6 address
  ((${#1} < 256)) && { [[ $1 =~ ^[a-zA-Z0-9_][a-zA-Z0-9._-]*$ ]] || [[ $1 =~ ^\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*(%[a-zA-Z0-9._-]+)?\]?$ ]]; }
}
prl_is_this_node() { # ADDRESS
  [[ $1 =~ ^(localhost(\..*)?|ip6-localhost|127\.[0-9.]*|\[?::1?\]?|0\.0\.0\.0)$ ]]
}
prl_set_to() { printf '%s=%s' "${prl_found_in[$1]}" "$(prl_shown "${prl_values[$1]}")"; } # INDEX
prl_not_set() { # INDEX of the cell whose variables are not set
  local prl_columns=(nodes node_rank master_addr master_port nproc_per_node job) prl_cell=${prl_row[$1 + 1]//'[0]'/}
  if [[ $prl_cell == *'|'*'|'*'|'* ]]; then
    printf 'no known variable is set; platform.%s can name another' "${prl_columns[$1]}"
  else
    printf '%s is not set' "${prl_cell//'|'/ or }"
  fi
}
# A value for a message, of at most 60 bytes, without control characters and without bytes that are not UTF-8.
prl_shown() { # VALUE
  local LC_ALL=C prl_text=${1//[[:cntrl:]]/?}
  if ((${#prl_text} > 60)); then
    prl_text=${prl_text//[!\ -~]/?}
    prl_text=${prl_text:0:60}…
  elif [[ $prl_text == *[!\ -~]* ]] && ! printf '%s' "$prl_text" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
    prl_text=${prl_text//[!\ -~]/?}
  fi
  printf '%s' "$prl_text"
}
