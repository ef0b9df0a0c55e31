package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"countersign/internal/coordinator"
	"countersign/internal/mfa"
)

// free returns an address on this machine that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A restore asks the servers that the backup records: one that is the master of the group
// ends only if the operator says so.
func TestRestoreAsksTheServers(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.Peer, o.Config.Listen.Coordinator = free(t), free(t)
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	s := &server{Options: o, small: true, work: 10}
	ready := make(chan struct{})
	s.Ready = func(Addresses) { close(ready) }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, nil) }()
	end := func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	recorded := false
	for tick := time.NewTicker(10 * time.Millisecond); !recorded; <-tick.C { // the server writes its own record
		_, err := s.store.Member("nyc1")
		if recorded = err == nil; !recorded && t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	must(t, s.backup(ctx, passphrase, &file))

	restore := func(confirm string) (said string, err error) {
		n := options(folder(t))
		n.Config.Name = "nyc9"
		var told buffer
		n.Stdout = &told
		err = RestoreBackup(t.Context(), n, bytes.NewReader(file.Bytes()), passphrase, confirm)
		if left := listing(t, n.Config.DataDir); err != nil && left != "" {
			t.Errorf("a refused restore left %s", left)
		}
		return told.String(), err
	}
	coordinator := o.Config.Listen.Coordinator
	said, err := restore("")
	if err == nil || !strings.Contains(err.Error(), "master is nyc1 in epoch 1, says the server at "+coordinator) || !strings.Contains(err.Error(), "--confirm corp/1") {
		t.Errorf("a living master: %v", err)
	}
	if want := "Asked server nyc1 at " + coordinator + ": the master is nyc1 in epoch 1.\n"; said != want {
		t.Errorf("told %q, want %q", said, want)
	}
	if _, err = restore("corp/2"); err == nil || !strings.Contains(err.Error(), "what ends with this restore is corp/1") {
		t.Errorf("another end confirmed: %v", err)
	}
	if said, err = restore("corp/1"); err != nil || !strings.Contains(said, "as epoch 2:") {
		t.Errorf("its end confirmed: %v, %s", err, said)
	}
	end()
	if said, err = restore(""); err != nil || !strings.Contains(said, "no answer") || !strings.Contains(said, "as epoch 1001:") {
		t.Errorf("nobody heard: %v, %s", err, said)
	}
}

func TestEpochAfterARestore(t *testing.T) {
	heard := func(group string, epoch uint64) survivor {
		return survivor{member: mfa.Member{Name: "n1", Coordinator: "n1:9443"}, master: coordinator.Standing{Group: group, Epoch: epoch, Name: "n2"}, known: true}
	}
	silent := survivor{member: mfa.Member{Name: "n3", Coordinator: "n3:9443"}, err: errors.New("refused")}
	parted := survivor{member: mfa.Member{Name: "n4", Coordinator: "n4:9443"}, err: fmt.Errorf("n4:9443: %w", mfa.ErrUnavailable)}
	stranger := heard("corp", 8)
	stranger.known = false
	m := manifest{Group: "corp", Epoch: 7}
	for _, tt := range []struct {
		name    string
		others  []survivor
		confirm string
		want    uint64 // 0: refused
	}{
		{"nobody to ask", nil, "", 1007},
		{"nobody to ask, confirmed", nil, "corp/7", 1007},
		{"nobody answers", []survivor{silent, parted}, "", 1007},
		{"another end", nil, "corp/8", 0},
		{"another group", nil, "lab/7", 0},
		{"the master lives", []survivor{silent, heard("corp", 7)}, "", 0},
		{"the master lives, confirmed", []survivor{silent, heard("corp", 7)}, "corp/7", 8},
		{"a later one lives", []survivor{heard("corp", 7), heard("corp", 9)}, "corp/7", 0},
		{"a later one lives, confirmed", []survivor{heard("corp", 9), heard("corp", 7)}, "corp/9", 10},
		{"an earlier one lives", []survivor{heard("corp", 3)}, "corp/7", 8},
		{"signed by a later server", []survivor{stranger}, "", 0},
		{"signed by a later server, confirmed", []survivor{stranger}, "corp/8", 9},
		{"of another group", []survivor{heard("lab", 9)}, "", 1007},
		{"the last epoch", []survivor{heard("corp", 1<<64-1)}, "corp/18446744073709551615", 0},
	} {
		if got, err := epochAfter(m, tt.others, tt.confirm); got != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("%s: epoch %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		of   survivor
		want string
	}{
		{silent, "no answer (refused)"}, {parted, "it lives, but knows no master"}, {stranger, "came into the group after this backup"},
		{survivor{member: mfa.Member{Name: "n5"}, err: errors.New("x")}, "n5 cannot be asked"},
	} {
		if got := tt.of.String(); !strings.Contains(got, tt.want) {
			t.Errorf("said %q, want %q in it", got, tt.want)
		}
	}
}
