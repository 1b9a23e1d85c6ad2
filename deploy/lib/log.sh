# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Messages of the shell programs. Everything goes to stderr, so that stdout stays free for the program's own
# result (quickstart hands the guest's stdout through); with a log file named, the output of noisy commands goes
# there and nowhere else, and an error names it.

MB_PROG=${MB_PROG:-${0##*/}}
MB_LOG=${MB_LOG:-}     # path of the log file, or empty
MB_QUIET=${MB_QUIET:-} # non-empty: only warnings and errors on stderr
MB_T0=${MB_T0:-$EPOCHSECONDS} # when the run began; child programs inherit it
export MB_T0

# log_open FILE: from now on a copy of every message, and the output of log_run, goes to FILE.
log_open()
{
	mkdir -p "$(dirname "$1")" || return 1
	: >>"$1" || return 1
	MB_LOG=$1
}

log__emit()
{
	[ -z "$MB_LOG" ] || printf '%(%H:%M:%S)T %s\n' -1 "$*" >>"$MB_LOG"
}

# step TEXT: a step begins; says what it does.
step()
{
	log__emit "== $*"
	[ -n "$MB_QUIET" ] || printf '[%4ds] %s\n' "$((EPOCHSECONDS - MB_T0))" "$*" >&2
}

# note TEXT: a detail below the current step.
note()
{
	log__emit "   $*"
	[ -n "$MB_QUIET" ] || printf '        %s\n' "$*" >&2
}

warn()
{
	log__emit "warning: $*"
	printf '%s: warning: %s\n' "$MB_PROG" "$*" >&2
}

# fail TEXT [REMEDY]: says what is wrong, what to do about it and where the log is; the caller decides how to leave.
fail()
{
	log__emit "error: $1"
	printf '%s: error: %s\n' "$MB_PROG" "$1" >&2
	[ -z "${2:-}" ] || printf '%s: what to do: %s\n' "$MB_PROG" "$2" >&2
	[ -z "$MB_LOG" ] || printf '%s: log: %s\n' "$MB_PROG" "$MB_LOG" >&2
}

# die TEXT [REMEDY]: fail, then leave with MB_DIE_STATUS (default 1).
die()
{
	fail "$@"
	exit "${MB_DIE_STATUS:-1}"
}

log__tail()
{
	[ -n "$MB_LOG" ] || return 0
	tail -n 15 "$MB_LOG" | sed 's/^/        | /' >&2
}

# log__watch PID TEXT: on a terminal, a line that shows the seconds of a long step until PID ends.
log__watch()
{
	local pid=$1 text=$2 t=$SECONDS said=$SECONDS
	[ -z "$MB_QUIET" ] || return 0
	while kill -0 "$pid" 2>/dev/null; do
		if [ $((SECONDS - t)) -ge 2 ]; then
			if [ -t 2 ]; then
				printf '\r        %s ... %ds ' "$text" "$((SECONDS - t))" >&2
			elif [ $((SECONDS - said)) -ge 30 ]; then
				said=$SECONDS
				printf '        %s ... %ds\n' "$text" "$((SECONDS - t))" >&2
			fi
		fi
		sleep 0.2
	done
	if [ -t 2 ] && [ $((SECONDS - t)) -ge 2 ]; then
		printf '\r\033[K' >&2
	fi
}

# log_run TEXT CMD...: runs CMD with its output in the log, showing progress; on failure the end of the log.
# MB_RUN_PID is its process group while it runs (lib/cleanup.sh ends it on a signal). Returns CMD's status.
log_run()
{
	local text=$1 rc
	shift
	log__emit "\$ $*"
	# Job control gives the command a process group of its own, so that a trap can end all of it.
	set -m
	if [ -n "$MB_LOG" ]; then
		"$@" >>"$MB_LOG" 2>&1 </dev/null &
	else
		"$@" >&2 </dev/null &
	fi
	MB_RUN_PID=$!
	set +m
	log__watch "$MB_RUN_PID" "$text"
	wait "$MB_RUN_PID"
	rc=$?
	MB_RUN_PID=
	if [ $rc -ne 0 ]; then
		log__emit "status $rc"
		log__tail
	fi
	return $rc
}
