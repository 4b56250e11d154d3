#!/usr/bin/env bash
# Turn new namespaces into a node, and run one command as the node's first process.
# usage: platform_node.sh NAME ADDRESS PORT HOSTS_FILE TMP FOLDER COMMAND [FROM=TO]...
#
# platform_nodes.py starts this script in new namespaces for the network, the host name and the mounts.
#   PORT        a name that is free in the switch, for the other end of the node's network cable
#   HOSTS_FILE  takes the place of /etc/hosts
#   TMP         an empty folder, on which the node's own /tmp is made
#   FOLDER      where the command starts
#   FROM=TO     the node sees the folder FROM at TO; all of /tmp that no TO names is the node's own
set -euo pipefail
name=$1 address=$2 port=$3 hosts=$4 new=$5 folder=$6 command=$7
shift 7

hostname "$name"
# Process 1 is the switch: its network has the bridge br0.
nsenter --target 1 --net -- ip link add "$port" type veth peer name eth0 netns $$
nsenter --target 1 --net -- ip link set "$port" master br0 up
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up

mount --bind "$hosts" /etc/hosts
mount -t tmpfs tmpfs /dev/shm
# /tmp is the node's own. What the node may see below the old /tmp is bound to the same place in the new one.
mount -t tmpfs tmpfs "$new"
bind() { # FROM TO
  [[ $2 != /tmp/* ]] || mkdir -p -- "$new${2#/tmp}"
  if [[ $2 == /tmp/* ]]; then mount --rbind -- "$1" "$new${2#/tmp}"; else mount --rbind -- "$1" "$2"; fi
}
for pair; do bind "${pair%%=*}" "${pair#*=}"; done
mkdir -p -- "$new/home"
mount --rbind "$new" /tmp

cd -- "$folder"
# --kill-child: the node ends together with this process.
exec unshare --pid --fork --kill-child=KILL --mount-proc -- bash -c "$command"
