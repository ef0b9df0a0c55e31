#!/usr/bin/env bash
# Installs, runs, removes and purges the Debian package under a systemd of its own, in a
# copy of this machine that is thrown away: an overlay over / in namespaces of its own
# (mounts, processes, network, host name, control groups). What is tried there stands in
# deb-inside.sh. Needs root, systemd (installed; it need not run) and control groups v2.
# Usage: e2e/deb.sh PACKAGE.deb
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "deb: $*" >&2; exit 1; }

if [ "${2:-}" != boot ]; then
	deb=$(readlink -f "$1")
	[ "$(id -u)" = 0 ] || fail "needs root"
	[ -x /lib/systemd/systemd ] || fail "needs systemd: apt-get install systemd"
	work=$(mktemp -d)
	group=$work/cgroup/countersign-deb-$$
	clean() {
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
		umount "$work/cgroup" 2>/dev/null || true
		rm -rf "$work"
	}
	trap clean EXIT
	mkdir "$work/cgroup" "$work/machine"
	mount -t cgroup2 cgroup2 "$work/cgroup" || fail "no control groups v2 can be mounted here"
	mkdir "$group"
	mkfifo "$work/out"
	cat "$work/out" &
	told=$!
	status=0
	(
		echo "$BASHPID" >"$group/cgroup.procs"
		exec timeout --foreground -s KILL 600 \
			unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child bash "$0" "$deb" boot "$work"
	) 3<>"$work/out" >&3 2>&1 || status=$?
	wait "$told"
	exit "$status"
fi

# In the new namespaces: lay out the machine and become its first process.
deb=$1
work=$3
mount --make-rprivate /
machine=$work/machine
mount -t tmpfs -o size=3g tmpfs "$machine"
mkdir "$machine"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$machine/upper,workdir=$machine/work" overlay "$machine/root"
root=$machine/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
rm -f "$root/usr/sbin/policy-rc.d" # a container's; here services do start
for d in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$d"; done
chmod 1777 "$root/tmp"
for d in null zero full random urandom tty; do
	touch "$root/dev/$d"
	mount --bind "/dev/$d" "$root/dev/$d"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ip link set lo up

# Nothing of what this machine runs starts in the copy but the test.
: >"$root/etc/fstab"
rm -rf "$root/etc/machine-id" "$root/var/lib/countersign" "$root/etc/countersign"
: >"$root/etc/machine-id"
for u in timers.target systemd-journald-audit.socket tmp.mount; do ln -sf /dev/null "$root/etc/systemd/system/$u"; done
mkdir -p "$root/deb-test"
cp "$deb" "$root/deb-test/countersign.deb"
cp "$here/deb-inside.sh" "$root/deb-test/"
touch "$root/deb-test/out"
mount --bind "$work/out" "$root/deb-test/out"
cat >"$root/etc/systemd/system/deb-test.service" <<-UNIT
	[Unit]
	After=basic.target
	Requires=basic.target
	SuccessAction=exit
	FailureAction=exit
	[Service]
	Type=exec
	Environment=HOME=/root LC_ALL=C
	ExecStart=/bin/bash /deb-test/deb-inside.sh
	StandardOutput=file:/deb-test/out
	StandardError=inherit
UNIT
mkdir "$root/was"
cd "$root"
pivot_root . was
umount -l /was
exec env -i container=countersign PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=deb-test.service --show-status=no
