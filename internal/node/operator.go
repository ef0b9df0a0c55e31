package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// operator is the running server as package admin sees it.
type operator struct{ s *server }

// Status implements admin.Node.
func (o operator) Status(context.Context) (admin.Status, error) {
	s := o.s
	st, err := s.node.Status()
	if since := s.parted.Load(); since != nil {
		return s.partedStatus(*since)
	}
	if err != nil {
		return admin.Status{}, err
	}
	a := admin.Status{Name: s.Config.Name, Group: s.node.Group(), Role: st.Role, Epoch: st.Epoch, Started: s.started, Lag: s.lag(st),
		Revision: st.Revision, Version: s.Version, Unmerged: s.store.Unmerged(), Unreplicated: s.metrics.unreplicated.Load(), Warnings: append(s.reasons(), s.warnings()...)}
	a.Degraded, a.Since = s.degraded(st)
	if answer, at := s.standing.Last(); !at.IsZero() {
		a.Coordinator = &admin.CoordinatorAnswer{Master: answer.Name, Epoch: answer.Epoch, By: answer.By, At: at}
	}
	for _, one := range s.alarms.Raised() {
		a.Alarms = append(a.Alarms, admin.Alarm(one))
	}
	a.Schema = s.store.GroupSchema().Schema
	if st.Quorum {
		a.Master, a.MasterSince = st.Master, &s.started
		if t := s.mastered.Load(); t != nil {
			a.MasterSince = t
		}
	}
	if s.witness {
		a.Role = mfa.RoleWitness
	}
	if a.Members, err = s.servers(); err != nil {
		return admin.Status{}, err
	}
	for _, m := range a.Members {
		if !m.Reachable {
			a.Warnings = append(a.Warnings, fmt.Sprintf("server %s does not answer at %s: is it running, and does the network let this server reach it?", m.Name, m.Peer))
		}
	}
	for _, l := range s.listeners() {
		a.Fronts = append(a.Fronts, admin.FrontEnd{Kind: l.Kind, Address: l.Address, OK: true})
	}
	return a, nil
}

// degraded reports whether this server goes on without a master, and since when it does or
// does not.
func (s *server) degraded(st cluster.Status) (bool, time.Time) {
	last, contact := s.store.Contact()
	if s.grouped() && !contact || !s.grouped() && !st.Quorum {
		if last.IsZero() {
			last = s.started
		}
		return true, last
	}
	if t := s.steady.Load(); t != nil {
		return false, *t
	}
	return false, s.started
}

// lag is by how many revisions the copy here is behind that of the master.
func (s *server) lag(st cluster.Status) int64 {
	if r, ok := s.heard.Heard(st.Master); ok && r.Leads() && r.Epoch == st.Epoch {
		return max(r.Revision-st.Revision, 0)
	}
	return 0
}

// listeners are the front-ends of this server.
func (s *server) listeners() (all []group.Listener) {
	front := func(kind string, addresses ...string) {
		for _, address := range addresses {
			if address != "" {
				all = append(all, group.Listener{Kind: kind, Address: address})
			}
		}
	}
	front("radius", s.bound.RADIUS...)
	front("radius_accounting", s.bound.Accounting...)
	for _, one := range s.sites() {
		front(one.kind, *one.bound)
	}
	s.nameConsole(all)
	front("peer", s.bound.Peer)
	front("coordinator", s.bound.Coordinator)
	front("metrics", s.bound.Metrics)
	return all
}

// nameConsole tells the listener that the console is on by which name people find it, if the node
// file gives it one: an address may be behind a proxy, or its name the certificate's.
func (s *server) nameConsole(all []group.Listener) {
	at, advertised := s.Config.Listen, s.Config.Advertise
	kind := "console"
	if at.Console == "" {
		kind = "https"
	}
	if advertised.Console == "" && (kind == "console" || advertised.HTTPS == "") {
		return
	}
	for i := range all {
		if all[i].Kind == kind {
			all[i].URL = s.webURL()
		}
	}
}

// SetLogLevel implements admin.Node.
func (o operator) SetLogLevel(component, level string, during time.Duration) error {
	l, err := config.ParseLevel(level)
	if err != nil {
		return err
	}
	return o.s.levels.Set(component, l, during)
}

// Backup implements admin.Node.
func (o operator) Backup(ctx context.Context, passphrase secret.Text, w io.Writer) error {
	return o.s.backup(ctx, passphrase, w)
}

// ready says why no sign-in can be decided now.
func (s *server) ready() error {
	st, err := s.node.Status()
	switch aside := s.aside.Load(); {
	case s.parted.Load() != nil:
		return nil // others decide
	case err != nil:
		return err
	case aside != nil:
		return fmt.Errorf("this server decides nothing: %s", aside.why)
	case st.Role == "removed":
		return errors.New("this server is no member of its group any more")
	case !st.Quorum && !s.grouped(): // in a group sign-ins go on from the local copy
		return errors.New("the database has no master that answers")
	case st.ReadOnly != nil:
		return fmt.Errorf("the database refuses writes: %w", st.ReadOnly)
	}
	return nil
}

// reasons is ready as a list.
func (s *server) reasons() []string {
	if err := s.ready(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// alive says whether the process still does its work; without a master it does.
func (s *server) alive() error {
	if s.parted.Load() != nil {
		return nil
	}
	_, err := s.node.Status()
	return err
}

// idle says why nobody signs in here even from the local copy; "": they do.
func (s *server) idle() string {
	switch {
	case s.witness:
		return "this witness votes and signs nobody in"
	case s.aside.Load() != nil:
		return "this server decides nothing"
	}
	return ""
}

// warnings says what needs somebody's care.
func (s *server) warnings() []string {
	w := s.clock.warnings()
	if err := s.joining(); err != nil {
		return append(w, err.Error())
	}
	for _, c := range s.allCerts() {
		w = append(w, c.warnings()...)
	}
	if b := s.trail.Broken(); b != nil {
		w = append(w, fmt.Sprintf("the trail was damaged in segment %d, line %d (%s): run `countersign audit verify`", b.Segment, b.Line, b.What))
	}
	if s.store.Behind() {
		w = append(w, "the copy of the database here is behind the master's: each sign-in and change asks the master until it has caught up")
	}
	if last, now := s.store.Contact(); !now {
		since := "since the start"
		if !last.IsZero() {
			since = "since " + last.UTC().Format(time.RFC3339)
		}
		if s.witness {
			return append(w, fmt.Sprintf("no master answers %s: this witness votes for one as soon as enough servers are there", since))
		}
		if idle := s.idle(); idle != "" {
			w = append(w, fmt.Sprintf("no master answers %s: %s; changes are refused", since, idle))
		} else {
			w = append(w, fmt.Sprintf("no master answers %s: sign-ins go on from the local copy, changes are refused; %d settlements of this server wait to be merged", since, s.store.Unmerged()))
		}
	}
	if err := s.refusesChanges(); err != nil {
		w = append(w, err.Error())
	}
	if s.members != nil { // a witness asks no directories
		w = append(w, s.members.Warnings()...)
	}
	w = append(w, s.parkedWarnings()...)
	for _, a := range s.alarms.Raised() {
		if a.Name != group.AlarmNoMaster && a.Name != group.AlarmUnreachable { // told at once, above and by status
			w = append(w, fmt.Sprintf("%s: %s", a.Detail, a.NextStep))
		}
	}
	w = append(w, s.heldWarnings()...)
	if s.cutTrail {
		w = append(w, "records of the trail were cut off or changed: run `countersign audit verify`")
	}
	return append(append(w, s.countryWarnings()...), s.settingWarnings()...)
}
