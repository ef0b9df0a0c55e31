package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign/internal/admin"
	"countersign/internal/cli"
)

// ownersVerbs are those that no token may, however wide its scopes are: owners alone make
// owners, servers and what opens everything.
var ownersVerbs = []string{
	"administrator add", "administrator remove", "administrator set", "api-token create", "backup create", "backup verify",
	"group activation", "group forget", "group parked apply", "group promote",
}

// localVerbs read or write this machine alone, or print what the program has in it.
var localVerbs = []string{"completion", "version", "backup restore", "group leave"}

// The same scripts, by a token over https: each verb does elsewhere what it does on the machine
// itself, but for those that are owners', which are refused with the reason.
func TestScriptsRemote(t *testing.T) {
	var mu sync.Mutex
	refused := map[string]bool{}
	remote := func(ts *testscript.TestScript, neg bool, args []string) {
		d, args := prepared(ts, args)
		stdin, err := io.ReadAll(d.Stdin)
		ts.Check(err)
		var stdout, stderr bytes.Buffer
		d.Stdin, d.Stdout, d.Stderr = bytes.NewReader(stdin), &stdout, &stderr
		with := slices.Clone(args)
		here := ts.Getenv("COUNTERSIGN_DATA") != ts.Getenv("REMOTE_DATA") || slices.Contains(args, "--data") // about a folder of this machine
		if !here && !isOne(localVerbs, args) {
			with = append(with, "--server", ts.Getenv("REMOTE"), "--ca-file", ts.Getenv("REMOTE_CA"))
		}
		code := cli.Run(context.Background(), with, d)
		verb := strings.Contains(stderr.String(), "this is an owner's")
		if verb && !isOne(ownersVerbs, args) {
			ts.Fatalf("%q is an owner's: give it to tokens, or say so in the table", args)
		}
		if verb || strings.Contains(stderr.String(), "or an owner, changes their account") { // what an owner alone may is done here
			mu.Lock()
			refused[verbOf(ownersVerbs, args)] = true
			mu.Unlock()
			stdout.Reset()
			stderr.Reset()
			d.Stdin = bytes.NewReader(stdin)
			code = cli.Run(context.Background(), args, d)
		}
		_, _ = ts.Stdout().Write(stdout.Bytes())
		_, _ = ts.Stderr().Write(stderr.Bytes())
		if (code != 0) != neg {
			ts.Fatalf("countersign %q: exit %d: %s", args, code, stderr.String())
		}
	}
	runScripts(t, remote, func(env *testscript.Env, r *rig) error {
		srv := httptest.NewTLSServer(r.api)
		env.Defer(srv.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
			return err
		}
		made, err := r.admin.CreateAPIToken(t.Context(), "test", admin.APITokenRequest{Name: "remote", Scopes: []string{admin.ScopeRead, admin.ScopeWrite}, Seconds: 3600})
		if err != nil {
			return err
		}
		env.Setenv("REMOTE", srv.URL)
		env.Setenv("REMOTE_DATA", r.dir)
		env.Setenv("REMOTE_CA", ca)
		env.Setenv("COUNTERSIGN_TOKEN", string(made.Token.Expose()))
		return nil
	})
	t.Cleanup(func() { // after the scripts, which run in parallel
		for _, v := range ownersVerbs {
			if !refused[v] {
				t.Errorf("%q was never refused to a token: no script runs it, or the table is wrong", v)
			}
		}
	})
}

func isOne(verbs, args []string) bool { return verbOf(verbs, args) != "" }

// verbOf returns the verb of a table that a command is, or "".
func verbOf(verbs, args []string) string {
	for _, v := range verbs {
		words := strings.Fields(v)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return v
		}
	}
	return ""
}
