package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"countersign/internal/config"
)

// demoGroup is the name of every demo's group.
const demoGroup = "demo"

// Demo is DATA/demo.json: what to try a demo with. Its secrets are real ones, of a server
// that listens on the loopback only.
type Demo struct {
	User        string   `json:"user"`
	Password    string   `json:"password"`
	TOTPSecret  string   `json:"totp_secret"` // Base32
	OTPAuthURL  string   `json:"otpauth_url"`
	Application string   `json:"application"`
	RADIUS      []string `json:"radius"` // addresses that answered last
	Secret      string   `json:"radius_secret"`
	LastStep    uint64   `json:"last_step"` // time step of the code that demo sign-in used last
}

// DemoConfig reads the node file of a demo; path is "" for none. A front-end that the
// file does not mention gets its usual port on the loopback; an address elsewhere is
// refused.
func DemoConfig(path string, o config.Overrides) (config.Config, error) {
	c, err := config.Load(path, o)
	if err != nil {
		return c, err
	}
	if len(c.Listen.RADIUS) == 0 {
		c.Listen.RADIUS = []string{"127.0.0.1:1812"}
		if haveIPv6() {
			c.Listen.RADIUS = append(c.Listen.RADIUS, "[::1]:1812")
		}
	}
	if c.Listen.HTTPS == "" {
		c.Listen.HTTPS = "127.0.0.1:8443"
	}
	if c.Listen.Metrics == "" {
		c.Listen.Metrics = "127.0.0.1:9464"
	}
	all := append([]string{c.Listen.HTTPS, c.Listen.Metrics, c.Listen.Peer, c.Listen.Coordinator}, c.Listen.RADIUS...)
	all = append(append(all, c.Listen.Accounting...), c.Listen.LDAP...)
	for _, a := range all {
		if host, _, err := net.SplitHostPort(a); err == nil && host != "localhost" {
			if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
				return c, fmt.Errorf("listen address %s: a demo listens on the loopback only, 127.0.0.1 or [::1]", a)
			}
		}
	}
	return c, nil
}

func haveIPv6() bool {
	c, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// ReadDemo reads the demo file of a data folder.
func ReadDemo(dataDir string) (Demo, error) {
	path := filepath.Join(dataDir, demoName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Demo{}, fmt.Errorf("%s is not there: this is no demo's data folder; start one with: countersign server --demo --data %s", path, dataDir)
	}
	if err != nil {
		return Demo{}, err
	}
	var d Demo
	if err := json.Unmarshal(b, &d); err != nil {
		return Demo{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func (d Demo) write(dataDir string) error {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dataDir, demoName), append(b, '\n'))
}

// tell prints what to try, word for word.
func (d Demo) tell(w io.Writer, program, dataDir string) {
	address := "127.0.0.1:1812"
	if len(d.RADIUS) > 0 {
		address = d.RADIUS[0]
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dataDir); err == nil && !strings.HasPrefix(rel, "..") {
			dataDir = rel
		}
	}
	data := " --data " + dataDir
	fmt.Fprintf(w, `
Countersign demo: one user, one RADIUS application, on this machine only.

  user        %s
  password    %s
  TOTP secret %s
  RADIUS      %s, secret %s
  all of it   %s

Try, in another terminal:

  # sign in over RADIUS: password, then the code in the challenge
  %s demo sign-in%s

  # the same with a client that is not ours (packages freeradius-utils and oathtool);
  # each code is good once: if you have just signed in, wait half a minute
  echo "User-Name=%s,User-Password=%s$(oathtool --totp -b %s),Message-Authenticator=0x00" | radclient -x %s auth %s

  # what happened, and how the server is
  %s audit list%s
  %s status%s

Stop with Ctrl-C. The data stays in %s until you delete it.

`, d.User, d.Password, d.TOTPSecret, strings.Join(d.RADIUS, " and "), d.Secret, filepath.Join(dataDir, demoName),
		program, data, d.User, d.Password, d.TOTPSecret, address, d.Secret, program, data, program, data, dataDir)
}
