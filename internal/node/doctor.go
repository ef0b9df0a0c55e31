package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/directory"
	"countersign/internal/secret"
)

const checkTimeout = 5 * time.Second

// check makes one check of what err says.
func check(name, target, layer string, err error, detail, next string) admin.Check {
	if err != nil {
		return admin.Check{Name: name, Target: target, Layer: layer, Detail: err.Error(), NextStep: next}
	}
	return admin.Check{Name: name, Target: target, Layer: layer, OK: true, Detail: detail}
}

// Doctor implements admin.Node: every connection that this server needs, tried now.
func (o operator) Doctor(ctx context.Context) []admin.Check {
	s := o.s
	all := []admin.Check{s.checkDatabase(ctx), s.checkWrites(), s.checkTrail(ctx), s.checkClock()}
	if s.bound.HTTPS != "" {
		all = append(all, s.checkHTTPS(ctx))
	}
	for _, a := range s.bound.RADIUS {
		all = append(all, check("radius", a, "udp", nil, "listening", ""))
	}
	for _, d := range s.store.Directories() {
		for _, c := range checks(directory.Test(ctx, d, "", secret.Text{})) {
			c.Name = "directory " + d.Name + ": " + c.Name
			all = append(all, c)
		}
	}
	all = append(all, s.checkParked(ctx)...)
	return append(all, s.checkSettings()...)
}

func (s *server) checkDatabase(ctx context.Context) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	began := s.Now()
	rev, err := s.node.Barrier(ctx)
	return check("database", filepath.Join(s.Config.DataDir, "db"), "database", err,
		fmt.Sprintf("epoch %d, revision %d, answered in %s", s.node.Epoch(), rev, s.Now().Sub(began).Round(10*time.Microsecond)),
		"look at the log and at the disk; restart the server")
}

func (s *server) checkWrites() admin.Check {
	st, err := s.node.Status()
	if err == nil {
		err = st.ReadOnly
	}
	return check("writes", s.Config.DataDir, "disk", err, fmt.Sprintf("%d MiB of database, %d MiB in use", st.DBSize>>20, st.DBInUse>>20),
		"free space on the disk of data_dir")
}

func (s *server) checkTrail(ctx context.Context) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	head, err := s.loadHead(ctx)
	if err == nil {
		var held bool
		if held, err = s.trail.Holds(head); err == nil && !held {
			err = fmt.Errorf("record %d, which the database knows, is not in it", head.Seq)
		}
	}
	return check("trail", s.trailDir(), "file", err, fmt.Sprintf("%d records", s.trail.Head().Seq), "run `countersign audit verify`")
}

func (s *server) checkClock() admin.Check {
	s.clock.check()
	if w := s.clock.warnings(); len(w) > 0 {
		return check("clock", "kernel", "clock", errors.New(w[0]), "", "set it right with chrony or systemd-timesyncd; look with timedatectl")
	}
	detail := "synchronised"
	if s.clock.state.Load() == 0 {
		detail = "this system does not tell whether it is synchronised"
	}
	return check("clock", "kernel", "clock", nil, detail, "")
}

func (s *server) checkHTTPS(ctx context.Context) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // our own port: what counts is that it answers, and with which certificate
	c, err := d.DialContext(ctx, "tcp", dialable(s.bound.HTTPS))
	if err != nil {
		return check("https", s.bound.HTTPS, "tls", err, "", "look at the log for https; is a firewall between this machine and itself?")
	}
	defer c.Close()
	leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if left := leaf.NotAfter.Sub(s.Now()); left < 0 {
		err = fmt.Errorf("the certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	return check("https", s.bound.HTTPS, "tls", err, fmt.Sprintf("certificate of %q until %s", leaf.Subject.CommonName, leaf.NotAfter.Format(time.DateOnly)),
		"renew tls.cert_file")
}

// dialable turns an address that is listened on into one that can be called.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

// OfflineDoctor tries what can be tried while the server is not running: its folder, its
// keys, its database file and its ports.
func OfflineDoctor(_ context.Context, c config.Config) []admin.Check {
	all := []admin.Check{{Name: "settings", Target: c.Path, Layer: "file", OK: true, Detail: "no mistake in it"}}
	info, err := os.Stat(c.DataDir)
	if err == nil && !info.IsDir() {
		err = errors.New("is not a folder")
	}
	all = append(all, check("data folder", c.DataDir, "file", cause(err), "there", "found a group with `countersign init`"))
	if err != nil {
		return all
	}
	_, err = loadIdentity(c.DataDir)
	all = append(all, check("keys", filepath.Join(c.DataDir, keysDir), "file", err, "readable", "run as the user that owns data_dir, or put the keys back from a backup of this machine"))
	if snaps, _ := filepath.Glob(filepath.Join(c.DataDir, "snapshots", "*")); len(snaps) > 0 {
		newest := snaps[len(snaps)-1]
		_, err := cluster.VerifySnapshot(newest)
		all = append(all, check("newest snapshot", newest, "file", err, "whole", "make a backup while the server runs: countersign backup create"))
	}
	port := func(network, setting, address string) {
		if address == "" {
			return
		}
		var closer interface{ Close() error }
		var err error
		if network == "tcp" {
			closer, err = net.Listen(network, address)
		} else {
			closer, err = net.ListenPacket(network, address)
		}
		if err == nil {
			err = closer.Close()
		}
		all = append(all, check(setting, address, network, err, "free", "stop what uses the port (`ss -lntup`) or change "+setting))
	}
	port("tcp", "listen.https", c.Listen.HTTPS)
	port("tcp", "listen.metrics", c.Listen.Metrics)
	for _, a := range c.Listen.RADIUS {
		port("udp", "listen.radius", a)
	}
	for _, a := range c.Listen.Accounting {
		port("udp", "listen.radius_accounting", a)
	}
	return all
}
