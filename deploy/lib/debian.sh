# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Debian packages of another release or architecture, through an apt of our own beside the host's: its resolver, its
# transports and its signatures, but lists, archives and an (empty) dpkg state in a directory of ours. Works for an
# ordinary user, runs no maintainer script and touches nothing of the host. The mirror is the host's own, taken from
# its sources at run time by asking apt, which knows every format of them.

MB_DEBIAN_KEYRING=${MB_DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}

# debian_mirrors: the URIs in the host's sources that carry a Debian main archive (not its security one), best first.
debian_mirrors()
{
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
		awk -F'|' '$3 == "main" && $2 ~ /^(bookworm|trixie|forky|sid|stable|oldstable|testing|unstable)$/ &&
			!seen[$1]++ { print $1 }'
}

# debian__conf DIR ARCH SUITE URI: writes DIR/apt.conf and what it names.
debian__conf()
{
	local dir=$1 arch=$2 suite=$3 uri=$4
	mkdir -p "$dir"/{lists/partial,archives/partial,none,sources} || return 1
	: >"$dir/status"
	: >"$dir/trusted.gpg"
	printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arch" "$MB_DEBIAN_KEYRING" "$uri" "$suite" \
		>"$dir/sources/debian.list"
	cat >"$dir/apt.conf" <<-EOF
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Pre-Invoke;
		#clear DPkg::Post-Invoke;
		#clear DPkg::Pre-Install-Pkgs;
		#clear Acquire::IndexTargets::deb::DEP-11;
		#clear Acquire::IndexTargets::deb::CNF;
		#clear APT::Architectures;
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "root";
		APT::Install-Recommends "false";
		APT::Install-Suggests "false";
		APT::Default-Release "";
		pkgCacheGen::ForceEssential ",";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Acquire::AllowInsecureRepositories "false";
		Acquire::AllowDowngradeToInsecureRepositories "false";
		APT::Get::AllowUnauthenticated "false";
		APT::Get::Assume-Yes "true";
		Debug::NoLocking "true";
		Dir::State "$dir";
		Dir::State::lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::State::extended_states "$dir/extended_states";
		Dir::Cache "$dir";
		Dir::Cache::archives "$dir/archives";
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
		Dir::Etc::sourcelist "$dir/sources/debian.list";
		Dir::Etc::sourceparts "$dir/none";
		Dir::Etc::preferences "$dir/none/preferences";
		Dir::Etc::preferencesparts "$dir/none";
		Dir::Etc::trusted "$dir/trusted.gpg";
		Dir::Etc::trustedparts "$dir/none";
		Dir::Log "$dir";
	EOF
}

# debian_apt DIR ARG...: apt-get with that configuration. --ignore-hold and friends are the caller's.
debian_apt()
{
	local dir=$1
	shift
	LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q -c "$dir/apt.conf" "$@"
}

# debian_fetch DIR ARCH SUITE PACKAGE...: after it DIR/archives holds the packages with all their dependencies, checked
# by apt's signatures, and DIR/selected lists those files. Uses what is there before it asks the network.
debian_fetch()
{
	local dir=$1 arch=$2 suite=$3 uri mirrors
	shift 3
	[ -r "$MB_DEBIAN_KEYRING" ] ||
		die "$MB_DEBIAN_KEYRING is missing" "apt-get install debian-archive-keyring"
	if [ -s "$dir/apt.conf" ] && debian__download "$dir" "$@"; then
		return 0
	fi
	mapfile -t mirrors < <(debian_mirrors)
	[ ${#mirrors[@]} -gt 0 ] ||
		die "this machine's apt sources name no Debian archive" "configure a Debian mirror in /etc/apt"
	for uri in "${mirrors[@]}"; do
		debian__conf "$dir" "$arch" "$suite" "$uri" || return 1
		log_run "reading the package lists of $suite ($arch)" debian_apt "$dir" update || continue
		debian__download "$dir" "$@" && return 0
	done
	rm -f "$dir/apt.conf"
	die "the $arch packages of Debian $suite could not be fetched" \
		"check the network; the mirror in /etc/apt must carry $suite for $arch; the same command tries again"
}

debian__download()
{
	local dir=$1
	shift
	# Two questions with one answer: what is needed, and then get it.
	debian_apt "$dir" install --print-uris "$@" >"$dir/uris" 2>>"${MB_LOG:-/dev/null}" || return 1
	log_run "downloading packages" debian_apt "$dir" install --download-only "$@" || return 1
	# With everything at hand --print-uris prints nothing: the simulation is what names the set.
	debian_apt "$dir" install --simulate "$@" 2>>"${MB_LOG:-/dev/null}" |
		awk '$1 == "Inst" { v = $3; sub(/^\(/, "", v); print $2, v }' >"$dir/selected" || return 1
	[ -s "$dir/selected" ]
}

# What no guest of ours looks at: documents, translations, tables of hardware, a compiler for graphics, and drivers of
# devices that the machine never has. Nearly all of what there would be to unpack.
# shellcheck disable=SC2034 # for those who source this
MB_DEBIAN_LEAN=(--wildcards --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
	--exclude='./usr/lib/udev/hwdb.d/*' --exclude='./usr/lib/systemd/catalog/*' --exclude='*/libLLVM*' --exclude='*/libgallium-*'
	--exclude='*/libz3.so*' --exclude='*/kernel/sound/*'
	--exclude='*/kernel/drivers/'{gpu,media,iio,staging,infiniband,hid,usb,mtd,scsi,isdn,hwmon,clk,pinctrl,leds,mfd}'/*'
	--exclude='*/kernel/drivers/net/'{ethernet,wireless,can,dsa,phy,usb}'/*'
	--exclude='*/kernel/net/'{wireless,mac80211,bluetooth,nfc,can}'/*')

# debian_debs DIR: the paths of the fetched set, one a line.
debian_debs()
{
	local dir=$1 name version f
	while read -r name version; do
		for f in "$dir/archives/${name}_${version//:/%3a}"_*.deb; do
			[ -f "$f" ] || { fail "the package $name $version is not in $dir/archives"; return 1; }
			printf '%s\n' "$f"
			break
		done
	done <"$dir/selected"
}

# debian_unpack DIR ROOT [TAROPTION]...: unpacks the set into ROOT without running anything of it; --exclude saves time.
debian_unpack()
{
	local dir=$1 root=$2 f
	local -a own=()
	shift 2
	[ "$(id -u)" -eq 0 ] || own=(--no-same-owner)
	mkdir -p "$root" || return 1
	# base-files brings the /bin -> usr/bin links, so it has to be first.
	{ debian_debs "$dir" | grep '/base-files_'; debian_debs "$dir" | grep -v '/base-files_'; } >"$dir/order"
	while read -r f; do
		dpkg-deb --fsys-tarfile "$f" | tar -C "$root" -x -p --keep-directory-symlink "${own[@]}" "$@" -f - || {
			fail "unpacking $f failed" "remove $f and run the same command again"
			return 1
		}
	done <"$dir/order"
}
