# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What a rig needs of this machine, asked before anything is installed or built. Each function names what is missing
# and the remedy; nothing is changed.

preflight_system()
{
	local id='' version=''
	[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] ||
		die "this is $(uname -s) on $(uname -m)" "use an x86-64 Linux host: the software engine needs its floating point"
	# shellcheck disable=SC1091 # a file of the system
	[ ! -r /etc/os-release ] || { id=$(. /etc/os-release && echo "$ID") && version=$(. /etc/os-release && echo "${VERSION_ID:-}"); }
	case $id:$version in
	debian:12 | debian:13) ;;
	*) warn "made for Debian 12 and 13; this is ${id:-unknown} ${version:-}" ;;
	esac
	command -v apt-get >/dev/null || die "there is no apt-get here" "use Debian 12 or 13"
}

# preflight_disk DIR MIB
preflight_disk()
{
	local free
	free=$(cache_free_mib "$1")
	[ "$free" -ge "$2" ] || die "$free MiB are free at $1, $2 MiB are needed" \
		"free some, or choose another place with --cache-dir DIR"
}

# preflight_memory MIB: what the guest and its machinery will take at most.
preflight_memory()
{
	local have
	have=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
	[ "$have" -ge "$1" ] || die "$have MiB of memory are available, this machine would need $1 MiB" \
		"give it less with --memory, or stop something"
}

# The kernel's part: user-mode userfaultfd is enough for the software engine.
preflight_kernel()
{
	local release major minor
	release=$(uname -r)
	major=${release%%.*}
	minor=${release#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 1 ]; } ||
		die "Linux $release is too old" "use Linux 6.1 (Debian 12) or newer"
	grep -q ' userfaultfd_' /proc/kallsyms 2>/dev/null || [ -e /proc/sys/vm/unprivileged_userfaultfd ] ||
		die "this kernel has no userfaultfd" "use a kernel with CONFIG_USERFAULTFD"
}

# Namespaces with bridges and veth pairs, tried out in one that ends at once.
preflight_namespaces()
{
	[ "$(id -u)" -eq 0 ] || die "hosts in network namespaces need root" \
		"run it as root, or with --plain as an ordinary user"
	unshare --net --mount --pid --fork sh -c 'ip link add mbt0 type bridge && ip link add mbt1 type veth peer name mbt2' \
		>>"${MB_LOG:-/dev/null}" 2>&1 ||
		die "network namespaces with a bridge and veth pairs do not work here" \
			"run it where they do (in a container: with CAP_SYS_ADMIN and CAP_NET_ADMIN), or with --plain"
}
