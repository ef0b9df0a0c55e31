package node

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/config"
	"countersign/internal/group"
)

// inner is a server of which the test sees the inside.
type inner struct {
	*server
	stop context.CancelFunc
	done chan error
}

// startInner runs a server until it answers. One that runs again in this process is not seen.
func startInner(t *testing.T, o Options) inner {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan Addresses, 1)
	o.Ready = func(a Addresses) { ready <- a }
	i := inner{&server{Options: o}, stop, make(chan error, 1)}
	go func() { i.done <- i.run(ctx, nil) }()
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-i.done:
		t.Fatalf("server: %v\n%s", err, o.Stderr)
	}
	return i
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within 30 s", what)
		}
	}
}

// pair founds a group of two, of which the second is activated and not started.
func pair(t *testing.T) (first inner, second Options) {
	t.Helper()
	one, two := options(folder(t)), options(folder(t))
	two.Config.Name = "nyc2"
	for _, c := range []*config.Config{&one.Config, &two.Config} {
		c.Listen.Peer, c.Listen.Coordinator, c.Listen.Metrics = free(t), free(t), free(t)
	}
	must(t, Init(t.Context(), one, "corp"))
	first = startInner(t, one)
	var code admin.ActivationCode
	until(t, "code", func() bool {
		return onSocket(t, one.Config.DataDir, "POST", "/group/activations", `{"role":"server"}`, &code) == http.StatusOK
	})
	must(t, Activate(t.Context(), two, string(code.Code.Expose()), func(group.Preview) error { return nil }))
	return first, two
}

// refusesJoin has a master answer everybody who wants to join with an error, until it is undone.
func (i inner) refusesJoin() (undo func()) {
	api := i.peers.api.Load()
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/join") {
			group.WriteAnswer(w, nil, errors.New("not now"))
			return
		}
		(*api).ServeHTTP(w, r)
	}))
	i.peers.api.Store(&h)
	return func() { i.peers.api.Store(api) }
}

// While a server joins its group again, what it can tell is told: status, doctor and health
// say that it joins, the rest whom to ask; and a stop is a stop.
func TestJoinsAgain(t *testing.T) {
	n1, two := pair(t)
	defer n1.stop()
	n2 := startInner(t, two)
	dir := two.Config.DataDir
	var member string
	until(t, "learner", func() bool {
		st, err := n2.node.Status()
		member = st.MemberID
		var seen admin.Status
		return err == nil && st.Quorum && onSocket(t, dir, "GET", "/status", "", &seen) == http.StatusOK && !seen.Degraded && len(seen.Members) == 2
	})
	n1.refusesJoin()
	must(t, n1.node.Remove(t.Context(), member))
	var st admin.Status
	until(t, "joining", func() bool {
		status := onSocket(t, dir, "GET", "/status", "", &st)
		return status == http.StatusOK && st.Role == "joining" && strings.Contains(strings.Join(st.Warnings, " "), "not now")
	})
	if st.Name != "nyc2" || st.Group != "corp" || !st.Degraded || len(st.Fronts) == 0 || len(st.Members) != 2 || !strings.Contains(strings.Join(st.Warnings, " "), "joining its group again since") {
		t.Errorf("status: %+v", st)
	}
	var doc admin.CheckList
	if s := onSocket(t, dir, "POST", "/doctor", "", &doc); s != http.StatusOK || doc.OK || len(doc.Checks) < 4 || doc.Checks[0].Name != "joining" || !strings.Contains(doc.Checks[0].Detail, "not now") || doc.Checks[0].NextStep == "" {
		t.Errorf("doctor: %d %+v", s, doc)
	}
	for _, c := range doc.Checks[1:] {
		if !c.OK && c.Name != "clock" {
			t.Errorf("doctor: %+v", c)
		}
	}
	var list admin.MemberList
	if s := onSocket(t, dir, "GET", "/group/members", "", &list); s != http.StatusOK || len(list.Members) != 2 {
		t.Errorf("members: %d %+v", s, list)
	}
	var h health
	get(t, "http://"+two.Config.Listen.Metrics+"/health/ready", http.StatusOK, &h)
	if !h.Ready || !strings.Contains(strings.Join(h.Warnings, " "), "joining its group again since") {
		t.Errorf("health: %+v", h)
	}
	for _, c := range []struct{ path, body string }{{"/users", `{"login":"ann"}`}, {"/group/promote", `{}`}, {"/group/leave", `{}`}} {
		var problem struct{ Detail string }
		if s := onSocket(t, dir, "POST", c.path, c.body, &problem); s != http.StatusServiceUnavailable || !strings.Contains(problem.Detail, "joining its group again since") || !strings.Contains(problem.Detail, "or ask nyc1") {
			t.Errorf("%s: %d %s", c.path, s, problem.Detail)
		}
	}
	n2.stop()
	if err := <-n2.done; err != nil {
		t.Errorf("stopped while it joins: %v", err)
	}
	if said := two.Stderr.(*buffer).String(); strings.Contains(said, "stopped by itself") {
		t.Errorf("the log names another cause:\n%s", said)
	}
}

// A server that has no database yet shows that it joins, and how; its activation can be given up.
func TestJoinsAtFirst(t *testing.T) {
	n1, two := pair(t)
	defer n1.stop()
	dir := two.Config.DataDir
	undo := n1.refusesJoin()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	ready := make(chan Addresses, 1)
	two.Ready = func(a Addresses) { ready <- a }
	go func() { done <- Run(ctx, two) }()
	until(t, "socket", func() bool { _, err := os.Stat(filepath.Join(dir, socketName)); return err == nil })
	var st admin.Status
	until(t, "reason", func() bool {
		return onSocket(t, dir, "GET", "/status", "", &st) == http.StatusOK && strings.Contains(strings.Join(st.Warnings, " "), "not now")
	})
	if st.Role != "joining" || st.Group != "corp" || len(st.Members) == 0 {
		t.Errorf("status: %+v", st)
	}
	var doc admin.CheckList
	if s := onSocket(t, dir, "POST", "/doctor", "", &doc); s != http.StatusOK || doc.OK || !strings.Contains(doc.Checks[0].Detail, "not now") {
		t.Errorf("doctor: %d %+v", s, doc)
	}
	var problem struct{ Detail string }
	if s := onSocket(t, dir, "GET", "/users", "", &problem); s != http.StatusServiceUnavailable || !strings.Contains(problem.Detail, "joining its group corp since") {
		t.Errorf("users: %d %s", s, problem.Detail)
	}
	if s := onSocket(t, dir, "POST", "/group/leave", `{}`, &problem); s != http.StatusUnprocessableEntity || !strings.Contains(problem.Detail, "--force") {
		t.Errorf("leave: %d %s", s, problem.Detail)
	}
	get(t, "http://"+two.Config.Listen.Metrics+"/health/ready", http.StatusServiceUnavailable, nil)
	undo()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("ended: %v", err)
	}
	if s := onSocket(t, dir, "GET", "/status", "", &st); s != http.StatusOK || st.Role != "replica" {
		t.Errorf("when it has joined: %d %+v", s, st)
	}
	stop()
	must(t, <-done)
}

func TestGivesUpJoining(t *testing.T) {
	n1, two := pair(t)
	defer n1.stop()
	n1.refusesJoin()
	for _, force := range []bool{false, true} {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- Run(ctx, two) }()
		until(t, "socket", func() bool {
			_, err := os.Stat(filepath.Join(two.Config.DataDir, socketName))
			return err == nil
		})
		var st admin.Status
		until(t, "try", func() bool {
			return onSocket(t, two.Config.DataDir, "GET", "/status", "", &st) == http.StatusOK && len(st.Warnings) > 1
		})
		if !force {
			stop()
			if err := <-done; err != nil {
				t.Errorf("stopped while it joins at first: %v", err)
			}
			continue
		}
		if s := onSocket(t, two.Config.DataDir, "POST", "/group/leave", `{"force":true}`, nil); s != http.StatusOK {
			t.Errorf("leave: %d", s)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "has left its group") {
			t.Errorf("ended: %v", err)
		}
		stop()
	}
}
