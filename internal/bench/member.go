package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// member is one server of a group under test.
type member struct {
	installation
	name   string
	server *process // that runs; nil: none
}

const memberConf = `name: %s
data_dir: %s/data
listen:
  radius: ["%s"]
  metrics: "%s"
  peer: "%s"
  coordinator: "%s"
log: {level: error}
`

func newMember(dir, binary, name string) (*member, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	m := &member{installation: installation{binary: binary, dir: dir, config: filepath.Join(dir, "countersign.yaml")}, name: name}
	var ports [4]string
	for i := range ports {
		a, err := freePort()
		if err != nil {
			return nil, err
		}
		switch i {
		case 0:
			m.radius = a
		case 1:
			m.metrics = a
		}
		ports[i] = a.String()
	}
	return m, os.WriteFile(m.config, fmt.Appendf(nil, memberConf, name, dir, ports[0], ports[1], ports[2], ports[3]), 0o600)
}

// found founds the group and imports the users.
func (m *member) found(ctx context.Context, p population) error {
	if err := m.do(ctx, "", "init", "--group", "bench"); err != nil {
		return err
	}
	if _, err := m.serve(ctx); err != nil {
		return err
	}
	if err := m.addApplication(ctx); err != nil {
		return err
	}
	_, err := m.importUsers(ctx, p)
	return err
}

// activate admits this server to the group of another.
func (m *member) activate(ctx context.Context, by *member) error {
	var code []byte
	err := await(ctx, "an activation code", func() (ok bool) {
		c := exec.CommandContext(ctx, by.binary, "group", "activation", "create", "--config", by.config) //nolint:gosec // the benchmark's own words
		out, err := c.Output()
		code = bytes.TrimSpace(out)
		return err == nil
	})
	if err != nil {
		return err
	}
	return m.do(ctx, string(code), "activate", "-", "--yes")
}

// serve starts the server and returns the time until it decides.
func (m *member) serve(ctx context.Context) (took time.Duration, err error) {
	m.server, took, err = m.installation.serve(ctx, m.alive)
	return took, err
}

// kill ends the server without a word.
func (m *member) kill() error {
	end(m.server.cmd.Process, true)
	<-m.server.done
	return nil
}

// groupStatus is what the benchmark reads of a server's status.
type groupStatus struct {
	Role     string `json:"role"`
	Epoch    uint64 `json:"epoch"`
	Degraded bool   `json:"degraded"`
	Members  []struct {
		Voter     bool `json:"voter"`
		Reachable bool `json:"reachable"`
	} `json:"members"`
}

func (m *member) status(ctx context.Context) (st groupStatus, err error) {
	text, err := m.call(ctx, http.MethodGet, "/status", nil)
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	return st, err
}

// whole reports whether this server sees all others, with a vote each; of two, one has it.
func (m *member) whole(ctx context.Context, size int) bool {
	st, err := m.status(ctx)
	if err != nil || st.Degraded || len(st.Members) != size {
		return false
	}
	voters := 0
	for _, o := range st.Members {
		if !o.Reachable {
			return false
		}
		if o.Voter {
			voters++
		}
	}
	return voters == size || size == 2 && voters == 1
}

// call makes one call of the REST API through the server's socket.
func (m *member) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://countersign/api/v1"+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(m.dir, "data", "admin.sock"))
	}}}
	a, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, a.StatusCode, strings.TrimSpace(string(text)))
	}
	return text, err
}

// gap has changes made at this server, one after another, while cause happens, and returns
// the longest time between two that were acknowledged from then on.
func (m *member) gap(ctx context.Context, cause func() error) (gap time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	acks := make(chan time.Time)
	go func() {
		defer close(acks)
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := m.call(ctx, http.MethodPatch, "/users/"+population(0).login(0), map[string]any{"tags": []string{fmt.Sprintf("t%d", n)}}); err == nil {
				select {
				case acks <- time.Now():
				case <-ctx.Done():
				}
			}
		}
	}()
	var last time.Time
	for range 10 { // under way
		select {
		case last = <-acks:
		case <-time.After(readyTimeout):
			return 0, errors.New("no change is made before")
		}
	}
	done := make(chan error, 1)
	go func() { done <- cause() }()
	after := 0
	for deadline := time.After(readyTimeout); ; {
		select {
		case at := <-acks:
			gap, last = max(gap, at.Sub(last)), at
			if done == nil {
				after++
			}
			if after == 50 {
				return gap, nil
			}
		case err = <-done:
			if done = nil; err != nil {
				return gap, err
			}
		case <-deadline:
			return gap, errors.New("no change is made afterwards")
		}
	}
}

// readyTimeout bounds every wait for something that has to come.
const readyTimeout = time.Minute

func await(ctx context.Context, what string, ok func() bool) error {
	for deadline := time.Now().Add(readyTimeout); !ok(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s", what, readyTimeout)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
