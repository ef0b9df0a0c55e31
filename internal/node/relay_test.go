package node

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/peer"
)

// What a server that is behind asks of the master goes through the peer port, here its own:
// reads, conditional writes, and what is refused. A write whose answer is lost may have been
// made; one that nobody received was not.
func TestRelay(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.Peer, o.Config.Listen.Coordinator = free(t), free(t)
	must(t, Init(t.Context(), o, "corp"))
	s, end := up(t, o)
	ctx, r := t.Context(), relay{s.node, s}
	own := mfa.Member{Name: "nyc1", Peer: o.Config.Listen.Peer}
	ask := func(op peer.Operation) (peer.Entries, error) {
		var out peer.Entries
		return out, r.call(ctx, own, op, &out)
	}
	put := func(rev int64, value string) peer.Operation {
		return peer.Operation{Commit: true, If: map[string]int64{"x/test/a": rev}, Puts: map[string][]byte{"x/test/a": []byte(value)}}
	}
	await(t, "this server is on record", func() bool { _, ok := s.peers.allow(s.peers.digest()); return ok })
	made, err := ask(put(0, "one"))
	if err != nil || !made.OK || made.Revision == 0 {
		t.Fatalf("a write: %+v, %v", made, err)
	}
	if again, err := ask(put(0, "two")); err != nil || again.OK {
		t.Errorf("a write on a condition that does not hold: %+v, %v", again, err)
	}
	for name, op := range map[string]peer.Operation{"get": {Get: "x/test/a"}, "scan": {Scan: "x/test/"}} {
		out, err := ask(op)
		if err != nil || len(out.Entries) != 1 || string(out.Entries[0].Value) != "one" || out.Entries[0].Revision != made.Revision {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if out, err := ask(peer.Operation{Get: "x/test/none"}); err != nil || len(out.Entries) != 0 {
		t.Errorf("a key that is not there: %+v, %v", out, err)
	}
	if gone, err := ask(peer.Operation{Commit: true, If: map[string]int64{"x/test/a": made.Revision}, Deletes: []string{"x/test/a"}}); err != nil || !gone.OK {
		t.Errorf("a deletion: %+v, %v", gone, err)
	}
	for name, op := range map[string]peer.Operation{"nothing": {}, "an empty value": put(0, "")} {
		if out, err := ask(op); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	for i := range 6 { // more than one answer holds
		await(t, "a large value", func() bool { // its outcome may stay open on a busy machine
			out, err := ask(peer.Operation{Commit: true, Puts: map[string][]byte{fmt.Sprintf("x/test/big%d", i): []byte(strings.Repeat("x", 750<<10))}})
			return err == nil && out.OK
		})
	}
	if _, err := ask(peer.Operation{Scan: "x/test/"}); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a scan of more than it can have: %v", err)
	}

	own.Peer = free(t) // nobody is there
	if _, err := ask(put(0, "three")); !errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrUnknownOutcome) {
		t.Errorf("a write that nobody received: %v", err)
	}
	l, err := net.Listen("tcp", own.Peer) // somebody, who hangs up
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	if _, err := ask(put(0, "three")); !errors.Is(err, mfa.ErrUnknownOutcome) {
		t.Errorf("a write without an answer: %v", err)
	}
	if _, err := ask(peer.Operation{Get: "x/test/a"}); !errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrUnknownOutcome) {
		t.Errorf("a read without an answer: %v", err)
	}
	s.setAside(aside{why: "the test says so"})
	own.Peer = o.Config.Listen.Peer
	if _, err := ask(put(0, "four")); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a write at a server that decides nothing: %v", err)
	}
	must(t, end())
}
