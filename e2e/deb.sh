#!/usr/bin/env bash
# Installs, runs, removes and purges the Debian package, in a copy of this machine that is
# thrown away: an overlay over / in namespaces of its own (mounts, processes, network).
# Needs root. Usage: e2e/deb.sh PACKAGE.deb
set -euo pipefail

deb=$(readlink -f "$1")
if [ "${2:-}" != inside ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	unshare --mount --pid --net --fork --kill-child bash "$0" "$deb" inside "$work"
	exit
fi
work=$3
mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$work"
mkdir "$work"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
root=$work/root
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind /dev "$root/dev"
ip link set lo up
cp "$deb" "$root/tmp/countersign.deb"

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp LC_ALL=C "$@"; }
as_user() { in_root runuser -u countersign -- "$@"; }
fail() { echo "deb: $*" >&2; exit 1; }
want() { [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"; }

start() { # the server as the unit would run it; its output goes to /tmp/server.log
	as_user /usr/bin/countersign server --config /etc/countersign/countersign.yaml >"$root/tmp/server.log" 2>&1 &
	server=$!
	for _ in $(seq 100); do
		if in_root countersign status --json >"$root/tmp/status" 2>/dev/null; then return; fi
		kill -0 "$server" 2>/dev/null || break
		sleep 0.2
	done
	cat "$root/tmp/server.log" >&2
	fail "the server does not answer"
}
stop() {
	in_root pkill -TERM -x countersign
	wait "$server" || fail "the server ended with $?: $(cat "$root/tmp/server.log")"
}

echo "== install"
in_root dpkg -i /tmp/countersign.deb
want "user" "$(in_root id -un countersign)" countersign
want "data folder" "$(in_root stat -c '%U %a' /var/lib/countersign)" "countersign 700"
want "node file" "$(in_root stat -c '%U:%G %a' /etc/countersign/countersign.yaml)" "root:countersign 640"
if in_root sh -c 'command -v systemd-analyze' >/dev/null; then
	in_root systemd-analyze verify /usr/lib/systemd/system/countersign.service
	in_root systemd-analyze security --offline=true --threshold=30 /usr/lib/systemd/system/countersign.service | tail -1
fi
out=$(as_user countersign server --config /etc/countersign/countersign.yaml 2>&1) && fail "a server without a group starts"
case $out in *"countersign init"*) ;; *) fail "an empty folder is not explained: $out" ;; esac

echo "== found a group and run"
as_user countersign init --group corp
start
in_root countersign user add alice
stop
start
want "users after a restart" "$(in_root countersign user list --json | tr -d ' \n' | grep -o '"login":"alice"')" '"login":"alice"'

echo "== install again over it"
stop
in_root dpkg -i /tmp/countersign.deb >/dev/null
start
stop

echo "== remove"
in_root dpkg -r countersign
[ ! -e "$root/usr/bin/countersign" ] || fail "the binary is still there"
[ -e "$root/etc/countersign/countersign.yaml" ] || fail "remove took the node file"
[ -e "$root/var/lib/countersign/epoch.json" ] || fail "remove took the data"

echo "== purge"
in_root dpkg -P countersign
[ ! -e "$root/etc/countersign" ] || fail "the node file is still there"
[ ! -e "$root/usr/lib/systemd/system/countersign.service" ] || fail "the unit is still there"
[ -e "$root/var/lib/countersign/epoch.json" ] || fail "purge took the data"

echo "== the data still works after a new installation"
in_root dpkg -i /tmp/countersign.deb >/dev/null
start
want "users" "$(in_root countersign user list --json | tr -d ' \n' | grep -o '"login":"alice"')" '"login":"alice"'
stop
echo "deb: installs, runs and removes cleanly"
