# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of this folder share. `only` is theirs: an array of what --only has named.

# wanted NAME...: one of these was named, or nothing was.
wanted()
{
	local o n
	# shellcheck disable=SC2154 # see above
	[ ${#only[@]} -gt 0 ] || return 0
	for o in "${only[@]}"; do
		for n in "$@"; do [ "$o" != "$n" ] || return 0; done
	done
	return 1
}

say()
{
	printf '%s\n' "$*" >&2
}

load()
{
	cut -d' ' -f1-3 /proc/loadavg
}

# timed FILE CMD...: adds the seconds that it took to FILE, if it succeeded.
timed()
{
	local file=$1 begin=$EPOCHREALTIME rc
	shift
	"$@"
	rc=$?
	[ $rc -ne 0 ] || awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f\n", b - a }' >>"$file"
	return $rc
}
