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
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/trail"
)

const (
	checkTimeout  = 5 * time.Second
	doctorGrace   = 300 * time.Millisecond
	doctorTimeout = 9 * time.Second // of all of it
)

// check makes one check of what err says.
func check(name, target, layer string, err error, detail, next string) admin.Check {
	if err != nil {
		return admin.Check{Name: name, Target: target, Layer: layer, Detail: err.Error(), NextStep: next}
	}
	return admin.Check{Name: name, Target: target, Layer: layer, OK: true, Detail: detail}
}

// Doctor implements admin.Node: every connection that this server needs, tried now.
func (o operator) Doctor(ctx context.Context) admin.CheckList {
	s := o.s
	if s.parted.Load() != nil {
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		defer cancel()
		return s.joiningDoctor(ctx)
	}
	one := func(name string, f func(context.Context) admin.Check) trial {
		return trial{name, func(ctx context.Context) []admin.Check { return []admin.Check{f(ctx)} }}
	}
	all := []trial{{"group", s.checkGroup}, one("database", s.checkDatabase), one("writes", s.checkWrites), one("trail", s.checkTrail), one("clock", s.checkClock)}
	for _, site := range s.sites() {
		if *site.bound != "" {
			all = append(all, one(site.kind, func(ctx context.Context) admin.Check { return s.checkSite(ctx, site) }))
		}
	}
	for _, a := range s.bound.RADIUS {
		all = append(all, one("radius", func(context.Context) admin.Check { return check("radius", a, "udp", nil, "listening", "") }))
	}
	if !s.witness {
		for _, d := range s.store.Directories() {
			all = append(all, trial{"directory " + d.Name, func(ctx context.Context) []admin.Check { return checkDirectory(ctx, d) }})
		}
		for _, g := range s.store.Gateways() {
			if !g.Disabled {
				all = append(all, trial{"gateway " + g.Name, func(ctx context.Context) []admin.Check { return s.checkGateway(ctx, g) }})
			}
		}
		all = append(all, trial{"notices", s.checkOutbox})
		all = append(all, trial{"RADIUS time-outs", func(context.Context) []admin.Check { return s.checkPatience() }})
		all = append(all, trial{"parked", s.checkParked})
		all = append(all, trial{"held codes", func(context.Context) []admin.Check { return s.checkHeld() }})
		all = append(all, trial{"former copies", func(context.Context) []admin.Check { return s.checkFormer() }})
		all = append(all, trial{"settings", func(context.Context) []admin.Check { return s.checkSettings() }})
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	list := admin.CheckList{Checks: atOnce(ctx, all)}
	list.SignIns, list.Changes = s.works() // as it is after the tries
	return list
}

func checkDirectory(ctx context.Context, d mfa.Directory) []admin.Check {
	all := checks(directory.Test(ctx, d, "", secret.Text{}))
	for i := range all {
		all[i].Name = "directory " + d.Name + ": " + all[i].Name
	}
	return all
}

// trial is one group of checks.
type trial struct {
	name string
	run  func(ctx context.Context) []admin.Check
}

// atOnce runs all trials at the same time and returns their checks in the order of the
// trials. It does not wait for one that is still not done when ctx is.
func atOnce(ctx context.Context, all []trial) []admin.Check {
	done := make([]chan []admin.Check, len(all))
	for i, one := range all {
		done[i] = make(chan []admin.Check, 1)
		go func() { done[i] <- one.run(ctx) }()
	}
	var list []admin.Check
	for i, one := range all {
		select {
		case c := <-done[i]:
			list = append(list, c...)
			continue
		case <-ctx.Done():
		}
		t := time.NewTimer(doctorGrace) // what heeds ctx ends now
		select {
		case c := <-done[i]:
			list = append(list, c...)
		case <-t.C:
			list = append(list, admin.Check{Name: one.name, Layer: "time", Detail: fmt.Sprintf("not done after %s", doctorTimeout), NextStep: "look at the log, and run this again"})
		}
		t.Stop()
	}
	return list
}

func (s *server) checkDatabase(ctx context.Context) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	began := s.Now()
	rev, err := s.node.Barrier(ctx)
	next := "look at the log and at the disk; restart the server"
	if s.grouped() {
		next = "see the check of the master"
	}
	return check("database", filepath.Join(s.Config.DataDir, "db"), "database", err,
		fmt.Sprintf("epoch %d, revision %d, answered in %s", s.node.Epoch(), rev, s.Now().Sub(began).Round(10*time.Microsecond)),
		next)
}

func (s *server) checkWrites(context.Context) admin.Check {
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
	if b := s.trail.Broken(); b != nil || s.cutTrail {
		return check("trail", s.trailDir(), "file", errors.New("records were cut off or changed before this start"), "",
			"run `countersign audit verify`, keep the files, and find out who could write there")
	}
	var head trail.Position
	var err error
	if _, contact := s.store.Contact(); contact && !s.witness && s.aside.Load() == nil && s.parted.Load() == nil { // a witness has none there; without a master none can be had
		head, err = s.loadHead(ctx)
	}
	if err == nil {
		var held bool
		if held, err = s.trail.Holds(head); err == nil && !held {
			err = fmt.Errorf("record %d, which the database knows, is not in it", head.Seq)
		}
	}
	return check("trail", s.trailDir(), "file", err, fmt.Sprintf("%d records", s.trail.Head().Seq), "run `countersign audit verify`")
}

func (s *server) checkClock(context.Context) admin.Check {
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

func (s *server) checkSite(ctx context.Context, o site) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // our own port: what counts is that it answers, and with which certificate
	c, err := d.DialContext(ctx, "tcp", dialable(*o.bound))
	if err != nil {
		return check(o.kind, *o.bound, "tls", err, "", "look at the log for https; is a firewall between this machine and itself?")
	}
	defer c.Close()
	leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if left := leaf.NotAfter.Sub(s.Now()); left < 0 {
		err = fmt.Errorf("the certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	return check(o.kind, *o.bound, "tls", err, fmt.Sprintf("certificate of %q until %s", leaf.Subject.CommonName, leaf.NotAfter.Format(time.DateOnly)),
		"renew "+o.certs.setting("cert_file"))
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
	port("tcp", "listen.console", c.Listen.Console)
	port("tcp", "listen.portal", c.Listen.Portal)
	port("tcp", "listen.metrics", c.Listen.Metrics)
	port("tcp", "listen.peer", c.Listen.Peer)
	port("tcp", "listen.coordinator", c.Listen.Coordinator)
	for _, a := range c.Listen.RADIUS {
		port("udp", "listen.radius", a)
	}
	for _, a := range c.Listen.Accounting {
		port("udp", "listen.radius_accounting", a)
	}
	return all
}
