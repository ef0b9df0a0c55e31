#!/usr/bin/env bash
# Installs the programs that the tests talk to (rigs) from Debian's or Ubuntu's packages.
# No service that comes with them is started or enabled, so that none takes a port. What
# is installed already is left alone; a second run does nothing.
# Usage: tools/deps.sh [further packages]
set -euo pipefail

needed=(ca-certificates gcc libc6-dev git openssl procps
	freeradius freeradius-utils
	slapd slapd-contrib ldap-utils
	samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind
	openssh-server openssh-client libpam-radius-auth expect
	chromium
	exim4-daemon-light
	sip-tester
	e2fsprogs iproute2 nftables oathtool jq tshark strace "$@")
# units that these packages enable
units=(freeradius slapd samba samba-ad-dc smbd nmbd winbind ssh exim4)

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v dpkg-query >/dev/null; then
	echo "deps: no dpkg here; tests whose rigs are missing will be skipped by name (needed: ${needed[*]})" >&2
	exit 0
fi
missing=()
for p in "${needed[@]}"; do installed "$p" || missing+=("$p"); done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
		echo "deps: not root and no sudo, so these stay missing and their tests are skipped by name: ${missing[*]}" >&2
		exit 0
	fi
	exec sudo --preserve-env=CI bash "$0" "$@"
fi

# One at a time; apt itself waits for other users of the package database.
exec 9>/run/lock/countersign-deps
flock 9

denied=/usr/sbin/policy-rc.d
kept=
restore() {
	if [ -n "$kept" ]; then mv -f "$kept" "$denied"; else rm -f "$denied"; fi
}
if [ -e "$denied" ]; then
	kept=$denied.countersign-kept
	cp -a "$denied" "$kept"
fi
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' >"$denied"
chmod 755 "$denied"

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -qq)
if ! "${apt[@]}" update; then
	if installed ca-certificates; then
		echo "deps: apt-get update did not succeed; trying with the lists that are here" >&2
	else
		# Sources over https on an image without certificates: apt checks the archive's
		# signature in any case, so the certificates themselves may come this way.
		"${apt[@]}" -o Acquire::https::Verify-Peer=false update
		"${apt[@]}" -o Acquire::https::Verify-Peer=false install -y --no-install-recommends ca-certificates
		"${apt[@]}" update
	fi
fi

# Some releases have no package of that name (it is part of another one there).
known=()
for p in "${missing[@]}"; do
	installed "$p" && continue
	if [ -n "$(apt-cache policy "$p" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '(none)')" ]; then
		known+=("$p")
	else
		echo "deps: this release has no package $p" >&2
	fi
done
had=()
for u in "${units[@]}"; do
	if command -v systemctl >/dev/null && systemctl is-enabled "$u" >/dev/null 2>&1; then had+=("$u"); fi
done
if [ ${#known[@]} -gt 0 ]; then
	echo "deps: installing ${known[*]}" >&2
	said=$(mktemp)
	if ! "${apt[@]}" install -y --no-install-recommends "${known[@]}" >"$said" 2>&1; then
		cat "$said" >&2
		exit 1
	fi
	rm -f "$said"
fi
# What was enabled before stays so; what came with these packages does not start at boot.
if command -v systemctl >/dev/null; then
	for u in "${units[@]}"; do
		case " ${had[*]-} " in *" $u "*) ;; *) systemctl disable "$u" >/dev/null 2>&1 || true ;; esac
	done
fi
