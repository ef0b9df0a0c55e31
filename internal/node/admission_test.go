package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
)

// deaf passes connections on to an address, and, while it is deaf, ends them when the first
// byte of an answer comes.
func deaf(t *testing.T, to string) (address string, is *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	is = new(atomic.Bool)
	pass := func(near net.Conn) {
		defer near.Close()
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer far.Close()
		go func() { _, _ = io.Copy(far, near) }()
		b := make([]byte, 32<<10)
		for {
			n, err := far.Read(b)
			if err != nil || is.Load() {
				return
			}
			if _, err := near.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pass(c)
		}
	}()
	return l.Addr().String(), is
}

// The answer that admits a machine is lost: its keys stay, and the same code, or another one,
// admits it once more, as the same server. Nobody else gets in by that code.
func TestAnswerToActivateLost(t *testing.T) {
	one := options(folder(t))
	one.Config.Listen.Peer, one.Config.Listen.Coordinator = free(t), free(t)
	var lost *atomic.Bool
	one.Config.Advertise.Coordinator, lost = deaf(t, one.Config.Listen.Coordinator)
	must(t, Init(t.Context(), one, "corp"))
	n1 := startInner(t, one)
	defer n1.stop()
	code := func() string {
		var code admin.ActivationCode
		until(t, "code", func() bool {
			return onSocket(t, one.Config.DataDir, "POST", "/group/activations", `{"role":"server"}`, &code) == http.StatusOK
		})
		return string(code.Code.Expose())
	}
	member := func(name string) (m mfa.Member) {
		for _, m = range n1.store.Members() {
			if m.Name == name {
				return m
			}
		}
		return mfa.Member{}
	}
	yes := func(group.Preview) error { return nil }
	for _, name := range []string{"same", "another"} {
		two := options(folder(t))
		two.Config.Name = name
		two.Config.Listen.Peer = free(t)
		dir := two.Config.DataDir
		used := code()
		err := Activate(t.Context(), two, used, func(group.Preview) error { lost.Store(true); return nil })
		lost.Store(false)
		if err == nil || !strings.Contains(err.Error(), "run this command again") {
			t.Fatalf("%s: the answer was lost: %v", name, err)
		}
		until(t, "record", func() bool { return member(name).Key != "" })
		left, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range left {
			if e.Name() != keysDir && e.Name() != "lock" {
				t.Errorf("%s: %s was left", name, e.Name())
			}
		}
		stranger := options(folder(t))
		stranger.Config.Name, stranger.Config.Listen.Peer = name, two.Config.Listen.Peer
		if err := Activate(t.Context(), stranger, used, yes); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "it was used") {
			t.Errorf("%s: somebody else uses the code: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(stranger.Config.DataDir, keysDir)); err == nil {
			t.Errorf("%s: the keys of a machine that was refused are there", name)
		}
		again := used
		if name == "another" {
			again = code()
		}
		must(t, Activate(t.Context(), two, again, yes))
		runs(t, two)
		until(t, "member", func() bool { return member(name).MemberID != "" })
		third := options(folder(t)) // the server's folder is lost, and the code is tried again
		third.Config.Name, third.Config.Listen.Peer = name, two.Config.Listen.Peer
		if err := Activate(t.Context(), third, used, yes); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: a used code: %v", name, err)
		}
	}
}

// A machine that was stopped between the answer and its last file goes on where it was.
func TestActivateInterrupted(t *testing.T) {
	n1, two := pair(t)
	defer n1.stop()
	must(t, os.Remove(filepath.Join(two.Config.DataDir, rosterName)))
	var code admin.ActivationCode
	until(t, "code", func() bool {
		return onSocket(t, n1.Config.DataDir, "POST", "/group/activations", `{"role":"server"}`, &code) == http.StatusOK
	})
	must(t, Activate(t.Context(), two, string(code.Code.Expose()), func(group.Preview) error { return nil }))
	runs(t, two)
}

// runs starts a server and stops it when it answers.
func runs(t *testing.T, o Options) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	o.Ready = func(a Addresses) { ready <- a }
	go func() { done <- Run(ctx, o) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("%s: %v", o.Config.Name, err)
	}
	stop()
	must(t, <-done)
}
