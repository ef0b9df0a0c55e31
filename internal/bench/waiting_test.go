package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"countersign/internal/radius"
)

// All wait when each has a goroutine of its own and nobody was answered; the table tells what
// that takes.
func TestWaiting(t *testing.T) {
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "go_memstats_stack_inuse_bytes 2e+06\ngo_goroutines 400\n")
	}))
	defer metrics.Close()
	self, before := &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}, Footprint{RSS: 1e6, Stack: 1e6, Goroutines: 100, CPU: 100}
	for _, answers := range []radius.Code{0, radius.AccessReject} {
		s := serve(t, func(int) (radius.Code, string) { return answers, sharedSecret })
		in := &installation{radius: s.addr, metrics: netip.MustParseAddrPort(metrics.Listener.Addr().String())}
		w, err := in.ask(t.Context(), self, 300, before)
		if (err == nil) != (answers == 0) {
			t.Errorf("answered by %v: %v", answers, err)
		}
		if w != nil {
			w.close()
		}
		if got := len(s.heard()); got != 300 {
			t.Errorf("%d requests were sent", got)
		}
	}
	var b strings.Builder
	r := Waiting{Waiting: 300, Asked: 700, Before: before, While: Footprint{RSS: 31e6, Stack: 2e6, Goroutines: 400, CPU: .25}, Each: 1e5}
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"300 sign-ins wait, asked 700/s", "all wait 31.0 2.0 400 0.250", "each that waits 100.0 kB"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
