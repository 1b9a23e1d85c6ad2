# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For the scripts tests/GROUP/run. They get from tests/check, or set for themselves when started alone:
#   MB_SRC    the source tree            MB_BUILD  a configured build directory with all programs made
#   MB_CACHE_DIR  the cache directory    MB_LOGS   where logs of failures may be kept
#   MB_LONG   non-empty in the long form MB_JOBS   how many compilers at once

MB_SRC=${MB_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
# shellcheck source=deploy/lib/lib.sh
. "$MB_SRC/deploy/lib/lib.sh"
MB_CACHE_DIR=$(cache_dir)
MB_BUILD=${MB_BUILD:-$MB_SRC/build-check}
MB_LOGS=${MB_LOGS:-$MB_BUILD/check-logs}
MB_JOBS=${MB_JOBS:-$(nproc)}
MB_LONG=${MB_LONG:-}
[ "${1:-}" != --long ] || MB_LONG=1
export MB_SRC MB_BUILD MB_LOGS MB_JOBS MB_LONG MB_CACHE_DIR
mkdir -p "$MB_LOGS"

N_PASSED=0 N_FAILED=0 N_SKIPPED=0

# group_count FILE STATUS NAME: adds up what one program said. One that states no numbers counts as one test.
group_count()
{
	local p f s
	if read -r p f s < <(group_numbers "$1"); then
		N_PASSED=$((N_PASSED + p)) N_FAILED=$((N_FAILED + f)) N_SKIPPED=$((N_SKIPPED + s))
		if [ "$2" -ne 0 ] && [ "$2" -ne 77 ] && [ "$f" -eq 0 ]; then
			echo "$3: status $2 after its last line said that nothing failed"
			N_FAILED=$((N_FAILED + 1))
		fi
		return
	fi
	case $2 in
	0) N_PASSED=$((N_PASSED + 1)) ;;
	77) N_SKIPPED=$((N_SKIPPED + 1)) ;;
	*) N_FAILED=$((N_FAILED + 1)) ;;
	esac
}

# group_numbers FILE: the three numbers of its last line, if it is such a line.
group_numbers()
{
	tail -n 1 "$1" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' | grep .
}

# group_run NAME CMD...: one test program; its output is shown, and kept as MB_LOGS/NAME.log.
group_run()
{
	local name=$1 log rc t=$SECONDS
	shift
	log=$MB_LOGS/${name//\//_}.log
	"$@" </dev/null >"$log" 2>&1
	rc=$?
	group_count "$log" $rc "$name"
	case $rc in
	0) printf 'ok    %s (%ds)\n' "$name" $((SECONDS - t)) ;;
	77) printf 'skip  %s: %s\n' "$name" "$(tail -n 2 "$log" | head -n 1)" ;;
	*)
		printf 'FAIL  %s (status %d), see %s\n' "$name" $rc "$log"
		tail -n 40 "$log" | sed 's/^/      | /'
		;;
	esac
}

# group_pass NAME, group_fail NAME TEXT, group_skip NAME TEXT: a test that the script itself decides.
group_pass()
{
	N_PASSED=$((N_PASSED + 1))
	printf 'ok    %s\n' "$1"
}

group_fail()
{
	N_FAILED=$((N_FAILED + 1))
	printf 'FAIL  %s: %s\n' "$1" "$2"
}

group_skip()
{
	N_SKIPPED=$((N_SKIPPED + 1))
	printf 'skip  %s: %s\n' "$1" "$2"
}

# group_end: the last line and the status.
group_end()
{
	printf '%d passed, %d failed, %d skipped\n' $N_PASSED $N_FAILED $N_SKIPPED
	[ $N_FAILED -eq 0 ]
	exit
}

# group_make BUILD TARGET...: with the output shown only when it fails.
group_make()
{
	local b=$1 log
	shift
	log=$MB_LOGS/make-$(basename "$b").log
	make -C "$b" -j"$MB_JOBS" "$@" >"$log" 2>&1 && return 0
	echo "make $* failed in $b, see $log"
	grep -nE 'error|Error|\*\*\*' "$log" | tail -n 20 | sed 's/^/      | /'
	return 1
}

# group_automake PREFIX [BUILD]: runs those of automake's TESTS whose path begins with PREFIX.
group_automake()
{
	local prefix=$1 b=${2:-$MB_BUILD} t n=0
	if ! group_make "$b" check TESTS=; then
		group_fail "$prefix" "the tests could not be built"
		return
	fi
	for t in $(make -s -C "$b" --no-print-directory print-tests); do
		case $t in "$prefix"*) ;; *) continue ;; esac
		n=$((n + 1))
		if [ -x "$b/$t" ]; then
			group_run "${b##*/}:$t" env -C "$b" srcdir="$MB_SRC" builddir="$b" top_srcdir="$MB_SRC" top_builddir="$b" "$b/$t"
		else
			group_run "${b##*/}:$t" env -C "$b" srcdir="$MB_SRC" builddir="$b" top_srcdir="$MB_SRC" top_builddir="$b" "$MB_SRC/$t"
		fi
	done
	[ $n -gt 0 ] || group_skip "$prefix" "this build has no such tests"
}
