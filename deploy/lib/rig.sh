# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A rig: coordinator, one agent for each host, and a machine over them. Needs RUN_DIR, LOG_DIR, BUILD_DIR, GUEST_DIR, and
# to be inside the private world (net_enter) unless it is a plain one. The only place of deploy/ that calls our programs.

RIG_VM=quickstart
RIG_PORT=7440
RIG_UIDS=2000000-2000999 # of the machines' slices
RIG_WAIT_S=30

# rig_cli ARG...: the command line program, as administrator.
rig_cli()
{
	MIRRORBALL_COORDINATOR=$RIG_COORDINATOR MIRRORBALL_PKI=$RUN_DIR/pki "$BUILD_DIR/mirrorball" "$@"
}

# rig__client ARG...: the same with our standard input, in the background of a wait: a shell runs its traps during that and
# not while a program is in the foreground, and SIGTERM has to end a run at once.
rig__client()
{
	local rc
	MIRRORBALL_COORDINATOR=$RIG_COORDINATOR MIRRORBALL_PKI=$RUN_DIR/pki "$BUILD_DIR/mirrorball" "$@" <&0 &
	RIG_CLIENT=$!
	wait "$RIG_CLIENT"
	rc=$?
	RIG_CLIENT=''
	return $rc
}

# rig_spawn NAME HOST CMD...: a daemon with its log; HOST is its number, 0 the centre. Its pid goes to RUN_DIR/NAME.pid.
rig_spawn()
{
	local name=$1 host=$2
	shift 2
	if [ -n "$RIG_PLAIN" ] || [ "$host" -eq 0 ]; then
		setsid "$@" </dev/null >>"$LOG_DIR/$name.log" 2>&1 &
	else
		setsid nsenter --net="/run/netns/host$host" -- "$@" </dev/null >>"$LOG_DIR/$name.log" 2>&1 &
	fi
	echo $! >"$RUN_DIR/$name.pid"
	disown $!
}

# rig_end NAME: ends that daemon and waits until it is gone.
rig_end()
{
	local pid n=0
	pid=$(cat "$RUN_DIR/$1.pid" 2>/dev/null) || return 0
	kill -TERM "$pid" 2>/dev/null
	while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do
		n=$((n + 1))
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null
	rm -f "$RUN_DIR/$1.pid"
}

rig_alive()
{
	local pid
	pid=$(cat "$RUN_DIR/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}

# rig_trouble NAME TEXT: a daemon's last words, then die.
rig_trouble()
{
	tail -n 10 "$LOG_DIR/$1.log" | sed 's/^/        | /' >&2
	die "$2" "see $LOG_DIR/$1.log"
}

# rig_until NAME TEXT CMD...: waits for CMD to succeed as long as the daemon NAME lives, at most RIG_WAIT_S.
rig_until()
{
	local name=$1 text=$2 t=$SECONDS
	shift 2
	until "$@" >>"$MB_LOG" 2>&1; do
		rig_alive "$name" || rig_trouble "$name" "$name has ended"
		[ $((SECONDS - t)) -lt $RIG_WAIT_S ] || rig_trouble "$name" "$text: still not so after $RIG_WAIT_S s"
		sleep 0.1
	done
}

rig__hosts_online()
{
	[ "$(rig_cli host list --output json | grep -o '"online": *true' | wc -l)" -eq "$1" ]
}

# rig_begin N PLAIN: from nothing to N hosts that the coordinator knows. Undone by the clean-up stack.
rig_begin()
{
	local n=$1 prefix i
	RIG_HOSTS=$n
	RIG_PLAIN=$2
	prefix=$NET_PREFIX
	if [ -n "$RIG_PLAIN" ]; then
		prefix=$(net_plain_prefix)
	else
		step "Making $n hosts: network namespaces at $NET_PREFIX.1 to $NET_PREFIX.$n"
		net_up "$n" >>"$MB_LOG" 2>&1 || die "the network namespaces could not be made" "try --plain"
	fi
	RIG_COORDINATOR=$prefix.254:$RIG_PORT
	rig__certificates "$n"
	cleanup_push rig_down
	step "Starting the coordinator and $n agents"
	mkdir -p "$RUN_DIR/state"
	rig_spawn coordinator 0 "$BUILD_DIR/mirrorball-coordinator" --listen "$RIG_COORDINATOR" \
		--pki "$RUN_DIR/pki" --state-dir "$RUN_DIR/state"
	for ((i = 1; i <= n; i++)); do
		rig_agent "$i" "$prefix.$i"
	done
	rig_until coordinator "the coordinator answers" rig_cli host list
	for ((i = 1; i <= n; i++)); do
		rig_alive "agent$i" || rig_trouble "agent$i" "the agent of host$i has ended"
	done
	rig_until coordinator "all $n hosts are online" rig__hosts_online "$n"
}

rig__certificates()
{
	local i
	"$BUILD_DIR/mirrorball" init --dir "$RUN_DIR/pki" >>"$MB_LOG" 2>&1 ||
		die "the certificates could not be made"
	for ((i = 1; i <= $1; i++)); do
		"$BUILD_DIR/mirrorball" init --dir "$RUN_DIR/pki" --host "host$i" >>"$MB_LOG" 2>&1 ||
			die "the certificate of host$i could not be made"
	done
}

# rig_agent I ADDRESS: the agent of host I.
rig_agent()
{
	local uids=()
	[ "$(id -u)" -ne 0 ] || [ -n "$RIG_PLAIN" ] || uids=(--uids "$RIG_UIDS")
	mkdir "$RUN_DIR/host$1" && chmod 711 "$RUN_DIR/host$1"
	rig_spawn "agent$1" "$1" "$BUILD_DIR/mirrorball-agent" --coordinator "$RIG_COORDINATOR" \
		--pki "$RUN_DIR/pki" --identity "host$1" --fabric "$2" --run-dir "$RUN_DIR/host$1" \
		--log-dir "$LOG_DIR/host$1" --slice-program "$BUILD_DIR/mirrorball-slice" \
		--cpus "${RIG_CPUS:-$(nproc)}" --memory "${RIG_MEMORY_MIB:-1024}M" "${uids[@]}"
}

# rig_vm_create ARG...: describes the machine; ARGs are those of `mirrorball vm create`.
rig_vm_create()
{
	rig_cli vm create "$RIG_VM" --hosts "$RIG_HOSTS" --kernel "$GUEST_DIR/Image" --initrd "$GUEST_DIR/initrd" "$@" \
		>>"$MB_LOG" 2> >(tee -a "$MB_LOG" >&2) || die "the machine was refused" "see the reason above"
}

rig_vm_start()
{
	rig_cli vm start "$RIG_VM" >>"$MB_LOG" 2> >(tee -a "$MB_LOG" >&2) ||
		die "the machine did not start" "the slices' logs are in $LOG_DIR/host*/"
}

# rig_vm_reason: why the machine ended, in one word of proto/slice.proto's StopReason, lower case; empty while it runs.
rig_vm_reason()
{
	# The first is the machine's own, those of its slices follow.
	rig_cli vm show "$RIG_VM" --output json 2>>"$MB_LOG" | grep -o '"reason": *"[^"]*"' | head -n 1 | sed 's/.*"\(.*\)"/\1/'
}

# rig_exec CMD TIMEOUT: runs CMD in the machine, and keeps its console as a log. Sets RIG_STATUS.
rig_exec()
{
	rig_cli vm console "$RIG_VM" </dev/null >"$LOG_DIR/console.log" 2>>"$MB_LOG" &
	rig__client vm exec "$RIG_VM" --timeout "$2" -- "$1"
	RIG_STATUS=$?
	case $RIG_STATUS in
	200) fail "the command could not be run" "see the reason above and the logs" && RIG_STATUS=205 ;;
	201) fail "the guest's kernel panicked" "its last words follow, all of them are in $LOG_DIR/console.log" && rig__last_words ;;
	202) fail "a slice was lost" "the slices' logs say more" ;;
	203) fail "the command was not done after $2 s" "give it more time with --timeout" ;;
	204) fail "the machine ended before the command did" "the command, or the guest, turned it off" ;;
	esac
	return 0
}

rig__last_words()
{
	tail -n 25 "$LOG_DIR/console.log" | tr -d '\r' | sed 's/^/        | /' >&2
}

# rig_console TIMEOUT: the machine's console on our terminal, until it is left or the machine ends. Sets RIG_STATUS.
rig_console()
{
	local watch='' rc
	if [ -n "$1" ]; then
		(sleep "$1"; : >"$RUN_DIR/over"; rig_cli vm stop "$RIG_VM" >>"$MB_LOG" 2>&1) &
		watch=$!
	fi
	rig__client vm console "$RIG_VM"
	rc=$?
	[ -z "$watch" ] || kill "$watch" 2>/dev/null
	if [ -e "$RUN_DIR/over" ]; then
		RIG_STATUS=203
		fail "the time of $1 s is over" "give it more with --timeout"
		return
	fi
	case $(rig_vm_reason) in
	panic) RIG_STATUS=201 ;;
	lost-slice) RIG_STATUS=202 ;;
	*) if [ $rc -eq 0 ]; then RIG_STATUS=0; else RIG_STATUS=205; fi ;;
	esac
}

# rig_down: the machine and its hosts end, in order.
rig_down()
{
	local i
	if [ -n "${RIG_CLIENT:-}" ]; then
		# It restores the terminal.
		kill -TERM "$RIG_CLIENT" 2>/dev/null
		wait "$RIG_CLIENT" 2>/dev/null
	fi
	if rig_alive coordinator; then
		export MIRRORBALL_COORDINATOR=$RIG_COORDINATOR MIRRORBALL_PKI=$RUN_DIR/pki
		timeout 15 "$BUILD_DIR/mirrorball" vm stop "$RIG_VM" >>"$MB_LOG" 2>&1
	fi
	for ((i = 1; i <= RIG_HOSTS; i++)); do rig_end "agent$i"; done
	rig_end coordinator
}
