package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

const (
	promoteTimeout = 60 * time.Second // of the whole verb, once it is confirmed
	settleEvery    = 250 * time.Millisecond
)

type groupPromote struct {
	To     string `help:"Name of the server; without it the fittest." placeholder:"NAME"`
	DryRun bool   `help:"Only say what would be done, and what is in the way."`

	Disaster bool   `help:"The master is gone: begin a new epoch on this server."`
	Force    bool   `help:"With --disaster: though another server is fresher or the coordinator cannot be asked."`
	Confirm  string `help:"With --disaster: the group and the epoch that end." placeholder:"GROUP/EPOCH"`
	Release  bool   `help:"After --disaster: let codes pass that are held until the old master's trail is merged."`
}

func (v *groupPromote) Run(ctx context.Context, e *env) error {
	switch {
	case v.Release && (v.Disaster || v.DryRun || v.Force || v.To != "" || v.Confirm != ""):
		return usage("--release stands alone")
	case !v.Disaster && (v.Force || v.Confirm != ""):
		return usage("--force and --confirm belong to --disaster")
	case v.Release:
		return v.release(ctx, e)
	case v.Disaster:
		return v.disaster(ctx, e)
	}
	var plan mfa.Promotion
	if err := e.call(ctx, http.MethodPost, "/group/promote", nil, admin.PromotionRequest{To: v.To, DryRun: true}, &plan); err != nil {
		return err
	}
	switch {
	case plan.Done():
		plan.DryRun = v.DryRun
		e.say("%s is the master already.", printable(plan.NewMaster))
		return e.promotion(plan)
	case v.DryRun:
		return e.show(plan)
	case plan.Swap:
		if err := e.confirm("%s has the only vote of group %s, so it changes places with %s, which takes a few seconds. Sign-ins go on and nothing is lost; but should either server be lost in between, the group takes no changes until it is back or the other is promoted with --disaster. Go on?",
			printable(plan.OldMaster), printable(plan.Group), printable(plan.NewMaster)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, promoteTimeout)
	defer cancel()
	e.say("Moving the master of group %s from %s to %s ...", printable(plan.Group), printable(plan.OldMaster), printable(plan.NewMaster))
	var done mfa.Promotion
	if err := e.call(ctx, http.MethodPost, "/group/promote", nil, admin.PromotionRequest{To: plan.NewMaster}, &done); err != nil {
		if said := (apiError{}); !errors.As(err, &said) {
			err = fmt.Errorf("%w; whether %s is the master by now is not known: countersign group members shows it", err, plan.NewMaster)
		}
		return err
	}
	e.say("%s is the master now; for %.0f ms no changes were taken.", printable(done.NewMaster), done.WriteGapMS)
	if done.Settling {
		e.say("%s gives its vote back and joins again as replica ...", printable(done.OldMaster))
		began := time.Now()
		if err := e.settled(ctx, done); err != nil {
			return err
		}
		done.Settling = false
		done.Steps = append(done.Steps, mfa.PromotionStep{Step: "rejoin", Server: done.OldMaster, DurationMS: float64(time.Since(began).Milliseconds())})
	}
	return e.promotion(done)
}

// promotion prints what was done: for a person the steps, the rest has been said.
func (e *env) promotion(p mfa.Promotion) error {
	if e.JSON || len(p.Warnings) > 0 {
		return e.show(p)
	}
	if len(p.Steps) == 0 {
		return nil
	}
	return e.table(p, p.Steps, "step", "server", "duration_ms")
}

// settled waits until the old master is a replica. If this verb runs on that one, its
// server is away for a moment meanwhile.
func (e *env) settled(ctx context.Context, p mfa.Promotion) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var last error
	for {
		var doc admin.MemberList
		if last = e.call(ctx, http.MethodGet, "/group/members", nil, nil, &doc); last == nil && changedPlaces(doc.Members, p) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			err := fmt.Errorf("%s is the master, but %s is not its replica yet; it goes on by itself: see countersign group members, and the log of %s", p.NewMaster, p.OldMaster, p.OldMaster)
			if last != nil && !errors.Is(last, context.DeadlineExceeded) {
				err = fmt.Errorf("%w (asked last: %w)", err, last)
			}
			return err
		}
	}
}

// changedPlaces reports whether the new master leads and the old one is a replica in touch.
func changedPlaces(all []admin.Member, p mfa.Promotion) bool {
	leads, follows := false, false
	for _, m := range all {
		leads = leads || m.Name == p.NewMaster && m.Role == "master"
		follows = follows || m.Name == p.OldMaster && m.Role == "replica" && !m.Voter && m.Reachable
	}
	return leads && follows
}
