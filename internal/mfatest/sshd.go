package mfatest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// SSHD is a running OpenSSH server that asks a RADIUS server who may come in.
type SSHD struct {
	*Daemon
	Port string // at 127.0.0.1
	User string // of this machine, made for the test
}

// OpenSSH starts sshd with pam_radius_auth in front of a RADIUS server, and makes a user
// of this machine who may sign in; both are gone after the test. It needs root.
func OpenSSH(t testing.TB, radius, secret string) *SSHD {
	t.Helper()
	programs := Need(t, "sshd", "ssh-keygen", "useradd", "userdel")
	if os.Getuid() != 0 {
		Missing(t, "sshd and PAM need root")
	}
	if m, _ := filepath.Glob("/lib/*/security/pam_radius_auth.so"); len(m) == 0 {
		Missing(t, "libpam-radius-auth is not installed; `make deps` installs it")
	}
	s := &SSHD{Port: FreePort(t), User: fmt.Sprintf("rig%d", os.Getpid())}
	dir, err := os.MkdirTemp("", "sshd") // others may look into it, unlike t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }

	// The name of the program is the name of its PAM service, so that the real one stays as it is.
	name := fmt.Sprintf("sshd-rig%d", os.Getpid())
	service := filepath.Join("/etc/pam.d", name)
	writeFile(t, at("pam_radius.conf"), fmt.Sprintf("%s %s 10\n", radius, secret))
	writeFile(t, service, fmt.Sprintf("auth required pam_radius_auth.so conf=%s\naccount required pam_permit.so\nsession required pam_permit.so\n", at("pam_radius.conf")))
	t.Cleanup(func() { _ = os.Remove(service) })
	run(t, "cp", programs[0], at(name))
	run(t, programs[1], "-qt", "ed25519", "-N", "", "-f", at("host"))
	run(t, programs[2], "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", s.User)
	t.Cleanup(func() {
		if out, err := exec.Command(programs[3], s.User).CombinedOutput(); err != nil { //nolint:gosec // a rig's own words
			t.Errorf("rig: remove the user %s: %v\n%s", s.User, err, out)
		}
	})
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { //nolint:gosec // as the package does
		t.Fatal(err)
	}
	config := fmt.Sprintf(`ListenAddress 127.0.0.1:%s
HostKey %s
PidFile none
UsePAM yes
PasswordAuthentication no
PubkeyAuthentication no
KbdInteractiveAuthentication yes
`, s.Port, at("host"))
	// From OpenSSH 9.8 on it is a setting instead, which older ones do not know.
	writeFile(t, at("sshd_config"), config+"PAMServiceName "+name+"\n")
	if exec.CommandContext(t.Context(), at(name), "-t", "-f", at("sshd_config")).Run() != nil { //nolint:gosec // a rig's own words
		writeFile(t, at("sshd_config"), config)
	}
	s.Daemon = Start(t, at(name), "-D", "-e", "-f", at("sshd_config"))
	s.AwaitTCP(t, "127.0.0.1:"+s.Port)
	return s
}
