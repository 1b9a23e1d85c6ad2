#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: rootfs.sh APTDIR WORK EXECD: makes WORK/rootfs.img, an ext4 image of a Debian root filesystem with systemd, from
# the packages that debian_fetch put into APTDIR. Called by build.
#
# No maintainer script runs (they are riscv64 programs, and an ordinary user could not run them as root): the few things
# that they would have done and that a machine needs to come up are done here.
set -u -o pipefail

# shellcheck source=deploy/lib/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/lib.sh"

ROOTFS_MIB=1024
apt=$1
work=$2
execd=$3
root=$work/rootfs

# Accounts: the master files of base-passwd; systemd-sysusers adds the services' at the first boot.
make_accounts()
{
	sed -e 's/^root:\*:/root::/' "$root/usr/share/base-passwd/passwd.master" >"$root/etc/passwd"
	cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
	sed -n 's/^\([^:]*\):.*/\1/p' "$root/etc/passwd" | while read -r user; do
		case $user in
		root) echo "$user::20000:0:99999:7:::" ;; # no password, on its console
		*) echo "$user:*:20000:0:99999:7:::" ;;
		esac
	done >"$root/etc/shadow"
	sed 's/^\([^:]*\):.*/\1:*::/' "$root/etc/group" >"$root/etc/gshadow"
	chmod 640 "$root/etc/shadow" "$root/etc/gshadow"
}

# What pam-auth-update would have written for pam_unix alone.
make_pam()
{
	local d=$root/etc/pam.d
	echo "auth required pam_unix.so nullok" >"$d/common-auth"
	echo "account required pam_unix.so" >"$d/common-account"
	echo "password required pam_unix.so obscure yescrypt" >"$d/common-password"
	echo "session required pam_unix.so" >"$d/common-session"
	cp "$d/common-session" "$d/common-session-noninteractive"
	if [ -e "$root/usr/lib/riscv64-linux-gnu/security/pam_systemd.so" ]; then
		echo "session optional pam_systemd.so" >>"$d/common-session"
	fi
}

make_files()
{
	local f
	for f in libc-bin/nsswitch.conf base-files/profile; do
		[ -e "$root/etc/${f#*/}" ] || cp "$root/usr/share/$f" "$root/etc/" || return 1
	done
	cp "$root/usr/share/base-files/dot.bashrc" "$root/root/.bashrc" 2>/dev/null
	echo mirrorball >"$root/etc/hostname"
	printf '127.0.0.1 localhost\n127.0.1.1 mirrorball\n::1 localhost\n' >"$root/etc/hosts"
	echo "/dev/vda / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"
	: >"$root/etc/machine-id"
	[ -e "$root/usr/bin/sh" ] || ln -s dash "$root/usr/bin/sh"
	[ -e "$root/usr/bin/awk" ] || [ ! -e "$root/usr/bin/mawk" ] || ln -s mawk "$root/usr/bin/awk"
	# Units that the packages' scripts would have enabled.
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/network"
	ln -sf /usr/lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/"
	printf '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-dhcp.network"
	cp "$execd" "$root/usr/sbin/mirrorball-execd"
	cat >"$root/etc/systemd/system/mirrorball-execd.service" <<-EOF
		[Unit]
		Description=Commands from the host over virtio-console ports
		ConditionPathExists=/dev/virtio-ports/org.mirrorball.exec

		[Service]
		ExecStart=/usr/sbin/mirrorball-execd
		Restart=always

		[Install]
		WantedBy=multi-user.target
	EOF
	ln -sf ../mirrorball-execd.service "$root/etc/systemd/system/multi-user.target.wants/"
	# Tables of hardware and message texts that a guest does not look up: compiling them at the first boot would be
	# most of it on a software processor.
	for f in systemd-hwdb-update systemd-journal-catalog-update ldconfig; do
		ln -sf /dev/null "$root/etc/systemd/system/$f.service"
	done
	rm -rf "${root:?}"/boot/* # no boot loader here
}

# Ownership: as an ordinary user inside a user namespace of one's own, where one is root and the files are root's.
make_image()
{
	local cmd=(mke2fs -q -F -t ext4 -L mirrorball -E root_owner=0:0 -d "$root" "$work/rootfs.img" "${ROOTFS_MIB}M")
	if [ "$(id -u)" -eq 0 ]; then
		"${cmd[@]}"
	else
		unshare -U -r "${cmd[@]}"
	fi
}

debian_unpack "$apt" "$root" "${MB_DEBIAN_LEAN[@]}" && make_accounts && make_pam && make_files && depmod -b "$root" "$(basename "$(echo "$root"/usr/lib/modules/*)")" &&
	make_image
