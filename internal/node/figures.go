package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/trail"
)

// Ask implements admin.Audit.
func (a audit) Ask(ctx context.Context, q admin.TrailQuestion) ([]admin.TrailAnswer, error) {
	var others []mfa.Member
	if a.others != nil {
		others = a.others(false)
	}
	all := make([]admin.TrailAnswer, len(others)+1)
	asking, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	var tasks sync.WaitGroup
	for i, m := range others {
		tasks.Go(func() {
			one, err := a.figures(asking, m, q)
			if err != nil {
				one = admin.TrailAnswer{Err: err.Error()}
			}
			one.Server = m.Name
			all[i+1] = one
		})
	}
	own, err := a.answer(ctx, q)
	tasks.Wait()
	if errors.Is(err, mfa.ErrInvalid) {
		return nil, err
	}
	if err != nil {
		own = admin.TrailAnswer{Server: a.server, Err: err.Error()}
	}
	all[0] = own
	return all, nil
}

// answer answers from the trail of this server.
func (a audit) answer(ctx context.Context, q admin.TrailQuestion) (admin.TrailAnswer, error) {
	out := admin.TrailAnswer{Server: a.server}
	var err error
	switch {
	case q.Story != (mfa.AttemptID{}):
		var found []trail.Entry
		found, err = a.index.Story(ctx, q.Story)
		for _, e := range found {
			out.Story = append(out.Story, e.Record)
		}
	case q.Tally != nil:
		out.Tally, err = a.tally(ctx, *q.Tally)
	case q.People != nil:
		out.People, out.Partly, err = a.people(ctx, *q.People)
	default:
		err = fmt.Errorf("nothing was asked for that this version knows: %w", mfa.ErrInvalid)
	}
	if err != nil {
		return admin.TrailAnswer{}, fmt.Errorf("audit: %w", err)
	}
	return out, nil
}

func (a audit) tally(ctx context.Context, q admin.TallyQuery) ([]admin.TallyCount, error) {
	counts, err := a.index.Tally(ctx, q.Edges, q.Application)
	if err != nil {
		return nil, err
	}
	sums := admin.Tally{}
	for _, c := range counts {
		sums.Add(admin.TallyCount{Span: c.Span, Application: c.Application, Method: c.Method, Reason: uint16(c.Reason), Verdict: c.Verdict, Degraded: c.Degraded, N: c.N})
	}
	return sums.Counts(), nil
}

func (a audit) people(ctx context.Context, q admin.PeopleQuery) (all []admin.Concerned, partly bool, err error) {
	found, whole, err := a.index.People(ctx, q.Reasons, q.Method, trail.Filter{Application: q.Application, Since: q.Since, Until: q.Until})
	for _, p := range found {
		all = append(all, admin.Concerned{User: p.User, Login: p.Login, Application: p.Application, Method: p.Method, Reason: p.Reason.String(), Count: p.N, Last: p.Last})
	}
	return all, !whole, err
}

// askFigures asks another server. One that is silent anyway is not waited for.
func (s *server) askFigures(ctx context.Context, m mfa.Member, q admin.TrailQuestion) (out admin.TrailAnswer, err error) {
	if _, there := s.heard.Heard(m.Name); !there {
		return out, fmt.Errorf("does not answer at %s", m.Peer)
	}
	return out, s.peers.client.Call(ctx, m.Peer, http.MethodPost, peer.PathFigures, q, &out)
}

// serveFigures answers another server.
func (s *server) serveFigures(ctx context.Context, q admin.TrailQuestion) (admin.TrailAnswer, error) {
	return audit{server: s.Config.Name, index: s.index}.answer(ctx, q)
}
