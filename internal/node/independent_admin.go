package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/secret"
)

// Overview implements adminapi.Coordinator: what the coordinator that leads has heard, and
// the coordinators as this one sees them.
func (c *independent) Overview(ctx context.Context) (o group.Overview, err error) {
	if c.lead() == nil {
		o, err = c.registry.Overview(ctx)
	} else if leader, lerr := c.leader(); lerr == nil {
		ctx, cancel := context.WithTimeout(ctx, overviewTimeout)
		defer cancel()
		err = c.peers.client.Call(ctx, leader.Peer, http.MethodGet, peer.PathOverview, nil, &o)
	} else {
		err = lerr
	}
	if errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, group.ErrNotMaster) || err != nil && o.By == "" {
		o, err = c.blindOverview(ctx, err)
	}
	if err != nil {
		return o, err
	}
	o.Coordinators, err = c.colleagueViews()
	return o, err
}

// Status implements adminapi.Coordinator. Degraded is one that reaches no majority of them.
func (c *independent) Status(context.Context) (admin.Status, error) {
	st, err := c.node.Status()
	if err != nil {
		return admin.Status{}, err
	}
	a := admin.Status{Name: c.Config.Name, Group: coordinatorGroup, Role: mfa.RoleCoordinator, Epoch: st.Epoch, Since: c.started, Started: c.started,
		Revision: st.Revision, Lag: c.lag(st), Version: c.Version, Alarms: []admin.Alarm{}, Fronts: []admin.FrontEnd{}, Warnings: append(c.unready(), c.careWarnings()...)}
	if c.lead() == nil {
		a.Master = c.Config.Name
	} else if leader, err := c.leader(); err == nil {
		a.Master = leader.Name
	}
	a.Degraded = a.Master == ""
	if l := c.looked.Load(); l != nil && len(l.violations) > 0 {
		a.Warnings = append(a.Warnings, fmt.Sprintf("%d rules are broken by the groups: see `countersign coordinator status`", len(l.violations)))
	}
	for _, l := range c.listeners() {
		a.Fronts = append(a.Fronts, admin.FrontEnd{Kind: l.Kind, Address: l.Address, OK: true})
	}
	a.Warnings = list(a.Warnings)
	a.Members, err = c.servers()
	return a, err
}

// blindOverview is what this coordinator can tell by its local copy, because of why.
func (c *independent) blindOverview(ctx context.Context, why error) (group.Overview, error) {
	o := group.Overview{By: c.Config.Name, Time: c.Now().UTC(), Groups: []group.GroupView{}, Servers: []group.ServerView{}}
	all, err := c.registry.LocalGroups(ctx, c.node)
	for _, g := range all {
		o.Groups = append(o.Groups, group.GroupView{Name: g.Name, Epoch: g.Epoch})
	}
	o.Violations = []group.Violation{{Rule: group.RuleNoMajority, Servers: c.silent(), Detail: c.absent(why).Error(), NextStep: noMajorityAdvice}}
	return o, err
}

// absent says of an error of the database that it is because of the coordinators that are
// silent, if it may be. It is told before the database itself has found out.
func (c *independent) absent(err error) error {
	silent := c.silent()
	if !errors.Is(err, mfa.ErrUnavailable) || len(silent) == 0 || strings.Contains(err.Error(), noMajority) {
		return err
	}
	return fmt.Errorf("%s, %s hears nothing of %s: %w", noMajority, c.Config.Name, strings.Join(silent, ", "), err)
}

// advised is absent, with the next step, for a verb.
func (c *independent) advised(err error) error {
	if err = c.absent(err); err != nil && strings.Contains(err.Error(), noMajority) {
		return fmt.Errorf("%w; %s", err, noMajorityAdvice)
	}
	return err
}

const noMajority = "no majority of the coordinators answers"

const noMajorityAdvice = "start the coordinators that are silent, or mend the links between them; sign-ins, changes and failover of the groups go on meanwhile"

// colleagueViews are the coordinators as this one sees them.
func (c *independent) colleagueViews() ([]group.ColleagueView, error) {
	all, err := c.servers()
	if err != nil {
		return nil, err
	}
	addresses := map[string]string{}
	for _, m := range c.colleagues.Members() {
		addresses[m.Name] = m.Coordinator
	}
	addresses[c.Config.Name] = c.registry.Addresses[0]
	var views []group.ColleagueView
	for _, m := range all {
		v := group.ColleagueView{Name: m.Name, Leads: m.Role == "master", Voter: m.Voter, Reachable: m.Reachable, Address: addresses[m.Name],
			Peer: m.Peer, Revision: m.Revision, Version: m.Version}
		if r, ok := c.heard.Heard(m.Name); ok {
			v.Expires = r.Expires
		}
		if m.Name == c.Config.Name {
			v.Leads, v.Expires = c.lead() == nil, c.shown.Load().Leaf.NotAfter
		}
		views = append(views, v)
	}
	return views, nil
}

// CreateActivation implements adminapi.Coordinator.
func (c *independent) CreateActivation(ctx context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error) {
	life := 10 * time.Minute
	if r.Seconds > 0 {
		life = time.Duration(r.Seconds) * time.Second
	}
	out := admin.ActivationCode{Group: r.Group, Role: group.RoleFounder}
	if r.Coordinator == (r.Group != "") {
		return out, fmt.Errorf("%w: a code either founds a group or admits a coordinator: name one of them", mfa.ErrInvalid)
	}
	if err := c.majority(); err != nil {
		return out, c.advised(err)
	}
	var text string
	var err error
	switch {
	case !r.Coordinator:
		text, out.Expires, err = c.registry.CreateFoundingCode(ctx, by, r.Group, life)
	case c.group == nil:
		err = coordinator.ErrAlone
	default:
		out.Group, out.Role = coordinatorGroup, mfa.RoleCoordinator
		text, out.Expires, err = c.group.CreateCode(ctx, by, mfa.RoleCoordinator, life)
	}
	out.Code = &secret.Wire{Text: secret.FromString(text)}
	return out, c.advised(err)
}

// Retire implements adminapi.Coordinator. What was heard of the server counts, so the
// coordinator that leads does it.
func (c *independent) Retire(ctx context.Context, by string, r admin.RetireRequest) (admin.Removed, error) {
	in := peer.Retire{Group: r.Group, Server: r.Server, By: by}
	name := r.Group
	if r.Server != "" {
		name += "/" + r.Server
	}
	if c.lead() == nil {
		return admin.Removed{Removed: name}, c.advised(c.retire(ctx, in))
	}
	leader, err := c.leader()
	if err == nil {
		err = c.peers.client.Call(ctx, leader.Peer, http.MethodPost, peer.PathRetire, in, nil)
	}
	return admin.Removed{Removed: name}, c.advised(err)
}

func (c *independent) retire(ctx context.Context, r peer.Retire) error {
	if err := c.lead(); err != nil {
		return err
	}
	if r.Server == "" {
		return c.registry.RetireGroup(ctx, r.By, r.Group)
	}
	return c.registry.RetireServer(ctx, r.By, r.Group, r.Server)
}

// Forget implements adminapi.Coordinator.
func (c *independent) Forget(ctx context.Context, by, name string) (admin.Removed, error) {
	out := admin.Removed{Removed: name}
	switch {
	case c.peers == nil:
		return out, coordinator.ErrAlone
	case name == c.Config.Name:
		return out, fmt.Errorf("%w: %s is this coordinator: run `countersign coordinator leave` to take it out", mfa.ErrInvalid, name)
	}
	if err := c.majority(); err != nil {
		return out, c.advised(err)
	}
	return out, c.advised(c.takeOut(ctx, by, name))
}

// Leave implements adminapi.Coordinator.
func (c *independent) Leave(ctx context.Context, by string) (admin.Removed, error) {
	out := admin.Removed{Removed: c.Config.Name}
	switch {
	case c.peers == nil || len(c.colleagues.Members()) < 2:
		return out, fmt.Errorf("%w: this is the only coordinator: stop it and remove its data folder", mfa.ErrInvalid)
	}
	if err := c.majority(); err != nil {
		return out, c.advised(err)
	}
	if err := c.takeOut(ctx, by, c.Config.Name); err != nil {
		return out, c.advised(err)
	}
	c.own.Warn("this coordinator has left the others and ends", "by", by)
	return out, nil // the database ends by itself, and RunCoordinator finds out why
}
