package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/store"
	"countersign/internal/trail"
)

const (
	// parkedKeep is how long a parked copy lies in the data folder after all of it was taken over:
	// time to look, if the list is doubted.
	parkedKeep = 7 * 24 * time.Hour
	// parkedTries is how often a copy is opened in vain. etcd ends the process for some kinds
	// of damage, and the server must come up all the same.
	parkedTries = 3
	parkedRetry = 15 * time.Second
	parkedStart = 30 * time.Second // of a start: what is not taken over by then is while it serves
	parkedActs  = 5                // acts of the trail that are kept with a change, the newest
)

// parkingStore is what parking needs of package store.
type parkingStore interface {
	Contact() (last time.Time, now bool)
	EpochRecord() (store.EpochRecord, error)
	ForkOf(ctx context.Context, old store.OldCopy, epoch uint64) (int64, error)
	Rejoin(ctx context.Context, old store.OldCopy, o store.Rejoin) (parking.Report, error)
	RejoinFailed(ctx context.Context, cluster string, epoch uint64, reason string) error
	TrailMerged(ctx context.Context, server string) (released bool, err error)
	Merge(ctx context.Context) error
}

// parkedCopies takes over what the copies hold that this server brought from epochs that
// ended while it was away. All fields must be set.
type parkedCopies struct {
	server  string
	dataDir string
	counts  string // the copy of the database that is open
	store   parkingStore
	ledger  *ledger
	open    func(ctx context.Context, copy string) (*cluster.ParkedReader, error)
	now     func() time.Time
	log     *slog.Logger

	working sync.Mutex // held by pass
	mu      sync.Mutex
	problem string // why the last pass did not end its work; "": it did
}

// parkedState is kept beside a copy, so that a crash of whatever kind finds its way on.
type parkedState struct {
	V     int            `json:"v"`
	From  trail.Position `json:"from"`               // what the trail has of this copy's epoch and the group's has not lies behind
	Tries int            `json:"tries,omitempty"`    // openings that did not end well
	Done  time.Time      `json:"done,omitzero"`      // when all of it was taken over
	Given string         `json:"given_up,omitempty"` // why it was not, and will not be
}

func (c *parkedCopies) statePath(p cluster.Parked) string { return p.Path(c.dataDir) + ".state" }

// state reads it; the zero state of a copy that has none, or a damaged one.
func (c *parkedCopies) state(p cluster.Parked) (st parkedState, err error) {
	b, err := os.ReadFile(c.statePath(p))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err == nil && (json.Unmarshal(b, &st) != nil || st.V != 1 || st.Tries < 0) {
		c.log.Warn("what was noted beside a parked copy cannot be read; it is taken over from the beginning", "path", c.statePath(p))
		return parkedState{}, nil
	}
	return st, err
}

func (c *parkedCopies) keep(p cluster.Parked, st parkedState) error {
	st.V = 1
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return writeSynced(c.statePath(p), append(b, '\n'))
}

func (c *parkedCopies) list() ([]cluster.Parked, error) {
	return cluster.ParkedCopies(c.dataDir, c.counts)
}

// found notes, before the ledger's mark moves, where it stood when a new copy was parked.
func (c *parkedCopies) found(from trail.Position) error {
	all, err := c.list()
	for _, p := range all {
		if _, serr := os.Stat(c.statePath(p)); errors.Is(serr, fs.ErrNotExist) {
			err = errors.Join(err, c.keep(p, parkedState{From: from}))
		}
	}
	return err
}

// lineage says where a settlement is that an earlier epoch has acknowledged.
func (c *parkedCopies) lineage(e mfa.Settled) lineage {
	r, err := c.store.EpochRecord()
	if err != nil {
		return lineLost
	}
	all, _ := c.list()
	for _, p := range all {
		if p.Epoch != e.Epoch {
			continue
		}
		for _, a := range r.Ancestors() {
			if a.ClusterID == p.ClusterID && e.Revision <= a.Fork {
				return lineHeld
			}
		}
		if st, err := c.state(p); err == nil && st.Given != "" {
			return lineLost
		}
		return lineParked
	}
	for _, a := range r.Ancestors() {
		if a.Epoch == e.Epoch && e.Revision <= a.Fork {
			return lineHeld
		}
	}
	return lineLost
}

// pass takes over every copy as far as it can be, and removes those that were long ago.
func (c *parkedCopies) pass(ctx context.Context) error {
	c.working.Lock()
	defer c.working.Unlock()
	if _, now := c.store.Contact(); !now || !c.ledger.inStep.Load() {
		return nil // nothing can be written
	}
	all, err := c.list()
	for _, p := range all {
		if perr := c.takeOver(ctx, p); perr != nil {
			err = errors.Join(err, fmt.Errorf("the copy of epoch %d in %s: %w", p.Epoch, p.Path(c.dataDir), perr))
		}
	}
	if err == nil {
		err = c.merged(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem = ""; err != nil && ctx.Err() == nil {
		c.problem = err.Error()
	}
	return err
}

// merged tells the group that what this server settled in earlier epochs is merged: nothing
// of it is behind the ledger's mark, and no copy waits.
func (c *parkedCopies) merged(ctx context.Context) error {
	r, err := c.store.EpochRecord()
	if err != nil || r.Hold == nil || !contains(r.Hold.Awaits, c.server) {
		return err
	}
	if err := c.store.Merge(ctx); err != nil {
		return err
	}
	released, err := c.store.TrailMerged(ctx, c.server)
	if err != nil {
		return err
	}
	detail := "what it settled before epoch " + strconv.FormatUint(r.Epoch, 10) + " is merged"
	if released {
		detail += "; it was the last that was awaited: counter tokens, recovery codes and passes are no longer held"
	}
	c.tell(mfa.Act{By: "merge", Verb: "trail merged", Object: c.server, Detail: detail})
	c.log.Info("what this server settled before the group's epoch is merged", "epoch", r.Epoch, "hold_released", released)
	return nil
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// takeOver brings one copy to its end.
func (c *parkedCopies) takeOver(ctx context.Context, p cluster.Parked) error {
	st, err := c.state(p)
	if err != nil {
		return err
	}
	switch {
	case !st.Done.IsZero() && c.now().Sub(st.Done) >= parkedKeep:
		c.log.Info("a parked copy was taken over long ago and is removed", "path", p.Path(c.dataDir), "taken_over", st.Done)
		if err := cluster.DropParked(c.dataDir, p); err != nil {
			return err
		}
		return os.Remove(c.statePath(p))
	case !st.Done.IsZero(), st.Given != "":
		return nil
	case st.Tries >= parkedTries:
		return c.giveUp(ctx, p, st, fmt.Sprintf("the server stopped %d times while it read it; the log says why", st.Tries))
	}
	st.Tries++
	if err := c.keep(p, st); err != nil {
		return err
	}
	report, err := c.read(ctx, p, st)
	switch {
	case errors.Is(err, cluster.ErrDamaged):
		return c.giveUp(ctx, p, st, err.Error())
	case err != nil: // we are still here: it was no damage
		st.Tries--
		return errors.Join(err, c.keep(p, st))
	}
	st.Tries, st.Done = 0, c.now().UTC().Truncate(time.Second)
	if err := c.keep(p, st); err != nil {
		return err
	}
	detail := fmt.Sprintf("fork at revision %d, read up to %d: %d settlement records merged, %d codes used on both sides, %d restrictions applied, %d changes listed",
		report.Fork, report.Last, report.Records, report.Twice, len(report.Restricted), report.Listed)
	c.log.Warn("a parked copy was taken over", "epoch", p.Epoch, "settlements", report.Records, "used_on_both_sides", report.Twice,
		"restrictions", len(report.Restricted), "listed", report.Listed, "unreadable", report.Unreadable, "kept_until", st.Done.Add(parkedKeep), "next", "countersign group parked list")
	c.tell(mfa.Act{By: "merge", Verb: "group parked", Object: "epoch " + strconv.FormatUint(p.Epoch, 10), Detail: detail})
	return nil
}

// read opens the copy and has the store take it over.
func (c *parkedCopies) read(ctx context.Context, p cluster.Parked, st parkedState) (r parking.Report, err error) {
	old, err := c.open(ctx, p.Copy)
	if err != nil {
		return r, err
	}
	defer old.Close()
	if old.ClusterID() != p.ClusterID {
		return r, fmt.Errorf("%w: it is of cluster %s, its mark says %s", cluster.ErrDamaged, old.ClusterID(), p.ClusterID)
	}
	now, err := c.store.EpochRecord()
	if err != nil {
		return r, err
	}
	fork, err := c.store.ForkOf(ctx, old, p.Epoch)
	if err != nil {
		return r, err
	}
	acts, err := c.acts(st.From)
	if err != nil {
		return r, err
	}
	return c.store.Rejoin(ctx, old, store.Rejoin{Epoch: p.Epoch, Fork: fork, Since: now.Since,
		Acts: func(object string) []mfa.Act { return acts[object] }, Told: c.told})
}

// acts reads from the trail what administrators did on this server, by object, the newest of each.
func (c *parkedCopies) acts(from trail.Position) (map[string][]mfa.Act, error) {
	all := map[string][]mfa.Act{}
	err := c.ledger.trail.Replay(from, func(_ trail.Position, r mfa.Record) error {
		if r.Act != nil {
			list := append(all[r.Act.Object], *r.Act)
			all[r.Act.Object] = list[max(0, len(list)-parkedActs):]
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the trail back: %w", err)
	}
	return all, nil
}

// told records what was applied by itself.
func (c *parkedCopies) told(a mfa.Act) {
	if a.Verb == "used_on_both_sides" {
		c.log.Error("a code was used on two servers while they had no contact", "reason", a.Verb, "user", a.Object, "detail", a.Detail)
	}
	c.tell(a)
}

func (c *parkedCopies) tell(a mfa.Act) {
	a.Time, a.Server = c.now(), c.server
	if err := c.ledger.Append(context.Background(), mfa.Record{Act: &a}); err != nil {
		c.log.Error("an act could not be recorded in the trail", "verb", a.Verb, "object", a.Object, "detail", a.Detail, "error", err)
	}
}

// giveUp merges what the trail has of a copy that cannot be read, and leaves the copy to the
// operator.
func (c *parkedCopies) giveUp(ctx context.Context, p cluster.Parked, st parkedState, reason string) error {
	r, err := c.store.EpochRecord()
	if err != nil {
		return err
	}
	fork, _ := parking.Fork(p.Epoch, p.ClusterID, nil, r.Ancestors())
	raised, err := c.ledger.mergeEpoch(ctx, p.Epoch, fork)
	if err != nil {
		return err
	}
	if err := c.store.RejoinFailed(ctx, p.ClusterID, p.Epoch, reason); err != nil {
		return err
	}
	st.Given = reason
	if err := c.keep(p, st); err != nil {
		return err
	}
	c.log.Error("a parked copy cannot be read: its settlements were merged from the trail, changes of administrators in it are not known", "epoch", p.Epoch,
		"path", p.Path(c.dataDir), "settlements", raised, "reason", reason,
		"next", "look at `countersign audit list --acts` of this server for what was changed in that time; then remove the folder and the files beside it that begin with its name")
	c.tell(mfa.Act{By: "merge", Verb: "group parked", Object: "epoch " + strconv.FormatUint(p.Epoch, 10),
		Detail: fmt.Sprintf("the copy cannot be read (%s); %d settlements merged from the trail", reason, raised)})
	return nil
}

// run goes on with what a start had to leave, until ctx is done.
func (c *parkedCopies) run(ctx context.Context) error {
	tick := time.NewTicker(parkedRetry)
	defer tick.Stop()
	last := ""
	for {
		if err := c.pass(ctx); err != nil && ctx.Err() == nil && err.Error() != last {
			last = err.Error()
			c.log.Warn("what epochs that ended have left on this server is not taken over yet; trying again", "error", err, "every", parkedRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// warnings says what waits for somebody.
func (c *parkedCopies) warnings() (w []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem != "" {
		w = append(w, "parked: "+c.problem)
	}
	all, err := c.list()
	if err != nil {
		w = append(w, "parked: "+err.Error())
	}
	for _, p := range all {
		if st, err := c.state(p); err == nil && st.Given != "" {
			w = append(w, fmt.Sprintf("parked: the copy of epoch %d cannot be read (%s): when it is needed no more, remove %s and the files beside it that begin with its name", p.Epoch, st.Given, p.Path(c.dataDir)))
		}
	}
	return w
}
