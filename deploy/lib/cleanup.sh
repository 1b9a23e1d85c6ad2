# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A stack of things to undo, run once, newest first, however the program ends. Push *before* making the thing where
# undoing nothing is harmless: then no signal can fall between the making and the pushing.

MB_CLEANUP=()
MB_CLEANUP_PID=

# cleanup_init: from now on the stack runs at exit; INT, TERM and HUP end the program through it.
cleanup_init()
{
	MB_CLEANUP=()
	MB_CLEANUP_PID=$BASHPID
	trap 'cleanup__exit $?' EXIT
	trap 'cleanup__signal 130' INT
	trap 'cleanup__signal 143' TERM
	trap 'cleanup__signal 129' HUP
}

# cleanup_push CMD ARG...: words, not a string to parse again.
cleanup_push()
{
	MB_CLEANUP+=("$(printf '%q ' "$@")")
}

cleanup__signal()
{
	trap '' INT TERM HUP
	if [ -n "${MB_RUN_PID:-}" ]; then
		kill -TERM -- "-$MB_RUN_PID" 2>/dev/null
		wait "$MB_RUN_PID" 2>/dev/null
	fi
	exit "$1"
}

cleanup__exit()
{
	local rc=$1 i
	# A subshell inherits the trap but owns none of the things.
	[ "$BASHPID" = "$MB_CLEANUP_PID" ] || exit "$rc"
	trap '' INT TERM HUP
	trap - EXIT
	for ((i = ${#MB_CLEANUP[@]} - 1; i >= 0; i--)); do
		eval "${MB_CLEANUP[i]}" || :
	done
	exit "$rc"
}
