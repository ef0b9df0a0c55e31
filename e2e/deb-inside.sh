#!/usr/bin/env bash
# The part of deb.sh that runs in the copied machine, as a unit of its systemd.
set -euo pipefail

here=/deb-test
data=/var/lib/countersign
fail() {
	echo "deb: $*" >&2
	systemctl status --no-pager --lines 0 countersign >&2 || true
	journalctl -u countersign --no-pager -o cat 2>/dev/null | tail -20 >&2
	exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
want() { [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"; }
unit() { systemctl show countersign --property "$1" --value; }
as_user() { runuser -u countersign -- "$@"; }
until_true() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "still not so: $*"
		sleep 0.1
	done
}
sign_in() {
	echo "User-Name=alice,User-Password=$(oathtool -b --hotp --counter "$presses" "$seed"),Message-Authenticator=0x00" |
		radclient -t 5 -r 1 127.0.0.1:1812 auth s3cret-radius | grep -q "Received Access-Accept" ||
		fail "sign-in: $(countersign audit list --limit 1)"
	presses=$((presses + 1))
}
presses=0

echo "== install"
dpkg -i $here/countersign.deb
want "user" "$(id -un countersign)" countersign
want "data folder" "$(stat -c '%U %a' $data)" "countersign 700"
want "node file" "$(stat -c '%U:%G %a' /etc/countersign/countersign.yaml)" "root:countersign 640"
want "starts at boot" "$(systemctl is-enabled countersign)" enabled
if systemd-analyze verify countersign.service 2>&1 | grep countersign; then fail "systemd has something to say"; fi
systemd-analyze security --threshold=30 countersign.service >$here/security || fail "hardening: $(tail -1 $here/security)"
tail -1 $here/security
systemctl start countersign
want "without a group" "$(unit ActiveState) $(unit ConditionResult)" "inactive no"
out=$(as_user countersign server 2>&1) && fail "a server without a group starts"
case $out in *"countersign init"*) ;; *) fail "an empty folder is not explained: $out" ;; esac

echo "== found a group, start, sign in"
as_user countersign init --group corp
systemctl start countersign
want "state" "$(unit ActiveState)" active
countersign user add alice >/dev/null
seed=$(countersign credential add alice --method hotp --json | jq -r .secret)
echo -n s3cret-radius | countersign application add vpn --kind radius --address 127.0.0.1/32 --secret-stdin --first-factor none >/dev/null
sign_in
countersign doctor --json >$here/doctor || true # whether the clock is right is this machine's affair, that it is known ours
want "what doctor finds" "$(jq -r '.checks[] | select(.ok | not).name' $here/doctor | grep -v clock)" ""
if grep "does not tell" $here/doctor; then fail "the unit hides the clock"; fi
countersign backup create /var/tmp/corp.cs --passphrase-file <(echo correct horse battery) >/dev/null
countersign backup verify /var/tmp/corp.cs --passphrase-file <(echo correct horse battery) >/dev/null

echo "== what the unit takes away"
pid=$(unit MainPID)
of() { sed -n "s/^$1:\t//p" /proc/"$pid"/status; }
want "user" "$(stat -c %U /proc/"$pid")" countersign
want "capabilities" "$(of CapEff) $(of CapBnd)" "0000000000000400 0000000000000400"
want "no new privileges, system call filter" "$(of NoNewPrivs) $(of Seccomp)" "1 2"
want "core dumps" "$(awk '/Max core/{print $5}' /proc/"$pid"/limits)" 0
for path in /usr /etc /home /root /var/lib; do
	if nsenter -t "$pid" -m -- touch $path/x 2>/dev/null; then fail "the server could write to $path"; fi
done
nsenter -t "$pid" -m -- touch $data/x
rm $data/x
want "processors" "$(curl -s 127.0.0.1:9464/metrics | sed -n 's/^go_sched_gomaxprocs_threads //p')" "$(nproc)"
if journalctl -u countersign -o cat | grep -E 'level=(WARN|ERROR)' | grep -v component=clock; then fail "warnings on a start that is as it should be"; fi

echo "== stop, restart, kill -9"
systemctl restart countersign
want "state" "$(unit ActiveState)" active
sign_in
kill -9 "$(unit MainPID)"
until_true 20 sh -c '[ "$(systemctl show countersign -p NRestarts --value)" = 1 ] && systemctl is-active countersign'
sign_in
systemctl stop countersign
want "stop" "$(unit Result)" success
systemctl start countersign
countersign audit verify >/dev/null

echo "== a server that hangs is killed and started again"
mkdir -p /run/systemd/system/countersign.service.d
printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/countersign.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart countersign
kill -STOP "$(unit MainPID)"
until_true 20 sh -c '[ "$(systemctl show countersign -p NRestarts --value)" = 1 ] && systemctl is-active countersign'
journalctl -u countersign -o cat | grep -q "Watchdog timeout" || fail "it was not the watchdog"
rm -r /run/systemd/system/countersign.service.d
systemctl daemon-reload

echo "== a mistake in the node file, again and again, is not the end"
sed -i 's/^listen:/lisden:/' /etc/countersign/countersign.yaml
systemctl restart countersign 2>/dev/null && fail "a server with a mistake in its node file starts"
until_true 30 sh -c '[ "$(systemctl show countersign -p NRestarts --value)" -ge 6 ]'
journalctl -u countersign -o cat | grep -q 'countersign.yaml:.*unknown key "lisden"; did you mean "listen"' || fail "the mistake is not told"
sed -i -e 's/^lisden:/listen:/' -e 's/127.0.0.1:8443 /127.0.0.1:443 /' -e 's/# file:/file:/' /etc/countersign/countersign.yaml
until_true 10 systemctl is-active countersign
until_true 10 countersign status
curl -sk -o /dev/null https://127.0.0.1:443/ || fail "https does not answer on a port of root's"
[ -s /var/log/countersign/countersign.log ] || fail "nothing in the log file"

echo "== install again over it"
before=$(unit MainPID)
dpkg -i $here/countersign.deb >/dev/null
until_true 10 countersign status
[ "$(unit MainPID)" != "$before" ] || fail "the new version does not run"
sign_in

echo "== a coordinator beside it"
want "without a coordinator" "$(systemctl show countersign-coordinator --property ActiveState --value)" inactive
if systemd-analyze verify countersign-coordinator.service 2>&1 | grep countersign-coordinator; then fail "systemd has something to say"; fi
systemd-analyze security --threshold=30 countersign-coordinator.service >$here/security || fail "hardening: $(tail -1 $here/security)"
sed -i 's/coordinator: :443 /coordinator: 127.0.0.1:9444 /' /etc/countersign/coordinator.yaml
coordinator() { countersign coordinator "$@" --config /etc/countersign/coordinator.yaml; }
as_user countersign coordinator init --config /etc/countersign/coordinator.yaml
systemctl start countersign-coordinator
coordinator activation create --group other >/dev/null
want "coordinators" "$(coordinator status --json | jq -r '.coordinators[].leads')" true
want "health of the coordinator" "$(curl -s 127.0.0.1:9465/health/ready | jq .ready)" true
kill -9 "$(systemctl show countersign-coordinator --property MainPID --value)"
until_true 20 coordinator status
systemctl stop countersign-coordinator
rm -r /var/lib/countersign-coordinator
mkdir -m 700 /var/lib/countersign-coordinator

echo "== remove"
dpkg -r countersign
want "state" "$(unit ActiveState)" inactive
[ ! -e /usr/bin/countersign ] || fail "the binary is still there"
[ -e /etc/countersign/countersign.yaml ] || fail "remove took the node file"
[ -e $data/epoch.json ] || fail "remove took the data"

echo "== purge"
dpkg -P countersign
[ ! -e /etc/countersign ] || fail "the node file is still there"
[ -z "$(find /etc/systemd /usr/lib/systemd /var/lib/systemd -name 'countersign*' -print -quit)" ] || fail "the unit is still there"
[ -e $data/epoch.json ] || fail "purge took the data"

echo "== the data still works after a new installation"
dpkg -i $here/countersign.deb >/dev/null
until_true 10 countersign status
sign_in

echo "== a server that joins a group"
printf '%s\n' 'name: first' "data_dir: $here/first" 'listen: {peer: "127.0.0.2:7443", coordinator: "127.0.0.2:9443"}' >$here/first.yaml
countersign init --group other --config $here/first.yaml
countersign server --config $here/first.yaml >$here/first.log 2>&1 &
until_true 10 countersign status --config $here/first.yaml
systemctl stop countersign
mv $data $data.corp
install -d -o countersign -g countersign -m 700 $data
sed -i 's/^listen: .*/&\n  peer: 127.0.0.3:7443/' /etc/countersign/countersign.yaml
countersign group activation create --config $here/first.yaml | as_user countersign activate - --yes
systemctl start countersign
want "group" "$(countersign status --json | jq -r .group)" other
systemctl stop countersign
echo "deb: installs, runs under systemd and removes cleanly"
