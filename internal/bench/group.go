package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// GroupOptions is what to measure of a group of three servers on this machine. All fields
// must be set.
type GroupOptions struct {
	Binary     string
	Dir        string // a folder for data, on the disk to be measured
	Users      int
	Rounds     int           // of sign-ins
	Duration   time.Duration // of one of these
	InFlight   int           // requests at the same time, over all servers
	Kills      int           // of the master
	Promotions int
	Log        *slog.Logger
}

const groupSize = 3

// RunGroup measures and returns the report: joining, sign-ins beside a server alone in
// interleaved rounds, the gap in changes when the master is killed, and planned promotions.
func RunGroup(ctx context.Context, o GroupOptions) (r *GroupReport, err error) {
	r = &GroupReport{Environment: environment(ctx, o.Dir), Users: o.Users, InFlight: o.InFlight}
	p := population(o.Users)
	g := &benchGroup{GroupOptions: o}
	defer func() { err = errors.Join(err, g.stop()) }()
	if r.Joins, err = g.start(ctx, p); err != nil {
		return nil, err
	}
	if err := g.signIns(ctx, p, r); err != nil {
		return nil, err
	}
	for n := range o.Kills {
		gap, err := g.kill(ctx)
		if err != nil {
			return nil, fmt.Errorf("kill %d: %w", n+1, err)
		}
		o.Log.Info("master killed", "n", n+1, "gap", gap)
		r.Gaps = append(r.Gaps, ms(gap))
	}
	for n := range o.Promotions {
		m, err := g.promote(ctx)
		if err != nil {
			r.PromotionError = err.Error()
			break
		}
		o.Log.Info("promotion", "n", n+1, "took_ms", m.Took, "gap_ms", m.Gap)
		r.Promotions = append(r.Promotions, m)
	}
	return r, nil
}

// benchGroup is the group under test.
type benchGroup struct {
	GroupOptions
	all    []*member
	single *system
}

func (g *benchGroup) stop() (err error) {
	for _, m := range g.all {
		if m.server != nil {
			err = errors.Join(err, m.server.stop())
		}
	}
	if g.single != nil {
		err = errors.Join(err, g.single.server.stop())
	}
	return err
}

// start founds the group with all users and has the other servers join.
func (g *benchGroup) start(ctx context.Context, p population) (joins []Join, err error) {
	for i := range groupSize {
		m, err := newMember(filepath.Join(g.Dir, fmt.Sprintf("n%d", i+1)), g.Binary, fmt.Sprintf("n%d", i+1))
		if err != nil {
			return nil, err
		}
		g.all = append(g.all, m)
		if i == 0 {
			if err := m.found(ctx, p); err != nil {
				return nil, err
			}
			continue
		}
		if err := m.activate(ctx, g.all[0]); err != nil {
			return nil, err
		}
		took, err := m.serve(ctx)
		if err != nil {
			return nil, err
		}
		g.Log.Info("joined", "server", m.name, "users", int(p), "took", took)
		joins = append(joins, Join{Users: int(p), Seconds: took.Seconds()})
	}
	return joins, g.settled(ctx)
}

// settled waits until every server sees all the others, and three votes.
func (g *benchGroup) settled(ctx context.Context) error {
	return await(ctx, "the group is whole", func() bool {
		return !slices.ContainsFunc(g.all, func(m *member) bool { return !m.whole(ctx) })
	})
}

// master returns the master and the others.
func (g *benchGroup) master(ctx context.Context) (master *member, others []*member, err error) {
	err = await(ctx, "a master", func() bool {
		master, others = nil, nil
		for _, m := range g.all {
			if st, err := m.status(ctx); err == nil && st.Role == "master" {
				master = m
			} else {
				others = append(others, m)
			}
		}
		return master != nil
	})
	return master, others, err
}

// signIns measures accepts a second: a server alone, all of the group at once, the master,
// a replica.
func (g *benchGroup) signIns(ctx context.Context, p population, r *GroupReport) (err error) {
	alone := filepath.Join(g.Dir, "alone")
	if err := os.Mkdir(alone, 0o700); err != nil {
		return err
	}
	if g.single, _, err = countersign(ctx, g.Binary, alone, p); err != nil {
		return err
	}
	g.single.name = "server alone"
	codes, err := newSupply(p, 1, false)
	if err != nil {
		return err
	}
	m, others, err := g.master(ctx)
	if err != nil {
		return err
	}
	systems := []*system{g.single, g.system("group of three", codes, p, g.all...), g.system("its master", codes, p, m), g.system("a replica", codes, p, others[0])}
	for n := range g.Rounds {
		for i := range systems {
			s := systems[(i+n)%len(systems)]
			res := r.result(s.name, g.InFlight)
			want := int(1.5*max(res.best(), 4000)*g.Duration.Seconds()) + g.InFlight
			x, err := s.round(ctx, g.Duration, min(want, int(p)), func(c []passcode) (volley, error) { return s.closed(c, g.InFlight) })
			if err != nil {
				return err
			}
			g.Log.Info("round", "n", n+1, "system", s.name, "rate", int(x.Rate), "p50_ms", x.P50, "p99_ms", x.P99, "server_cpu_us", x.ServerCPU, "bad", x.Bad(), "others", x.Others)
			res.Rounds = append(res.Rounds, x)
		}
	}
	for _, res := range r.SignIns {
		res.summarise()
	}
	return nil
}

// system is some servers of the group under load together.
func (g *benchGroup) system(name string, codes *supply, p population, all ...*member) *system {
	s := &system{name: name, codes: codes, server: all[0].server}
	for _, m := range g.all {
		if m != all[0] { // the others work for each accept, too
			s.besides = append(s.besides, m.server)
		}
	}
	dl := radiusDialect(p, true)
	s.closed = func(c []passcode, n int) (volley, error) {
		var v volleys
		for i, m := range all {
			share := c[i*len(c)/len(all) : (i+1)*len(c)/len(all)]
			one, err := newClosedVolley(m.radius, dl, share, max(1, n/len(all)))
			if err != nil {
				v.close()
				return nil, err
			}
			v = append(v, one)
		}
		return v, nil
	}
	return s
}

// volleys are fired at the same time.
type volleys []volley

func (v volleys) fire(d time.Duration) (sum tally, unsent []passcode) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, one := range v {
		wg.Go(func() {
			t, left := one.fire(d)
			mu.Lock()
			defer mu.Unlock()
			sum.merge(t)
			sum.end = max(sum.end, t.end)
			unsent = append(unsent, left...)
		})
	}
	wg.Wait()
	return sum, unsent
}

func (v volleys) close() {
	for _, one := range v {
		one.close()
	}
}

// kill kills the master while changes are made at another server, and returns for how long
// none was acknowledged. Afterwards the group is whole again.
func (g *benchGroup) kill(ctx context.Context) (gap time.Duration, err error) {
	m, others, err := g.master(ctx)
	if err != nil {
		return 0, err
	}
	gap, err = others[0].gap(ctx, func() error { return m.kill() })
	if err != nil {
		return 0, err
	}
	if _, err := m.serve(ctx); err != nil {
		return 0, err
	}
	return gap, g.settled(ctx)
}

// promote hands the master's role on.
func (g *benchGroup) promote(ctx context.Context) (p Promotion, err error) {
	_, others, err := g.master(ctx)
	if err != nil {
		return p, err
	}
	to := map[string]any{"to": others[0].name, "dry_run": true}
	if err := await(ctx, "a server that may become the master", func() bool {
		_, err := others[1].call(ctx, http.MethodPost, "/group/promote", to)
		return err == nil
	}); err != nil {
		return p, err
	}
	gap, err := others[1].gap(ctx, func() error {
		start := time.Now()
		err := others[1].do(ctx, "", "group", "promote", "--to", others[0].name, "--yes")
		p.Took = ms(time.Since(start))
		return err
	})
	p.Gap = ms(gap)
	if err != nil {
		return p, err
	}
	return p, g.settled(ctx)
}
