package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

const (
	// maxLeap is the largest step of an epoch that is believed: beyond it a server is damaged
	// or lies, and would use up the epochs that are left.
	maxLeap = 1_000_000
	// settles is how long a server may be missing from its master's list before its record
	// goes: it may have been admitted while the report was on its way.
	settles = time.Minute
)

// Heartbeat is what a server reports every few seconds.
type Heartbeat struct {
	Report  group.Report `json:"report"`
	Highest uint64       `json:"highest"`           // epoch that the server has ever seen
	Members []Entry      `json:"members,omitempty"` // the group's servers, from its master
}

// Entry is one server as the master's records have it.
type Entry struct {
	Name string `json:"name"`
	Role string `json:"role"`
	Key  string `json:"key"`
}

// Standing says who is master of a group.
type Standing struct {
	Group       string    `json:"group"`
	Epoch       uint64    `json:"epoch"`
	Master      string    `json:"master"` // "": none has reported lately
	Last        string    `json:"last_master,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	DecidedBy   string    `json:"decided_by,omitempty"`
	Time        time.Time `json:"time"`
	Coordinator string    `json:"coordinator"`
	Addresses   []string  `json:"addresses"` // host:port of all coordinators
}

// Report takes the heartbeat of a server, which came from address, and answers who is master.
// What a server says of another group than that it is of counts for nothing but Overview.
func (s *Service) Report(ctx context.Context, from Server, address string, h Heartbeat) (Standing, error) {
	now := s.Now()
	s.beats(from.Group).Beat(from.Name, from.Group, address, h.Report, h.Report.Time.Sub(now), now)
	if h.Report.Group != from.Group || h.Report.Name != from.Name {
		return s.Master(ctx, from.Group)
	}
	g, err := s.learn(ctx, from, h)
	if err != nil {
		return Standing{}, err
	}
	if h.Report.Leads() && h.Report.Epoch == g.Epoch && len(h.Members) > 0 {
		if err := s.reconcile(ctx, from, h.Members); err != nil {
			s.Log.Warn("the servers of a group could not be recorded as its master lists them", "group", from.Group, "master", from.Name, "error", err)
		}
	}
	return s.standing(g), nil
}

// learn records what a heartbeat tells of epoch and master.
func (s *Service) learn(ctx context.Context, from Server, h Heartbeat) (Group, error) {
	epoch, highest := h.Report.Epoch, max(h.Highest, h.Report.Epoch)
	now := s.Now().UTC().Truncate(time.Second)
	return s.updateGroup(ctx, from.Group, func(g *Group) error {
		if highest > g.Highest+maxLeap {
			s.Log.Error("a server claims an epoch that cannot be; it is not believed", "group", g.Name, "server", from.Name, "epoch", highest, "highest_known", g.Highest)
			return fmt.Errorf("%w: epoch %d of server %s is more than %d above the highest that this coordinator knows (%d): not believed", mfa.ErrInvalid, highest, from.Name, maxLeap, g.Highest)
		}
		newMaster := h.Report.Leads() && epoch >= g.Epoch && (epoch > g.Epoch || g.Master != from.Name)
		if highest <= g.Highest && epoch <= g.Epoch && !newMaster {
			return errUnchanged
		}
		if newMaster && epoch == g.Epoch && g.Master != "" && s.hears(g.Name, g.Master, epoch) {
			return errUnchanged // two say so: the one that is heard already stays until it ends; see Overview
		}
		g.Highest = max(g.Highest, highest)
		if epoch > g.Epoch {
			g.Epoch, g.Master, g.DecidedBy = epoch, "", g.decided(epoch, from.Name)
		}
		if newMaster {
			g.Master, g.Since = from.Name, now
		}
		return nil
	})
}

// decided says who started an epoch, as far as a coordinator can tell.
func (g *Group) decided(epoch uint64, reporter string) string {
	switch {
	case g.Granted != nil && g.Granted.Epoch == epoch:
		return fmt.Sprintf("granted by coordinator %s to %s for %s", g.Granted.Coordinator, g.Granted.Candidate, g.Granted.By)
	case g.Epoch == 0:
		return "founding code of " + g.By
	}
	return "not granted here; server " + reporter + " reported it"
}

// hears reports whether a server has reported lately that it is the master of epoch.
func (s *Service) hears(groupName, name string, epoch uint64) bool {
	return slices.ContainsFunc(s.alive(groupName), func(w group.Seen) bool {
		return w.Name == name && w.Report.Group == groupName && w.Report.Leads() && w.Report.Epoch == epoch
	})
}

func (s *Service) standing(g Group) Standing {
	st := Standing{Group: g.Name, Epoch: g.Epoch, Last: g.Master, Since: g.Since, DecidedBy: g.DecidedBy, Time: s.Now().UTC(), Coordinator: s.Name, Addresses: s.addresses()}
	if s.hears(g.Name, g.Master, g.Epoch) {
		st.Master = g.Master
	}
	return st
}

// Master says who is master of a group.
func (s *Service) Master(ctx context.Context, groupName string) (Standing, error) {
	g, rev, err := s.group(ctx, groupName)
	if err != nil {
		return Standing{}, err
	}
	if rev == 0 {
		return Standing{}, fmt.Errorf("no group named %s uses this coordinator: %w", groupName, mfa.ErrNotFound)
	}
	return s.standing(g), nil
}

// reconcile makes the servers on record those that the group's master lists: who was
// forgotten there is known here no more, and who is missing here after the restore of an
// old backup comes back.
func (s *Service) reconcile(ctx context.Context, from Server, list []Entry) error {
	if len(list) > 1000 || !slices.ContainsFunc(list, func(e Entry) bool { return e.Name == from.Name && e.Key == from.Key }) {
		return fmt.Errorf("%w: the list does not name the master itself", mfa.ErrInvalid)
	}
	have, err := s.Servers(ctx, from.Group)
	if err != nil {
		return err
	}
	now := s.Now().UTC().Truncate(time.Second)
	puts, deletes := map[string][]byte{}, []string(nil)
	for _, m := range have {
		listed := slices.ContainsFunc(list, func(e Entry) bool { return e.Name == m.Name && e.Key == m.Key })
		if !listed && now.Sub(m.Added) > settles {
			deletes = append(deletes, serverKey(m.Group, m.Name))
			s.Log.Warn("a server left its group", "group", m.Group, "server", m.Name, "says", from.Name)
		}
	}
	for _, e := range list {
		if !group.ValidName(e.Name) || len(e.Key) != 64 || slices.ContainsFunc(have, func(m Server) bool { return m.Name == e.Name }) {
			continue
		}
		m := Server{V: schema, Group: from.Group, Name: e.Name, Role: e.Role, Key: e.Key, Added: now, By: "master " + from.Name}
		if puts[serverKey(m.Group, m.Name)], err = json.Marshal(m); err != nil {
			return err
		}
	}
	if len(puts)+len(deletes) == 0 {
		return nil
	}
	_, _, err = s.KV.Commit(ctx, nil, puts, deletes)
	return err
}

// Overview is what the coordinator shows of all its groups.
func (s *Service) Overview(ctx context.Context) (group.Overview, error) {
	servers, err := s.Servers(ctx, "")
	if err != nil {
		return group.Overview{}, err
	}
	var seen []group.Seen
	for _, m := range servers {
		runs := 0
		for _, w := range s.beats(m.Group).All() {
			if w.Name == m.Name {
				seen = append(seen, w)
				runs++
			}
		}
		if runs == 0 {
			w := group.Seen{Name: m.Name, Group: m.Group}
			if len(m.Addresses) > 0 {
				w.Address = m.Addresses[0]
			}
			seen = append(seen, w)
		}
	}
	o := group.NewOverview(s.Name, s.Now(), seen, s.Limits)
	for i, v := range o.Servers {
		for _, m := range servers {
			if m.Group == v.Group && m.Name == v.Name {
				o.Servers[i].Known = m.Addresses
			}
		}
	}
	return o, nil
}
