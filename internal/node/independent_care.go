package node

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/admin"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/reach"
	"countersign/internal/secret"
	"countersign/internal/trail"
)

// assembleCare makes what the owner of a coordinator looks after it with: its trail of acts,
// verbosity, doctor, metrics.
func (c *independent) assembleCare() (err error) {
	c.clock = &clockCheck{log: c.log.Logger("clock"), synchronised: kernelSynchronised}
	if c.index, err = trail.OpenIndex(c.trail); err != nil {
		return err
	}
	c.assembleOperators()
	if err := c.resumeChallenges(); err != nil {
		return err
	}
	c.metrics = &metrics{registry: prometheus.NewRegistry()}
	c.gauges()
	return nil
}

// SetLogLevel implements adminapi.Coordinator.
func (c *independent) SetLogLevel(ctx context.Context, by string, l admin.LogLevel) error {
	return c.admin.SetLogLevel(ctx, by, l)
}

// Doctor implements adminapi.Coordinator.
func (c *independent) Doctor(ctx context.Context) (admin.CheckList, error) {
	return c.admin.Doctor(ctx)
}

// Acts implements adminapi.Coordinator: what was done at this coordinator.
func (c *independent) Acts(ctx context.Context, q admin.AuditQuery) (admin.ActList, error) {
	return c.admin.Acts(ctx, q)
}

// VerifyAudit implements adminapi.Coordinator.
func (c *independent) VerifyAudit(ctx context.Context) (admin.AuditVerification, error) {
	return c.admin.VerifyAudit(ctx)
}

// coordinatorNode is a coordinator as package admin sees it.
type coordinatorNode struct{ c *independent }

var errCoordinatorHas = fmt.Errorf("%w: this is a coordinator: see `countersign coordinator --help`", mfa.ErrInvalid)

// Status implements admin.Node.
func (n coordinatorNode) Status(ctx context.Context) (admin.Status, error) { return n.c.Status(ctx) }

// SetLogLevel implements admin.Node.
func (n coordinatorNode) SetLogLevel(component, level string, during time.Duration) error {
	return operator{n.c.server}.SetLogLevel(component, level, during)
}

// Backup implements admin.Node.
func (n coordinatorNode) Backup(context.Context, secret.Text, io.Writer) error {
	return errCoordinatorHas
}

// Doctor implements admin.Node: every connection and file that this coordinator needs.
func (n coordinatorNode) Doctor(ctx context.Context) admin.CheckList {
	c := n.c
	one := func(name string, f func(context.Context) admin.Check) trial {
		return trial{name, func(ctx context.Context) []admin.Check { return []admin.Check{f(ctx)} }}
	}
	all := []trial{one("coordinators", c.checkMajority), {"coordinators", c.checkColleagues}, one("database", c.checkDatabase), one("writes", c.checkWrites),
		one("keys", c.checkKeys), one("trail", c.checkActs), one("clock", c.checkClock), one("port", c.checkPort)}
	if c.Config.TLS.CertFile != "" {
		all = append(all, one("tls.cert_file", c.checkGiven))
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	return admin.CheckList{Checks: atOnce(ctx, all)}
}

func (c *independent) checkMajority(context.Context) admin.Check {
	detail := "this one leads"
	err := c.majority()
	if leader, lerr := c.leader(); lerr == nil {
		detail = leader.Name + " leads"
	}
	return check("coordinators", c.Config.Name, "group", err, detail, noMajorityAdvice)
}

// checkColleagues tries the peer ports of the other coordinators, all at once.
func (c *independent) checkColleagues(ctx context.Context) []admin.Check {
	if c.peers == nil {
		return nil
	}
	list := []admin.Check{c.checkPeerCertificate()}
	st, err := c.node.Status()
	if err != nil {
		return list
	}
	var others []mfa.Member
	for _, m := range c.colleagues.Members() {
		if m.Name != c.Config.Name {
			others = append(others, m)
		}
	}
	ports := make([]admin.Check, len(others))
	var all sync.WaitGroup
	for i, m := range others {
		all.Go(func() {
			ports[i], _ = c.checkServer(ctx, m, st.Epoch, st.Revision)
			ports[i].Name = "coordinator " + m.Name
			ports[i].NextStep = strings.ReplaceAll(ports[i].NextStep, "systemctl start countersign)", "systemctl start countersign-coordinator)")
		})
	}
	all.Wait()
	return append(list, ports...)
}

func (c *independent) checkKeys(context.Context) admin.Check {
	_, err := loadIdentity(c.Config.DataDir)
	return check("keys", c.Config.DataDir, "file", err, "readable", "run as the user that owns data_dir, or put the keys back from a backup of this machine")
}

func (c *independent) checkActs(context.Context) admin.Check {
	var err error
	if b := c.trail.Broken(); b != nil {
		err = fmt.Errorf("damaged in segment %d, line %d: %s", b.Segment, b.Line, b.What)
	}
	return check("trail", c.trailDir(), "file", err, fmt.Sprintf("%d records", c.trail.Head().Seq), "run `countersign audit verify`")
}

// checkPort calls the coordinator's own port as a server does, under the address that
// servers are told.
func (c *independent) checkPort(ctx context.Context) admin.Check {
	pool := x509.NewCertPool()
	pool.AddCert(c.registry.CA.Certificate())
	address := c.registry.Addresses[0]
	r := reach.Try(ctx, reach.Target{Server: c.Config.Name, Address: address, Setting: "advertise.coordinator", Path: coordinator.PathMaster,
		Protocol: coordinator.Protocol, Roots: pool, Now: c.Now})
	return result("coordinator's port", address, r)
}

// checkGiven looks at the certificate that the node file names.
func (c *independent) checkGiven(context.Context) admin.Check {
	leaf, now := c.certs.current.Load().Leaf, c.Now()
	host, _, _ := net.SplitHostPort(c.registry.Addresses[0])
	var err error
	switch {
	case now.After(leaf.NotAfter):
		err = fmt.Errorf("it expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case leaf.NotAfter.Sub(now) < certWarning:
		err = fmt.Errorf("it expires at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case leaf.VerifyHostname(host) != nil:
		err = fmt.Errorf("it is not for %s, the name in advertise.coordinator", host)
	}
	return check("tls.cert_file", c.Config.TLS.CertFile, reach.TLS, err, "valid until "+leaf.NotAfter.UTC().Format(time.RFC3339),
		"renew the file: it is read again within a minute. (Groups' servers do not need it: they know the coordinator by its own certificate.)")
}

// looked is what the coordinator that leads has seen last.
type looked struct {
	groups, servers, silent int
	violations              []group.Violation
}

// gauges are a coordinator's metrics. What it sees of groups, only the one that leads tells.
func (c *independent) gauges() {
	m := c.metrics
	yes := func(err error) float64 {
		if err != nil {
			return 0
		}
		return 1
	}
	seen := func(of func(looked) int) func() float64 {
		return func() float64 {
			if l := c.looked.Load(); l != nil {
				return float64(of(*l))
			}
			return 0
		}
	}
	m.gauge("coordinator_leads", "1: this coordinator leads.", func() float64 { return yes(c.lead()) })
	m.gauge("coordinator_majority", "1: one of the coordinators leads, and this one reaches it.", func() float64 { return yes(c.majority()) })
	m.gauge("coordinators_silent", "Other coordinators that do not answer.", func() float64 { return float64(len(c.silent())) })
	m.gauge("coordinator_groups", "Groups that use the coordinators; on the one that leads.", seen(func(l looked) int { return l.groups }))
	m.gauge("coordinator_servers", "Their servers; on the one that leads.", seen(func(l looked) int { return l.servers }))
	m.gauge("coordinator_servers_silent", "Servers that were not heard lately; on the one that leads.", seen(func(l looked) int { return l.silent }))
	m.gauge("coordinator_violations", "Rules that groups break; on the one that leads.", seen(func(l looked) int { return len(l.violations) }))
	m.gauge("certificate_expiry_seconds", "When the certificate expires that servers are shown, seconds since 1970.", func() float64 {
		return float64(c.shown.Load().Leaf.NotAfter.Unix())
	})
	m.gauge("revision", "Revision of the local copy of the database.", func() float64 {
		st, _ := c.node.Status()
		return float64(st.Revision)
	})
	m.gauge("database_bytes", "Size of the database file.", func() float64 {
		st, _ := c.node.Status()
		return float64(st.DBSize)
	})
	m.gauge("trail_records_total", "Sequence number of the trail's last record.", func() float64 { return float64(c.trail.Head().Seq) })
	m.gauge("start_seconds", "When the coordinator started, seconds since 1970.", func() float64 { return float64(c.started.Unix()) })
}

const lookEvery = 5 * time.Second

// lookAtGroups notes, on the coordinator that leads, what it sees, and logs each rule that a
// group begins or ceases to break, until ctx is done.
func (c *independent) lookAtGroups(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if c.lead() != nil {
			c.looked.Store(nil)
			continue
		}
		o, err := c.registry.Overview(ctx)
		if err != nil || !c.registry.Settled() {
			continue // those that it has not heard yet may be well
		}
		c.judge(o)
	}
}

// judge compares what is seen with what was.
func (c *independent) judge(o group.Overview) {
	l := looked{groups: len(o.Groups), servers: len(o.Servers), violations: o.Violations}
	for _, s := range o.Servers {
		if !s.Alive {
			l.silent++
		}
	}
	was := c.looked.Swap(&l)
	if was == nil {
		was = &looked{}
	}
	for _, v := range newViolations(was.violations, l.violations) {
		c.own.Warn("a group breaks a rule", "rule", v.Rule, "group", v.Group, "servers", v.Servers, "detail", v.Detail, "next", v.NextStep)
	}
	for _, v := range newViolations(l.violations, was.violations) {
		c.own.Info("a group breaks a rule no more", "rule", v.Rule, "group", v.Group, "servers", v.Servers)
	}
}

// newViolations are those of now that were not there before.
func newViolations(before, now []group.Violation) (all []group.Violation) {
	for _, v := range now {
		if !slices.ContainsFunc(before, func(b group.Violation) bool {
			return b.Rule == v.Rule && b.Group == v.Group && slices.Equal(b.Servers, v.Servers)
		}) {
			all = append(all, v)
		}
	}
	return all
}

// unready says why this coordinator can decide nothing now.
func (c *independent) unready() []string {
	if err := c.majority(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// careWarnings says what needs somebody's care.
func (c *independent) careWarnings() []string {
	w := append(c.clock.warnings(), c.certs.warnings()...)
	for _, name := range c.silent() {
		w = append(w, "coordinator "+name+" does not answer")
	}
	if b := c.trail.Broken(); b != nil {
		w = append(w, fmt.Sprintf("the trail was damaged in segment %d, line %d (%s): run `countersign audit verify`", b.Segment, b.Line, b.What))
	}
	if st, err := c.node.Status(); err == nil && st.ReadOnly != nil {
		w = append(w, st.ReadOnly.Error())
	}
	return w
}

// healthHandler serves health and metrics.
func (c *independent) healthHandler() http.Handler {
	return healthMux(c.metrics, c.unready, c.careWarnings)
}
