# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The cache directory: what is downloaded and built once for all runs. Each part is filled under a lock and appears
# under its final name only when it is complete.

# cache_dir: the directory, from --cache-dir, MIRRORBALL_CACHE or the XDG place.
cache_dir()
{
	printf '%s\n' "${MB_CACHE_DIR:-${MIRRORBALL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/mirrorball}}"
}

# cache_lock DIR: makes DIR and holds its lock until this shell ends; says so when it has to wait.
cache_lock()
{
	mkdir -p "$1" || die "cannot make the cache directory $1" "give another with --cache-dir DIR"
	exec {MB_CACHE_FD}>"$1/.lock" || die "cannot write to the cache directory $1" "give another with --cache-dir DIR"
	flock -n "$MB_CACHE_FD" && return 0
	note "waiting for another run that fills $1"
	flock "$MB_CACHE_FD"
}

cache_unlock()
{
	[ -z "${MB_CACHE_FD:-}" ] || exec {MB_CACHE_FD}>&-
	MB_CACHE_FD=
}

# cache_key FILE...: one word that changes when one of the files does.
cache_key()
{
	cat -- "$@" | sha256sum | cut -c1-16
}

# cache_free_mib DIR: free space at the nearest existing parent of DIR.
cache_free_mib()
{
	local d=$1
	while [ ! -d "$d" ]; do d=$(dirname "$d"); done
	df -Pm "$d" | awk 'NR == 2 { print $4 }'
}
