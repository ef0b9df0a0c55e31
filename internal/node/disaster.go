package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/store"
)

// disasterTimeout bounds one request for a new epoch: asking, and copying the database.
const disasterTimeout = 50 * time.Second

// errForked: a new epoch was begun in this data folder. Run starts over with it.
var errForked = errors.New("a new epoch begins on this server")

// scene asks every server of the group at once what it is and which epoch it is of.
func (s *server) scene(ctx context.Context) (group.Scene, error) {
	st, err := s.node.Status()
	if err != nil {
		return group.Scene{}, err
	}
	f := s.node.Folder()
	scene := group.Scene{Group: f.Group, Self: mfa.Member{Name: s.Config.Name, Role: mfa.RoleServer}, Own: s.report(), Voter: st.Voter, Highest: f.Highest,
		Rival: f.Rival != "", Master: st.Master, Started: s.started, Now: time.Now(), Silence: cmp.Or(s.Silence, group.DestroyedAfter)}
	nodes, err := groupCluster{s.node}.Nodes()
	if err != nil {
		return scene, err
	}
	for _, m := range s.peers.members() {
		if m.Name == s.Config.Name {
			scene.Self = m
			continue
		}
		o := group.Witnessed{Member: m, Voter: slices.ContainsFunc(nodes, func(n group.Node) bool { return n.Name == m.Name && n.Voter })}
		if last, ok := s.heard.Last(m.Name); ok {
			o.Last = &last
		}
		o.Before = s.kept.of(m.Name)
		scene.Others = append(scene.Others, o)
	}
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for i := range scene.Others {
		o := &scene.Others[i]
		wg.Go(func() { s.interview(ctx, o, scene.Own, f) })
	}
	wg.Wait()
	return scene, nil
}

// interview asks one server.
func (s *server) interview(ctx context.Context, o *group.Witnessed, own group.Report, f cluster.Folder) {
	t := s.askEpoch(ctx, o.Member, f)
	if o.Err = t.err; t.err == nil {
		o.Epoch = &t.epoch
	}
	var r group.Report
	err := s.peers.client.Call(ctx, o.Member.Peer, http.MethodPost, peer.PathReport, own, &r)
	switch {
	case err == nil && r.Name == o.Member.Name:
		o.Answer = &r
	case err != nil:
		o.Err = err
	}
}

// PromoteDisaster implements admin.Group: it begins a new epoch on this server, if nobody
// hears the old master any more and confirm is the GROUP/EPOCH that ends with that. With dry
// it only says what would be done. When it returns the new epoch is decided, and this
// server starts over with it.
func (g groupAdmin) PromoteDisaster(ctx context.Context, by, confirm string, force, dry bool) (mfa.DisasterPromotion, error) {
	s := g.s
	if s.peers == nil {
		return mfa.DisasterPromotion{}, fmt.Errorf("%w: this server has no others beside it, so there is no master to be lost: %s", mfa.ErrInvalid, notGroupedAdvice)
	}
	if !dry { // a look is in nobody's way
		if !s.promoting.TryLock() {
			return mfa.DisasterPromotion{}, fmt.Errorf("%w: another promotion is on its way on this server", mfa.ErrExists)
		}
		defer s.promoting.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), disasterTimeout) // who hangs up stops nothing half-way
	defer cancel()
	scene, err := s.scene(ctx)
	if err != nil {
		return mfa.DisasterPromotion{}, err
	}
	p, err := scene.Judge(force)
	p.DryRun = dry
	switch {
	case err != nil || dry:
		return p, err
	case confirm != p.Confirm:
		return p, fmt.Errorf("%w: confirmed was %q, but what ends is %s: nothing was changed", mfa.ErrInvalid, confirm, p.Confirm)
	}
	if err := s.grant(ctx, &p, force); err != nil {
		return p, err
	}
	return p, s.fork(ctx, by, &p, scene, force)
}

// grant asks an independent coordinator, if there is one, for the new epoch.
func (s *server) grant(ctx context.Context, p *mfa.DisasterPromotion, force bool) error {
	if s.link == nil { // the coordinator inside the group cannot judge this
		return nil
	}
	g, err := group.Granter(granter{s}).Grant(ctx, p.Group, p.Epoch, p.NewMaster)
	switch {
	case err == nil && g.Epoch > p.Epoch:
		p.NewEpoch, p.Unconfirmed = g.Epoch, false
		return nil
	case err == nil:
		return fmt.Errorf("%w: the coordinator granted epoch %d, which is not after %d: nothing was changed", mfa.ErrInvalid, g.Epoch, p.Epoch)
	case errors.Is(err, group.ErrRefused):
		return fmt.Errorf("%w: nothing was changed: %w", mfa.ErrInvalid, err)
	case force:
		p.NotKnown = append(p.NotKnown, fmt.Sprintf("whether the coordinator would have granted this: it cannot be asked (%v)", err))
		return nil
	}
	return fmt.Errorf("nothing was changed: no coordinator could be asked to grant epoch %d (--force does without): %w", p.NewEpoch, err)
}

// fork ends the epoch here and begins the next one from this server's copy. If it fails
// nothing has changed. The others are asked once more after this server has stepped aside:
// from then on they hear that it begins an epoch, and what they say holds.
func (s *server) fork(ctx context.Context, by string, p *mfa.DisasterPromotion, before group.Scene, force bool) (err error) {
	was := s.aside.Load()
	s.setAside(aside{why: fmt.Sprintf("epoch %d ends, and epoch %d begins on this server", p.Epoch, p.NewEpoch), begins: p.NewEpoch})
	defer func() {
		if err != nil {
			s.resume(was)
			if !errors.Is(err, mfa.ErrInvalid) { // which says so
				err = fmt.Errorf("nothing was changed: %w", err)
			}
			err = errors.Join(err, s.act(ctx, by, *p, "failed: "+err.Error()))
		}
	}()
	now, err := s.scene(ctx)
	if err != nil {
		return err
	}
	if err = before.Still(now, p, force); err != nil {
		return err
	}
	if err = s.act(ctx, by, *p, promotionDetail(*p)); err != nil {
		return err
	}
	r := store.EpochRecord{OldMaster: p.OldMaster, DecidedBy: "operator", By: by, Unconfirmed: p.Unconfirmed,
		Previous: store.PreviousEpoch{Epoch: s.node.Epoch(), ClusterID: s.node.ClusterID()}, Hold: &store.EpochHold{Awaits: p.Awaits}}
	if p.LastRevisionHeard != nil {
		r.Previous.LastRevisionHeard = *p.LastRevisionHeard
	}
	for _, m := range s.peers.members() {
		r.Members = append(r.Members, m.Name)
	}
	if !p.Unconfirmed {
		r.DecidedBy = "coordinator"
	}
	receipt, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err = s.node.Fork(ctx, cluster.Restore{Epoch: p.NewEpoch, DecidedBy: r.DecidedBy, Unconfirmed: p.Unconfirmed, Receipt: receipt}); err != nil {
		return err
	}
	s.own.Warn("a new epoch begins on this server, which is its master", "epoch", p.NewEpoch, "ended", p.Confirm, "old_master", p.OldMaster, "by", by)
	s.again.Store(true)
	s.fail(errForked)
	return nil
}

// resume takes back what fork began with.
func (s *server) resume(was *aside) {
	if was != nil {
		s.stepAside(was.why, was.next)
		return
	}
	s.aside.Store(nil)
	s.peers.stale.Store(false)
	s.node.Fence(nil)
}

func (s *server) act(ctx context.Context, by string, p mfa.DisasterPromotion, detail string) error {
	return s.recorder().Append(ctx, mfa.Record{Act: &mfa.Act{Time: s.Now(), Server: s.Config.Name, By: by, Verb: "group promote --disaster", Object: p.Confirm, Detail: detail}})
}

// promotionDetail is the receipt in one line.
func promotionDetail(p mfa.DisasterPromotion) string {
	heard := "never heard here"
	if p.LastRevisionHeard != nil {
		heard = fmt.Sprintf("last heard %s at revision %d", p.LastHeard.Format(time.RFC3339), *p.LastRevisionHeard)
	}
	text := fmt.Sprintf("epoch %d begins from this server's copy at revision %d; old master %s, %s", p.NewEpoch, p.Revision, cmp.Or(p.OldMaster, "not known"), heard)
	if len(p.Destroyed) > 0 {
		text += "; taken for destroyed: " + strings.Join(p.Destroyed, ", ")
	}
	if p.Unconfirmed {
		text += "; unconfirmed"
	}
	return text
}

// beginEpoch records, in the database of a new epoch, how that began, before anything is
// decided by it. What Fork was given is in the epoch file until then, and stays there.
func (s *server) beginEpoch(ctx context.Context) error {
	f := s.node.Folder()
	if len(f.Receipt) == 0 || s.aside.Load() != nil || s.hasOthers() {
		return nil
	}
	if r, err := s.store.EpochRecord(); err != nil || r.Epoch >= f.Epoch {
		return err
	}
	var r store.EpochRecord
	if err := json.Unmarshal(f.Receipt, &r); err != nil {
		return fmt.Errorf("receipt of epoch %d in epoch.json: %w", f.Epoch, err)
	}
	r.Epoch, r.ClusterID, r.Previous.ForkRevision, r.Since = f.Epoch, f.ClusterID, f.Fork, s.Now().UTC().Truncate(time.Second)
	awaited := slices.Clone(r.Hold.Awaits)
	err := s.store.UpdateEpochRecord(ctx, func(was *store.EpochRecord) error {
		r.Hold.Awaits = slices.Clone(awaited)
		r.Hold.Carry(was.Hold)
		*was = r
		return nil
	})
	if err != nil {
		return err
	}
	s.own.Warn("a new epoch has begun on this server", "epoch", f.Epoch, "forked_from", r.Previous.Epoch, "at_revision", f.Fork,
		"held_until_merged", r.Hold.Awaits, "next", "counter-based codes, recovery codes and passes made before are refused until the trails of these servers are merged, which they are when those return, or until `countersign group promote --release`")
	return nil
}

// ReleaseHold implements admin.Group.
func (g groupAdmin) ReleaseHold(ctx context.Context, by string) (awaited []string, err error) {
	s := g.s
	if awaited, err = s.store.ReleaseHold(ctx, by); err != nil {
		return nil, err
	}
	return awaited, s.ledger.Append(ctx, mfa.Record{Act: &mfa.Act{Time: s.Now(), Server: s.Config.Name, By: by, Verb: "group promote --release",
		Object: fmt.Sprintf("%s/%d", s.node.Group(), s.node.Epoch()), Detail: "not merged: " + cmp.Or(strings.Join(awaited, ", "), "none")}})
}

// holdEnds says why codes are held, and what ends that.
func holdEnds(awaits []string) string {
	if len(awaits) == 0 {
		return "and no server is awaited whose trail would end that: it ends when somebody who knows that none of them was used elsewhere runs `countersign group promote --release`"
	}
	return fmt.Sprintf("because the trail of %s is not merged: start that server, or, if it is gone for good, run `countersign group promote --release`", strings.Join(awaits, ", "))
}

// checkHeld is what doctor says of it; nothing if nothing is held.
func (s *server) checkHeld() (list []admin.Check) {
	for _, text := range s.heldWarnings() {
		list = append(list, admin.Check{Name: "held codes", Target: s.node.Group(), Layer: "database", Detail: text, NextStep: "run `countersign group promote --release` if the servers awaited are gone for good"})
	}
	return list
}

// heldWarnings says what the epoch holds back.
func (s *server) heldWarnings() []string {
	r, err := s.store.EpochRecord()
	if err != nil || r.Hold == nil || r.Hold.Released() {
		return nil
	}
	return []string{fmt.Sprintf("since the promotion of %s counter-based codes, recovery codes and passes made before are refused, %s",
		r.Since.Format(time.RFC3339), holdEnds(r.Hold.Awaits))}
}
