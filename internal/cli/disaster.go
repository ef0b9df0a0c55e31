package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// disaster begins a new epoch on the server that is asked.
func (v *groupPromote) disaster(ctx context.Context, e *env) error {
	if v.To != "" {
		return usage("--disaster promotes the server that it is run on: run it on %s, without --to", v.To)
	}
	var plan mfa.DisasterPromotion
	if err := e.call(ctx, http.MethodPost, "/group/disaster", nil, admin.DisasterRequest{Force: v.Force, DryRun: true}, &plan); err != nil {
		return err
	}
	if v.DryRun {
		return e.receipt(plan)
	}
	if v.Confirm == "" {
		if err := e.confirmed(plan); err != nil {
			return err
		}
		v.Confirm = plan.Confirm
	}
	ctx, cancel := context.WithTimeout(ctx, promoteTimeout)
	defer cancel()
	var done mfa.DisasterPromotion
	if err := e.call(ctx, http.MethodPost, "/group/disaster", nil, admin.DisasterRequest{Confirm: v.Confirm, Force: v.Force}, &done); err != nil {
		if said := (apiError{}); !errors.As(err, &said) {
			err = fmt.Errorf("%w; whether the new epoch has begun is not known: countersign status shows it", err)
		}
		return err
	}
	e.say("Epoch %d has ended; %s starts over with epoch %d ...", done.Epoch, printable(done.NewMaster), done.NewEpoch)
	if err := e.begun(ctx, done); err != nil {
		return err
	}
	e.say("%s is the master of epoch %d.", printable(done.NewMaster), done.NewEpoch)
	return e.receipt(done)
}

// confirmed shows what would be done and has the operator type what ends.
func (e *env) confirmed(p mfa.DisasterPromotion) error {
	if e.Prompt == nil || e.JSON {
		return usage("This ends epoch %d of group %s for good: see --dry-run, and say so with --confirm %s", p.Epoch, p.Group, p.Confirm)
	}
	p.DryRun = false // it was asked for by this verb, not by its user
	if err := e.receipt(p); err != nil {
		return err
	}
	e.say("This ends epoch %d of group %s for good. The servers of that epoch join the new one as soon as they hear of it; what only they have is set aside there.", p.Epoch, printable(p.Group))
	if p.Unconfirmed {
		e.say("No coordinator grants it: your word that %s is gone, or cut off from all clients, is all that keeps two masters apart.", printable(orUnknown(p.OldMaster)))
	}
	answer, err := e.Prompt(fmt.Sprintf("Type %s to go on: ", p.Confirm), true)
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != p.Confirm {
		return errors.New("nothing was done")
	}
	return nil
}

func orUnknown(name string) string {
	if name == "" {
		return "the old master"
	}
	return name
}

// receipt shows p.
func (e *env) receipt(p mfa.DisasterPromotion) error {
	if e.JSON {
		return e.document(p)
	}
	for _, line := range p.Known {
		fmt.Fprintln(e.Stdout, "Known:    ", printable(line))
	}
	for _, line := range p.NotKnown {
		fmt.Fprintln(e.Stdout, "Not known:", printable(line))
	}
	p.Known, p.NotKnown = nil, nil
	return e.show(p)
}

// begun waits until the server answers with the new epoch.
func (e *env) begun(ctx context.Context, p mfa.DisasterPromotion) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		var st admin.Status
		err := e.call(ctx, http.MethodGet, "/status", nil, nil, &st)
		if err == nil && st.Epoch >= p.NewEpoch && st.Role == "master" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("epoch %d is decided, but %s does not serve it yet: see its log, and countersign status", p.NewEpoch, p.NewMaster)
		}
	}
}

// release lets codes pass that a promotion holds back.
func (v *groupPromote) release(ctx context.Context, e *env) error {
	if err := e.confirm("Let counter-based codes, recovery codes and passes made before the promotion pass again, though the trail of the lost servers is not merged? A code that was used there may then be used once more."); err != nil {
		return err
	}
	var doc admin.Released
	if err := e.call(ctx, http.MethodPost, "/group/release", nil, nil, &doc); err != nil {
		return err
	}
	return e.show(doc)
}
