# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For scripts that run programs of the project in a Debian guest over slices of this machine, by slice-driver. After group.sh;
# who sources this sets GUEST_WORK, a directory of its own, and calls guest_end before it ends.

GUEST_CROSS=riscv64-linux-gnu-gcc
GUEST_APPEND='earlycon=sbi console=ttyS0 mirrorball.exec'
GUEST_STATS=page.fetched
# Of the next boot: its programs, its image, its commands.
GUEST_BUILD=$MB_BUILD
GUEST_KERNEL='' GUEST_INITRD=''
GUEST_CMDS=()
GUEST_DRIVER=

# guest_compile NAME SOURCE...: a program for the guest, with tests/guest/guest.c, at GUEST_WORK/add/opt/tests/NAME.
guest_compile()
{
	local out=$GUEST_WORK/add/opt/tests/$1
	shift
	mkdir -p "$(dirname "$out")" &&
		"$GUEST_CROSS" -std=gnu11 -D_GNU_SOURCE -O2 -static -s -pthread -Wall -Wextra -Werror -I"$MB_SRC" -o "$out" "$@" \
			"$MB_SRC/tests/guest/guest.c"
}

# guest_image: the guest with what guest_compile has made becomes the image of the next boots.
guest_image()
{
	local dir
	dir=$("$MB_SRC/deploy/guest/build" --cache-dir "$MB_CACHE_DIR" --add "$GUEST_WORK/add" --out "$GUEST_WORK/initrd") || return 1
	GUEST_KERNEL=$dir/Image GUEST_INITRD=$GUEST_WORK/initrd
}

# guest_say CMD: one more command for the next boot.
guest_say()
{
	GUEST_CMDS+=("$1")
}

# guest_boot NAME SLICE LIMIT ARG...: a machine that runs the commands that guest_say has collected, of slices that are the program
# SLICE of GUEST_BUILD; what they left is in GUEST_WORK/NAME. ARG: of slice-driver.
guest_boot()
{
	local dir=$GUEST_WORK/$1 slice=$2 limit=$3 args=() c rc
	shift 3
	mkdir "$dir" || return 1
	for c in "${GUEST_CMDS[@]}"; do args+=(--exec "$c"); done
	"$GUEST_BUILD/tests/lib/slice-driver" --slice-program "$GUEST_BUILD/$slice" --dir "$dir" --out "$dir" --timeout "$limit" \
		--kernel "$GUEST_KERNEL" --initrd "$GUEST_INITRD" --append "$GUEST_APPEND" --stats "$GUEST_STATS" "$@" "${args[@]}" &
	GUEST_DRIVER=$!
	wait "$GUEST_DRIVER"
	rc=$?
	GUEST_DRIVER=
	[ -e "$dir/$((${#GUEST_CMDS[@]} - 1)).status" ] && return 0
	echo "the machine ended before its commands had (status $rc); its last words, and its slices':"
	tail -n 30 "$dir/console" | tr -d '\r'
	tail -n 5 "$dir"/slice*.log
	return 1
}

# guest_up NAME LIMIT SLICES VCPUS MEMORY: boots until a command has seen all processors and a node for each slice.
guest_up()
{
	GUEST_CMDS=()
	guest_say "test \$(nproc) -eq $4 && numactl --hardware | grep -q '^available: $3 nodes'"
	guest_boot "$1" mirrorball-slice "$2" --slices "$3" --vcpus "$4" --memory "$5" && guest_told "$1" 0
}

# guest_end: the driver ends its slices before itself.
guest_end()
{
	[ -z "$GUEST_DRIVER" ] || { kill "$GUEST_DRIVER" && wait "$GUEST_DRIVER"; } 2>/dev/null
	GUEST_DRIVER=
}

# guest_told BOOT N: the Nth command's output and status, as the status of this.
guest_told()
{
	local f=$GUEST_WORK/$1/$2
	[ -e "$f.status" ] || { echo "it did not run"; return 1; }
	cat "$f.out" "$f.err"
	return "$(cat "$f.status")"
}

# guest_counter BOOT N NAME [SLICE]: of that slice, or of all together, as it was after the Nth command.
guest_counter()
{
	awk -v name="$3" -v slice="${4:-all}" '$1 == name && (slice == "all" || $2 == slice) { n += $3 } END { printf "%.0f\n", n }' \
		"$GUEST_WORK/$1/$2.stats"
}
