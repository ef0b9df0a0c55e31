package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/trail"
)

// gatherTimeout bounds asking the other servers for their trails. All are asked at once.
const gatherTimeout = 3 * time.Second

// Attempts implements admin.Audit.
func (a audit) Attempts(ctx context.Context, q admin.AuditQuery) (admin.AuditPage[mfa.Attempt], error) {
	return gather(ctx, a, q, false, func(r mfa.Record) *mfa.Attempt { return r.Attempt }, func(r mfa.Attempt) time.Time { return r.Time })
}

// Acts implements admin.Audit.
func (a audit) Acts(ctx context.Context, q admin.AuditQuery) (admin.AuditPage[mfa.Act], error) {
	return gather(ctx, a, q, true, func(r mfa.Record) *mfa.Act { return r.Act }, func(r mfa.Act) time.Time { return r.Time })
}

// source is one server's part of a page.
type source struct {
	name   string
	before uint64 // seq at which this page begins; 0: at the newest
	page   peer.TrailPage
	err    error
	used   int // entries that are in the page
}

// over is the seq before which a trail has nothing.
const over = 1

// gather merges the pages of all servers by time. Within one server's trail the order stays.
func gather[T any](ctx context.Context, a audit, q admin.AuditQuery, acts bool, of func(mfa.Record) *T, when func(T) time.Time) (out admin.AuditPage[T], err error) {
	from, err := parseCursor(q.After, a.server)
	if err != nil {
		return out, err
	}
	var others []mfa.Member
	if a.others != nil && !q.Here && !from.own {
		others = a.others(acts)
	}
	if others, err = a.only(q.Server, others, &from); err != nil {
		return out, err
	}
	ask := peer.TrailQuery{Acts: acts, User: q.User, Login: q.Login, Application: q.Application, Reason: q.Reason, Method: q.Method, Verdict: q.Verdict, Since: q.Since, Until: q.Until, Limit: q.Limit}
	all := a.asked(ctx, ask, from, others)
	for _, s := range all {
		if s.name == a.server && s.err != nil {
			return out, fmt.Errorf("audit: %w", s.err)
		}
	}
	return merge(all, q.Limit, len(others) == 0, of, when), nil
}

// only leaves, of the servers that are asked, the one of that name; "": all of them.
func (a audit) only(name string, others []mfa.Member, from *cursor) ([]mfa.Member, error) {
	if name == "" {
		return others, nil
	}
	if name == a.server {
		return nil, nil
	}
	i := slices.IndexFunc(others, func(m mfa.Member) bool { return m.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("server %.64q: %w in this group, as far as server %s knows", name, mfa.ErrNotFound, a.server)
	}
	from.before[a.server] = over // nothing of our own
	return others[i : i+1], nil
}

// merge takes the newest records of all pages, at most limit; own: there is only this server's.
func merge[T any](all []*source, limit int, own bool, of func(mfa.Record) *T, when func(T) time.Time) (out admin.AuditPage[T]) {
	for len(out.Records) < limit {
		var newest *source
		var at time.Time
		for _, s := range all {
			for s.used < len(s.page.Entries) && of(s.page.Entries[s.used].Record) == nil {
				s.used++
			}
			if s.used == len(s.page.Entries) {
				continue
			}
			if t := when(*of(s.page.Entries[s.used].Record)); newest == nil || t.After(at) {
				newest, at = s, t
			}
		}
		if newest == nil {
			break
		}
		out.Records = append(out.Records, *of(newest.page.Entries[newest.used].Record))
		newest.used++
	}
	out.Next = nextCursor(all, own)
	for _, s := range all {
		if s.err != nil {
			out.Silent = append(out.Silent, admin.SilentServer{Server: s.name, Error: s.err.Error()})
		}
	}
	return out
}

// asked asks this server's trail and those of the others, all at once.
func (a audit) asked(ctx context.Context, q peer.TrailQuery, from cursor, others []mfa.Member) (all []*source) {
	own := &source{name: a.server, before: from.before[a.server]}
	all = append(all, own)
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	var tasks sync.WaitGroup
	for _, m := range others {
		s := &source{name: m.Name, before: from.before[m.Name]}
		if all = append(all, s); slices.Contains(from.silent, m.Name) { // in the middle of a list its newest would be out of order
			s.err = errors.New("did not answer when the list began")
			continue
		}
		tasks.Go(func() {
			q := q
			q.Before = s.before
			s.page, s.err = a.ask(ctx, m, q)
		})
	}
	mine := q
	mine.Before = own.before
	own.page, own.err = a.page(ctx, mine)
	tasks.Wait()
	return all
}

// page is one page of this server's own trail.
func (a audit) page(ctx context.Context, q peer.TrailQuery) (out peer.TrailPage, err error) {
	f := trail.Filter{Since: q.Since, Until: q.Until, Before: q.Before, Limit: q.Limit}
	var found []trail.Entry
	var next uint64
	if q.Acts {
		found, next, err = a.index.Acts(ctx, f)
	} else {
		f.User, f.Login, f.Application, f.Reason, f.Method, f.Verdict = q.User, q.Login, q.Application, q.Reason, q.Method, q.Verdict
		found, next, err = a.index.Attempts(ctx, f)
	}
	for _, e := range found {
		out.Entries = append(out.Entries, peer.TrailEntry(e))
	}
	out.More = next != 0
	return out, err
}

// cursor is where the next page begins in each server's trail.
type cursor struct {
	before map[string]uint64
	silent []string // that are left out of the whole list
	own    bool     // it is of this server's trail alone
}

// parseCursor reads NAME:SEQ,NAME:SEQ..., in which - stands for a silent server, or the SEQ of
// own alone.
func parseCursor(text, own string) (cursor, error) {
	c := cursor{before: map[string]uint64{}}
	if text == "" {
		return c, nil
	}
	bad := fmt.Errorf("cursor %.64q: %w", text, mfa.ErrInvalid)
	if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
		c.before[own], c.own = seq, true
		return c, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, at, ok := strings.Cut(part, ":")
		if !ok || name == "" {
			return c, bad
		}
		if at == "-" {
			c.silent = append(c.silent, name)
			continue
		}
		seq, err := strconv.ParseUint(at, 10, 64)
		if err != nil {
			return c, bad
		}
		c.before[name] = seq
	}
	return c, nil
}

// nextCursor is that of the next page; "": there is none.
func nextCursor(all []*source, own bool) string {
	more := false
	var parts []string
	for _, s := range all {
		at := s.before
		switch {
		case s.err != nil:
			parts = append(parts, s.name+":-")
			continue
		case s.used == len(s.page.Entries) && !s.page.More:
			at = over
		case s.used > 0:
			at = s.page.Entries[s.used-1].Seq
		}
		more = more || at != over
		if own {
			parts = []string{strconv.FormatUint(at, 10)}
			break
		}
		parts = append(parts, s.name+":"+strconv.FormatUint(at, 10))
	}
	if !more {
		return ""
	}
	return strings.Join(parts, ",")
}

// trails are those of the group's other servers. A witness has no attempts.
func (s *server) trails(acts bool) []mfa.Member {
	if s.peers == nil {
		return nil
	}
	var all []mfa.Member
	for _, m := range s.peers.members() {
		if m.Name != s.Config.Name && (acts || m.Role != mfa.RoleWitness) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b mfa.Member) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// askTrail asks one of them. One that is silent anyway is not waited for.
func (s *server) askTrail(ctx context.Context, m mfa.Member, q peer.TrailQuery) (out peer.TrailPage, err error) {
	if _, there := s.heard.Heard(m.Name); !there {
		return out, fmt.Errorf("does not answer at %s", m.Peer)
	}
	if s.witness { // which the others do not show what their servers have recorded
		return out, fmt.Errorf("shows a witness no records: %w", mfa.ErrForbidden)
	}
	return out, s.peers.client.Call(ctx, m.Peer, "POST", peer.PathTrail, q, &out)
}

// serveTrail answers another server.
func (s *server) serveTrail(ctx context.Context, q peer.TrailQuery) (peer.TrailPage, error) {
	if q.Limit < 1 || q.Limit > admin.MaxPage {
		return peer.TrailPage{}, fmt.Errorf("limit %d: %w", q.Limit, mfa.ErrInvalid)
	}
	return audit{index: s.index}.page(ctx, q)
}
