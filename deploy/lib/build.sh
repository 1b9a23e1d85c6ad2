# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The programs: built out of tree under the cache directory, or taken from a build that is there.

MB_PROGRAMS=(mirrorball mirrorball-coordinator mirrorball-agent mirrorball-slice)

# build_use DIR: takes the programs of DIR.
build_use()
{
	local p
	for p in "${MB_PROGRAMS[@]}"; do
		[ -x "$1/$p" ] || die "$1 has no $p" "build it there (make), or leave --build-dir out"
	done
	BUILD_DIR=$1
}

# build_source: the tree to build from: ours, or where it cannot be written to and was never prepared, a copy of it.
build__source()
{
	local copy
	if [ -x "$MB_TOP/configure" ] || [ -w "$MB_TOP" ]; then
		printf '%s\n' "$MB_TOP"
		return
	fi
	copy=$(cache_dir)/build/$1-source
	rm -rf "$copy"
	mkdir -p "$copy" &&
		tar -C "$MB_TOP" --exclude=./.git --exclude='./build*' --exclude=./autom4te.cache -cf - . | tar -C "$copy" -xf - &&
		printf '%s\n' "$copy"
}

build__all()
{
	local source=$1
	[ -x "$source/configure" ] || (cd "$source" && autoreconf -fi) || return 1
	mkdir -p "$BUILD_DIR" && cd "$BUILD_DIR" || return 1
	[ -e config.status ] || "$source/configure" -q || return 1
	make -j"$(nproc)" all
}

# build_make: sets BUILD_DIR; builds what is not up to date.
build_make()
{
	local id source
	# One build for each tree, whoever calls.
	id=$(printf '%s' "$MB_TOP" | sha256sum | cut -c1-12)
	BUILD_DIR=$(cache_dir)/build/$id
	cache_lock "$BUILD_DIR"
	if [ ! -e "$BUILD_DIR/config.status" ]; then
		pkg_ensure build
	fi
	source=$(build__source "$id") || die "the source tree could not be copied" "look at the free space of $(cache_dir)"
	step "Building the programs"
	log_run "building" build__all "$source" ||
		die "the build failed" "see the log; if packages changed under it, remove $BUILD_DIR and start again"
	cache_unlock
	build_use "$BUILD_DIR"
}
