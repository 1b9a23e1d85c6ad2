# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Packages of the machine we run on. Nothing is asked of the network when nothing is missing, and no mirror is named
# anywhere: apt's own sources say where packages come from.

# pkg_list PURPOSE...: the package names of deploy/packages/PURPOSE for this release, one a line. A line is
# "name" or "name|other" (the first that exists), "# ..." is a comment.
pkg_list()
{
	local p
	for p in "$@"; do
		[ -r "$MB_DEPLOY/packages/$p" ] || die "no package list $MB_DEPLOY/packages/$p" "use a complete checkout"
		sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' "$MB_DEPLOY/packages/$p"
	done | sort -u
}

pkg_have()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# pkg_missing PURPOSE...: those of the lists that are not installed (of alternatives the first).
pkg_missing()
{
	local line alt found
	while read -r line; do
		found=
		for alt in ${line//|/ }; do
			if pkg_have "$alt"; then
				found=1
				break
			fi
		done
		[ -n "$found" ] || echo "$line"
	done < <(pkg_list "$@")
}

pkg__choose()
{
	local line alt
	for line in "$@"; do
		for alt in ${line//|/ }; do
			if apt-cache show --no-all-versions "$alt" >/dev/null 2>&1; then
				echo "$alt"
				continue 2
			fi
		done
		echo "${line%%|*}"
	done
}

# pkg_ensure PURPOSE...: installs what is missing of the lists; needs root only then.
pkg_ensure()
{
	local missing choice
	mapfile -t missing < <(pkg_missing "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		die "these packages are missing: ${missing[*]}" \
			"as root: apt-get install --no-install-recommends ${missing[*]%%|*}"
	fi
	step "Installing ${#missing[@]} missing packages ($*): ${missing[*]}"
	mapfile -t choice < <(pkg__choose "${missing[@]}")
	if ! pkg__install "${choice[@]}"; then
		log_run "apt-get update" apt-get -o Acquire::Retries=3 update ||
			die "apt-get update failed" "check the network and this machine's apt sources (/etc/apt)"
		mapfile -t choice < <(pkg__choose "${missing[@]}")
		pkg__install "${choice[@]}" ||
			die "these packages could not be installed: ${choice[*]}" \
				"check that apt-get install works on this machine and that its sources have Debian main"
	fi
	return 0
}

# A first try with the lists at hand saves an update; it may fail for a good reason, so only the second shows its end.
pkg__install()
{
	[ $# -gt 0 ] || return 1
	apt-get -s -qq install --no-install-recommends "$@" >/dev/null 2>&1 || return 1
	DEBIAN_FRONTEND=noninteractive log_run "installing" apt-get -y -q -o DPkg::Lock::Timeout=300 \
		-o Acquire::Retries=3 -o Dpkg::Options::=--force-confold \
		install --no-install-recommends "$@"
}
