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

// GroupOptions is what to measure of groups of servers on this machine. All fields must be
// set; a count of zero leaves that part out.
type GroupOptions struct {
	Binary     string
	Dir        string // a folder for data, on the disk to be measured
	Users      int
	Rounds     int           // of sign-ins
	Duration   time.Duration // of one of these
	InFlight   int           // requests at the same time, over all servers
	Kills      int           // of the master
	Promotions int
	Five       bool // the group of three grows to five, for sign-ins and kills
	Disasters  int  // promotions of a pair's replica whose master was killed
	Log        *slog.Logger
}

const aloneName = "server alone"

// fiveKills is how often the master of five is killed: the gap hangs on the same time-outs.
const fiveKills = 5

// RunGroup measures and returns the report: joining, sign-ins beside a server alone in
// interleaved rounds, the gap in changes when the master is killed, and planned promotions, of
// three servers; some of it of five; and disaster promotions of a pair.
func RunGroup(ctx context.Context, o GroupOptions) (r *GroupReport, err error) {
	r = &GroupReport{Environment: environment(ctx, o.Dir), Users: o.Users, InFlight: o.InFlight}
	p := population(o.Users)
	if err := three(ctx, o, p, r); err != nil {
		return nil, err
	}
	if r.Disasters, err = disasters(ctx, o, p); err != nil {
		return nil, err
	}
	return r, nil
}

// three measures a group of three, and of five if that is wanted.
func three(ctx context.Context, o GroupOptions, p population, r *GroupReport) (err error) {
	g := &benchGroup{GroupOptions: o}
	defer func() { err = errors.Join(err, g.stop()) }()
	if r.Joins, err = g.grow(ctx, p, 3); err != nil {
		return err
	}
	if err := g.beside(ctx, p, r); err != nil {
		return err
	}
	if r.Gaps, err = g.kills(ctx, o.Kills); err != nil {
		return err
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
	if !o.Five {
		return nil
	}
	joins, err := g.grow(ctx, p, 5)
	if err != nil {
		return err
	}
	r.Joins = append(r.Joins, joins...)
	if err := g.signIns(ctx, p, r, "group of five"); err != nil {
		return err
	}
	r.FiveGaps, err = g.kills(ctx, min(o.Kills, fiveKills))
	return err
}

// benchGroup is the group under test.
type benchGroup struct {
	GroupOptions
	all    []*member
	single *system
	codes  *supply // of the group
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

// grow has servers join until there are so many. The first founds the group with all users.
func (g *benchGroup) grow(ctx context.Context, p population, size int) (joins []Join, err error) {
	for i := len(g.all); i < size; i++ {
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

// settled waits until every server sees all the others, with the votes that so many have.
func (g *benchGroup) settled(ctx context.Context) error {
	return await(ctx, "the group is whole", func() bool {
		return !slices.ContainsFunc(g.all, func(m *member) bool { return !m.whole(ctx, len(g.all)) })
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

// beside starts a server alone, and measures accepts a second there and at the group.
func (g *benchGroup) beside(ctx context.Context, p population, r *GroupReport) (err error) {
	alone := filepath.Join(g.Dir, "alone")
	if err := os.Mkdir(alone, 0o700); err != nil {
		return err
	}
	if g.single, _, err = countersign(ctx, g.Binary, alone, p); err != nil {
		return err
	}
	g.single.name = aloneName
	if g.codes, err = newSupply(p, 1, false); err != nil {
		return err
	}
	return g.signIns(ctx, p, r, "group of three")
}

// signIns measures accepts a second: a server alone, all of the group at once, the master,
// a replica. name is the group's.
func (g *benchGroup) signIns(ctx context.Context, p population, r *GroupReport, name string) (err error) {
	m, others, err := g.master(ctx)
	if err != nil {
		return err
	}
	single := *g.single
	if name != "group of three" {
		single.name += ", beside " + name
	}
	systems := []*system{&single, g.system(name, p, g.all...), g.system(name+", its master", p, m), g.system(name+", a replica", p, others[0])}
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
func (g *benchGroup) system(name string, p population, all ...*member) *system {
	s := &system{name: name, codes: g.codes, server: all[0].server}
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

// kills returns the gaps, in ms, of so many kills of the master.
func (g *benchGroup) kills(ctx context.Context, times int) (gaps []float64, err error) {
	for n := range times {
		gap, err := g.kill(ctx)
		if err != nil {
			return nil, fmt.Errorf("kill %d of %d servers' master: %w", n+1, len(g.all), err)
		}
		g.Log.Info("master killed", "servers", len(g.all), "n", n+1, "gap", gap)
		gaps = append(gaps, ms(gap))
	}
	return gaps, nil
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
