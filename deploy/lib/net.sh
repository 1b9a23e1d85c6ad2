# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A private world for a rig: pid, mount and network namespaces of its own, in them a bridge and one network namespace for
# each host. All of it belongs to one process, so the kernel removes it when that process ends, however it ends.
#
#	             10.77.0.254 coordinator, servers of tests
#	   -------- mb0 (bridge, in the rig's own namespace) --------
#	      |                |                |
#	   eth0 10.77.0.1   eth0 10.77.0.2   eth0 10.77.0.3
#	   host1            host2            host3

NET_PREFIX=10.77.0
# shellcheck disable=SC2034 # for those who source this
NET_CENTRE=$NET_PREFIX.254

# net_enter PROGRAM ARG...: runs it in a private world and returns its status. The terminal stays the program's; a
# signal to us goes on to it, and if we are killed so is it, with everything it started.
net_enter()
{
	local rc
	# An asynchronous command of a shell starts with SIGINT ignored and without our stdin: undo both.
	exec {MB_STDIN}<&0
	env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
		unshare --pid --net --mount --propagation private --mount-proc --fork --kill-child "$@" <&"$MB_STDIN" {RUN_FD}>&- &
	MB_WORLD=$!
	exec {MB_STDIN}<&-
	trap : INT # the terminal has sent it to the program as well
	trap 'net__signal TERM' TERM
	trap 'net__signal HUP' HUP
	while :; do
		wait "$MB_WORLD"
		rc=$?
		kill -0 "$MB_WORLD" 2>/dev/null || break
	done
	return $rc
}

net__signal()
{
	pkill "-$1" -P "$MB_WORLD"
}

# net_up N: inside the private world, the bridge and the namespaces of hosts 1..N.
net_up()
{
	local n=$1 i
	# Names of network namespaces live in this directory: hide the machine's.
	mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link set lo up &&
		ip link add mb0 type bridge && ip addr add "$NET_CENTRE/24" dev mb0 && ip link set mb0 up || return 1
	for ((i = 1; i <= n; i++)); do
		# A fixed MAC address: a host that comes back is reached at once, not after ARP has noticed.
		ip netns add "host$i" &&
			ip link add "mb0h$i" type veth peer name eth0 netns "host$i" address "02:00:00:4d:42:0$i" &&
			ip link set "mb0h$i" master mb0 up &&
			ip -n "host$i" link set lo up &&
			ip -n "host$i" addr add "$NET_PREFIX.$i/24" dev eth0 &&
			ip -n "host$i" link set eth0 up || return 1
	done
}

# net_exec I CMD...: becomes CMD on host I. Not `ip netns exec`, which would remount /sys.
net_exec()
{
	local i=$1
	shift
	exec nsenter --net="/run/netns/host$i" -- "$@"
}

# net_plain PROGRAM ARG...: the same without a world of its own, for an ordinary user: hosts are loopback addresses.
net_plain()
{
	local rc
	exec {MB_STDIN}<&0
	env --default-signal=INT,QUIT setpriv --pdeathsig TERM "$@" <&"$MB_STDIN" {RUN_FD}>&- &
	MB_WORLD=$!
	exec {MB_STDIN}<&-
	trap : INT
	trap 'kill -TERM "$MB_WORLD"' TERM
	trap 'kill -HUP "$MB_WORLD"' HUP
	while :; do
		wait "$MB_WORLD"
		rc=$?
		kill -0 "$MB_WORLD" 2>/dev/null || break
	done
	return $rc
}

# net_plain_prefix: three parts of a loopback address that another run hardly has.
net_plain_prefix()
{
	printf '127.%d.%d\n' $((RANDOM % 200 + 30)) $((RANDOM % 250 + 1))
}
