# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The run directory: what one run makes outside the cache. Its lock is held by the run, so whoever can take the lock
# knows that the run is over and may remove what is left. A run's processes carry MIRRORBALL_RUN in their environment.

# run_base: one directory per user for all his runs.
run_base()
{
	printf '%s\n' "${MIRRORBALL_RUN_BASE:-/tmp/mirrorball-$(id -u)}"
}

# run_begin: makes RUN_DIR (and RUN_ID) and locks it until this process ends.
run_begin()
{
	local base
	base=$(run_base)
	# 711: a slice of another user passes through, and lists nothing.
	[ -d "$base" ] || mkdir -m 711 "$base" 2>/dev/null
	[ -d "$base" ] && [ -O "$base" ] && [ ! -L "$base" ] ||
		die "$base is not a directory of yours" "remove it, or name another in MIRRORBALL_RUN_BASE"
	RUN_DIR=$(mktemp -d "$base/XXXXXX") || die "cannot write to $base" "name another place in MIRRORBALL_RUN_BASE"
	chmod 711 "$RUN_DIR"
	RUN_ID=${RUN_DIR##*/}
	exec {RUN_FD}>"$RUN_DIR/lock"
	flock "$RUN_FD"
	export RUN_DIR RUN_ID MIRRORBALL_RUN=$RUN_ID
	cleanup_push run_remove "$RUN_DIR"
}

# run_pids ID: the processes of a run, by their environment, without this shell and its parents.
run_pids()
{
	local p pid
	for p in /proc/[0-9]*/environ; do
		pid=${p#/proc/}
		pid=${pid%/environ}
		# shellcheck disable=SC2153 # MB_SELF is an optional list
		case " $$ $BASHPID $PPID ${MB_SELF:-} " in *" $pid "*) continue ;; esac
		if tr '\0' '\n' 2>/dev/null <"$p" | grep -qx "MIRRORBALL_RUN=$1"; then
			echo "$pid"
		fi
	done 2>/dev/null
}

# run_remove DIR: ends what still runs for it and removes it.
run_remove()
{
	local id=${1##*/} pids n=0
	[ -d "$1" ] || return 0
	while mapfile -t pids < <(run_pids "$id") && [ ${#pids[@]} -gt 0 ] && [ $n -lt 50 ]; do
		if [ $n -lt 20 ]; then kill -TERM "${pids[@]}" 2>/dev/null; else kill -KILL "${pids[@]}" 2>/dev/null; fi
		n=$((n + 1))
		sleep 0.1
	done
	rm -rf "$1"
}

# run_clean: removes what killed runs of this user left. Prints how many.
run_clean()
{
	local d n=0 fd
	for d in "$(run_base)"/*/; do
		d=${d%/}
		[ -e "$d/lock" ] || continue
		exec {fd}>>"$d/lock" || continue
		if flock -n "$fd"; then
			step "Removing what is left of run ${d##*/}"
			run_remove "$d"
			n=$((n + 1))
		else
			note "run ${d##*/} is alive: left alone"
		fi
		exec {fd}>&-
	done
	rmdir "$(run_base)" 2>/dev/null
	echo "$n"
}
