package mfatest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SMTP is a running Exim that keeps what it takes. It takes mail for NAME@test.example where
// NAME is not "nobody", over TLS and after a login only.
type SMTP struct {
	*Daemon
	Address  string // 127.0.0.1:PORT, with STARTTLS
	TLS      string // 127.0.0.1:PORT, TLS from the first byte
	CA       *CA
	Login    string
	Password string
	spool    string
}

// Exim starts one.
func Exim(t testing.TB) *SMTP {
	t.Helper()
	program := Need(t, "exim4")[0]
	dir, err := os.MkdirTemp("", "exim") // not the test's own folder: Exim leaves root's rights and has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &SMTP{CA: NewCA(t), Login: "mfa", Password: "mail secret", Address: "127.0.0.1:" + FreePort(t), TLS: "127.0.0.1:" + FreePort(t), spool: filepath.Join(dir, "spool")}
	_, cert, key := s.CA.files(t, dir, "127.0.0.1", "localhost")
	conf := filepath.Join(dir, "exim.conf")
	writeFile(t, conf, fmt.Sprintf(`
primary_hostname = mail.test.example
spool_directory = %[1]s
log_file_path = %[1]s/%%slog
pid_file_path = %[1]s/pid
keep_environment =
queue_only = true
never_users =
tls_advertise_hosts = *
tls_certificate = %[2]s
tls_privatekey = %[3]s
tls_on_connect_ports = %[5]s
daemon_smtp_ports = %[4]s : %[5]s
local_interfaces = 127.0.0.1
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  deny !authenticated = *
       message = log in first
  deny local_parts = nobody
       message = no such person
  defer local_parts = full
       message = the mailbox is full
  accept domains = test.example
  deny message = not for us
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if and{{eq{$auth2}{%[6]s}}{eq{$auth3}{%[7]s}}}}
  server_set_id = $auth2
`, s.spool, cert, key, port(s.Address), port(s.TLS), s.Login, s.Password))
	if err := os.Mkdir(s.spool, 0o750); err != nil {
		t.Fatal(err)
	}
	share(t, dir, s.spool)
	s.Daemon = Start(t, program, "-C", conf, "-bdf")
	s.AwaitTCP(t, s.Address, s.TLS)
	return s
}

func port(address string) string {
	_, p, _ := strings.Cut(address, ":")
	return p
}

// share lets the user that Exim becomes, if root starts it, read dir and write below spool.
func share(t testing.TB, dir, spool string) {
	t.Helper()
	u, err := user.Lookup("Debian-exim")
	if os.Getuid() != 0 || err != nil {
		return
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	err = os.Chmod(dir, 0o755) //nolint:gosec // it has to get there
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if err == nil && filepath.Base(f) != "exim.conf" { // that has to be root's
			err = os.Chown(f, uid, gid)
		}
	}
	if err == nil {
		err = os.Chown(spool, uid, gid)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Mails returns what it has taken, headers and text of each.
func (s *SMTP) Mails(t testing.TB) []string {
	t.Helper()
	var mails []string
	for _, dir := range []string{"input", "input/*"} {
		heads, _ := filepath.Glob(filepath.Join(s.spool, dir, "*-H"))
		for _, h := range heads {
			head, err := os.ReadFile(h) //nolint:gosec // the rig's own
			text, bad := os.ReadFile(strings.TrimSuffix(h, "-H") + "-D")
			if err == nil && bad == nil {
				mails = append(mails, string(head)+"\n"+string(text))
			}
		}
	}
	return mails
}

// Await returns the mails when there are so many, or fails the test.
func (s *SMTP) Await(t testing.TB, n int) []string {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if m := s.Mails(t); len(m) >= n {
			return m
		}
		if time.Now().After(end) {
			t.Fatalf("rig: %d mails, want %d", len(s.Mails(t)), n)
		}
	}
}
