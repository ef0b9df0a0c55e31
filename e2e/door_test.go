package e2e_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The peer port: who shows a certificate of the group's CA, but with a key that no record
// names, gets nothing, and etcd does not see it. That server's own was good until it was
// taken out. And a folder belongs to one process, and to the present.
func TestPeerPort(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	keys := filepath.Join(all[1].data, "keys")
	cert, err := tls.LoadX509KeyPair(filepath.Join(keys, "peer.pem"), filepath.Join(keys, "peer.key"))
	if err != nil {
		t.Fatal(err)
	}
	port := regexp.MustCompile(`peer: (\S+)`).FindStringSubmatch(readText(t, all[0].config))[1]
	get := func(path string, certs ...tls.Certificate) (status int, text string) {
		c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}} //nolint:gosec // what it answers counts
		r, err := c.Get("https://" + port + path)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = r.Body.Close() }()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	paths := []string{"/members", "/raft/probing", "/version"}
	for _, path := range paths {
		if status, text := get(path); status != 0 {
			t.Errorf("%s without a certificate: %d %s", path, status, text)
		}
		if status, text := get(path, cert); status != http.StatusOK {
			t.Errorf("%s with the certificate of a member: %d %s", path, status, text)
		}
	}

	other := filepath.Join(all[1].dir, "other.yaml") // the same folder, other ports
	all[1].write(other, regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllStringFunc(readText(t, all[1].config), func(string) string { return freeAddress(t) }))
	if r := countersign(t, nil, "", "server", "--config", other); r.code != 1 || !strings.Contains(r.oneLine(t), "two servers cannot share a folder") {
		t.Errorf("a second server on one folder: exit %d: %s", r.code, r.stderr)
	}
	if !all[1].proc.alive() {
		t.Error("the first server on the folder has ended")
	}

	all[1].setBack(all[0])
	all[0].cli("group", "forget", "n2", "--yes")
	all[0].settled(1)
	for _, path := range paths {
		if status, text := get(path, cert); status != http.StatusForbidden || strings.Contains(text, "n1") {
			t.Errorf("%s with the certificate of a server that was taken out: %d %s", path, status, text)
		}
	}
}

// setBack gives a server the data folder of an earlier moment, as a snapshot of its machine
// does, and checks that it ends and says what to do.
func (s *server) setBack(master *server) {
	s.t.Helper()
	early := filepath.Join(s.dir, "early")
	s.stop()
	if out, err := exec.CommandContext(s.t.Context(), "cp", "-a", s.data, early).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	s.start()
	for i := range 5 {
		master.cli("user", "add", fmt.Sprintf("later%d", i))
	}
	await(s.t, "the changes at the server", func() bool { return s.try("", "user", "show", "later4").code == 0 })
	s.stop()
	if err := errors.Join(os.RemoveAll(s.data), os.Rename(early, s.data)); err != nil {
		s.t.Fatal(err)
	}
	r := countersign(s.t, nil, "", "server", "--config", s.config)
	for _, want := range []string{"older than what this server has confirmed", "group forget n2"} {
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			s.t.Errorf("a server that was set back: exit %d, want %q: %s", r.code, want, r.stderr)
		}
	}
}
