#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/lib/rig.sh N PROGRAM ARG...: runs PROGRAM in a private world (deploy/lib/net.sh) with hosts 1 to N, and ends with its
# status. The kernel removes the world with all its processes when this ends, however it ends. Needs root.
set -u -o pipefail
# shellcheck source=deploy/lib/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib/lib.sh"
# shellcheck source=deploy/lib/net.sh
. "$MB_DEPLOY/lib/net.sh"

MB_PROG=rig.sh
if [ -z "${MB_RIG_INSIDE:-}" ]; then
	[ "$(id -u)" -eq 0 ] || die "network namespaces need root" "run it as root"
	# net_enter closes the lock of a run, which we have not.
	exec {RUN_FD}</dev/null
	export MB_RIG_INSIDE=1
	net_enter "${BASH_SOURCE[0]}" "$@"
	exit
fi
net_up "$1" || die "the network namespaces could not be made" "see the message of ip above"
# What libfabric would leave in shared memory has to be ours to be seen.
mount -t tmpfs tmpfs /dev/shm || die "no file system for shared memory" "see the message of mount above"
shift
# Not exec: as the first process of the world this shell takes in what loses its parent.
"$@" &
program=$!
trap 'kill -TERM "$program"' TERM HUP INT
while :; do
	wait "$program"
	rc=$?
	kill -0 "$program" 2>/dev/null || exit $rc
done
