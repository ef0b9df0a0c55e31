package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"countersign/internal/mfatest"
)

// network is a switch with a cable to each server, which has a network namespace of its
// own: server i (from 1) is 10.91.0.i there. Its clients are beside it, on its loopback,
// so that no fault of the network comes between them. All of it ends with the test; what a
// killed run left is removed by the next.
type network struct {
	t    testing.TB
	name string // of all its namespaces, as a prefix
	n    int    // servers so far

	dressed func(*server) // changes a server before its first start; may be nil
}

// rig is how namespaces and disks of these tests are called: PREFIX-PID-NUMBER-...
const rig = "cs-rig"

var networks atomic.Int32

// atStrict is where the clients of an application are that refuses to go on alone.
const atStrict = "127.0.0.19"

func newNetwork(t testing.TB) *network {
	t.Helper()
	mfatest.Need(t, "ip", "nft", "tc")
	if os.Getuid() != 0 {
		mfatest.Missing(t, "network namespaces need root")
	}
	sweepNetworks(t)
	w := &network{t: t, name: fmt.Sprintf("%s-%d-%d", rig, os.Getpid(), networks.Add(1))}
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", w.hub()).CombinedOutput(); err != nil {
		mfatest.Missing(t, "no network namespace can be made here: "+string(out))
	}
	t.Cleanup(func() { removeNamespace(w.hub()) })
	w.ip(w.hub(), "link add br0 type bridge", "link set br0 up")
	return w
}

func (w *network) hub() string            { return w.name + "-hub" }
func (w *network) namespace(i int) string { return fmt.Sprintf("%s-n%d", w.name, i) }
func (w *network) address(i int) string   { return fmt.Sprintf("10.91.0.%d", i) }
func (w *network) port(i int) string      { return fmt.Sprintf("p%d", i) } // of the switch
func removeNamespace(name string)         { _ = exec.Command("ip", "netns", "del", name).Run() }
func (w *network) ip(ns string, c ...string) {
	w.t.Helper()
	w.command(strings.Join(c, "\n"), "ip", "-n", ns, "-batch", "-")
}

// command runs a program that must succeed.
func (w *network) command(stdin, name string, args ...string) {
	w.t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(stdin + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("%s %q: %v\n%s%s", name, args, err, stdin, out)
	}
}

// sweepNetworks removes the namespaces of runs that were killed.
func sweepNetworks(t testing.TB) {
	t.Helper()
	all, err := filepath.Glob("/run/netns/" + rig + "-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if name := filepath.Base(path); orphaned(name) {
			removeNamespace(name)
		}
	}
}

// orphaned reports whether the process that a thing of the rig is named after has ended.
func orphaned(name string) bool {
	rest, _ := strings.CutPrefix(name, rig+"-")
	pid, _, _ := strings.Cut(rest, "-")
	n, err := strconv.Atoi(pid)
	return err == nil && unix.Kill(n, 0) == unix.ESRCH
}

// plug connects one more server and returns its number.
func (w *network) plug() int {
	w.t.Helper()
	w.n++
	i, ns := w.n, w.namespace(w.n)
	w.command("", "ip", "netns", "add", ns)
	w.t.Cleanup(func() { removeNamespace(ns) })
	w.ip(w.hub(), fmt.Sprintf("link add %s type veth peer name eth0 netns %s", w.port(i), ns), fmt.Sprintf("link set %s master br0 up", w.port(i)))
	w.ip(ns, "link set lo up", fmt.Sprintf("addr add %s/24 dev eth0", w.address(i)), "link set eth0 up")
	return i
}

// within runs do on a thread in a network namespace: sockets that it opens and programs
// that it starts are there. "": where we are.
func within(t testing.TB, ns string, do func()) {
	t.Helper()
	if ns == "" {
		do()
		return
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.Open("/run/netns/" + ns)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // a thread that is elsewhere must not be used again
		}
		_, _ = home.Close(), there.Close()
		runtime.UnlockOSThread()
	}()
	do()
}

// down pulls a server's cable, up plugs it in again.
func (w *network) down(i int) { w.t.Helper(); w.ip(w.namespace(i), "link set eth0 down") }
func (w *network) up(i int)   { w.t.Helper(); w.ip(w.namespace(i), "link set eth0 up") }

// deaf sets what of what others send does not arrive at a server: everything of some, and
// so many percent of all. Packets vanish without a word.
func (w *network) deaf(i int, to []int, percent int) {
	w.t.Helper()
	rules := &strings.Builder{}
	for _, j := range to {
		fmt.Fprintf(rules, "ip saddr %s drop\n", w.address(j))
	}
	switch {
	case percent >= 100:
		rules.WriteString("iif eth0 drop\n")
	case percent > 0:
		fmt.Fprintf(rules, "iif eth0 numgen random mod 100 < %d drop\n", percent)
	}
	script := fmt.Sprintf("add table inet faults\ndelete table inet faults\ntable inet faults {\nchain in {\ntype filter hook input priority 0; policy accept;\n%s}\n}\n", rules)
	within(w.t, w.namespace(i), func() { w.command(script, "nft", "-f", "-") })
}

// split parts the servers of one side from all others.
func (w *network) split(side ...int) {
	w.t.Helper()
	var rest []int
	for i := 1; i <= w.n; i++ {
		if !slices.Contains(side, i) {
			rest = append(rest, i)
		}
	}
	for i := 1; i <= w.n; i++ {
		if slices.Contains(side, i) {
			w.deaf(i, rest, 0)
		} else {
			w.deaf(i, side, 0)
		}
	}
}

// heal lets everybody hear everybody.
func (w *network) heal() {
	w.t.Helper()
	for i := 1; i <= w.n; i++ {
		w.deaf(i, nil, 0)
		w.up(i)
	}
}

// narrow bounds what a server sends and gets, in bit/s as tc writes them ("1mbit").
func (w *network) narrow(i int, rate string) {
	w.t.Helper()
	w.command("", "tc", "-n", w.namespace(i), "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "10kb", "latency", "50ms")
	w.command("", "tc", "-n", w.hub(), "qdisc", "replace", "dev", w.port(i), "root", "tbf", "rate", rate, "burst", "10kb", "latency", "50ms")
}

// member prepares a server on the network. dir holds its data folder; "" makes one.
func (w *network) member(dir string) *server {
	w.t.Helper()
	i := w.plug()
	s := prepare(w.t, dir)
	s.ns = w.namespace(i)
	s.radius, s.acct, s.https, s.metrics = "127.0.0.1:1812", "127.0.0.1:1813", "127.0.0.1:8443", "127.0.0.1:9464"
	s.write(s.config, fmt.Sprintf(`
name: n%d
data_dir: %s
listen:
  radius: ["%s"]
  https: %s
  metrics: %s
  peer: %[6]s:7443
  coordinator: %[6]s:9443
`, i, s.data, s.radius, s.https, s.metrics, w.address(i)))
	if w.dressed != nil {
		w.dressed(s)
	}
	return s
}

// group founds a group of n servers on the network. disk returns the folder for a server;
// nil makes them.
func (w *network) group(n int, disk func(i int) string) []*server {
	w.t.Helper()
	if disk == nil {
		disk = func(int) string { return "" }
	}
	all := []*server{w.member(disk(1))}
	all[0].found()
	all[0].start()
	for len(all) < n {
		s := w.member(disk(len(all) + 1))
		s.activate(all[0].code())
		s.start()
		all = append(all, s)
	}
	all[0].settled(n)
	return all
}

// witness adds a witness to the group of a server.
func (w *network) witness(of *server) *server {
	w.t.Helper()
	s := w.member("")
	fronts := regexp.MustCompile(`(?m)^  (radius|https): .*\n`)
	s.write(s.config, fronts.ReplaceAllString(readText(w.t, s.config), ""))
	s.activate(of.code("--role", "witness"))
	s.start()
	return s
}

// dialFrom returns a client of this server that stands beside it.
func (s *server) dialFrom(from string) (n *nas) {
	s.t.Helper()
	within(s.t, s.ns, func() { n = newNAS(s.t, from, s.radius) })
	return n
}

// The rig itself: who hears whom.
func TestNetwork(t *testing.T) {
	w := newNetwork(t)
	a, b := w.plug(), w.plug()
	var at, from *net.UDPConn
	open := func(i int) (c *net.UDPConn) {
		within(t, w.namespace(i), func() {
			var err error
			if c, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(w.address(i)), Port: 9}); err != nil {
				t.Fatal(err)
			}
		})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	at, from = open(a), open(b)
	buf := make([]byte, 100)
	n := 0
	hears := func() bool {
		n++
		text := []byte(strconv.Itoa(n))
		if _, err := from.WriteToUDP(text, &net.UDPAddr{IP: net.ParseIP(w.address(a)), Port: 9}); err != nil {
			return false
		}
		_ = at.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			size, err := at.Read(buf)
			if err != nil {
				return false
			}
			if bytes.Equal(buf[:size], text) {
				return true
			}
		}
	}
	await(t, "the first packet", hears) // the switch learns who is where
	for _, c := range []struct {
		name string
		do   func()
		want bool
	}{
		{"split", func() { w.split(a) }, false},
		{"healed", w.heal, true},
		{"deaf to it", func() { w.deaf(a, []int{b}, 0) }, false},
		{"the other way", func() { w.deaf(a, nil, 0); w.deaf(b, []int{a}, 0) }, true},
		{"all lost", func() { w.deaf(a, nil, 100) }, false},
		{"cable out", func() { w.heal(); w.down(a) }, false},
		{"cable in", w.heal, true},
	} {
		c.do()
		if c.want {
			await(t, c.name, hears)
		} else if hears() {
			t.Errorf("%s: it is heard", c.name)
		}
	}
	w.narrow(a, "1mbit")
	await(t, "a packet over a narrow link", hears)
}
