package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
)

const (
	// restoredEpochs is how far a restored group goes ahead of its backup when nobody is
	// heard who might know of later epochs.
	restoredEpochs = 1000
	askTimeout     = 5 * time.Second // of one server that a backup records
)

// survivor is what became of asking one server that a backup records who the master is.
type survivor struct {
	member mfa.Member
	master coordinator.Standing // if err is nil
	known  bool                 // the backup knows who signed that
	err    error
}

// String says it in one line.
func (s survivor) String() string {
	asked := fmt.Sprintf("Asked server %s at %s: ", s.member.Name, s.member.Coordinator)
	switch {
	case s.member.Coordinator == "":
		return fmt.Sprintf("Server %s cannot be asked: it had no coordinator port.", s.member.Name)
	case errors.Is(s.err, mfa.ErrUnavailable):
		return asked + "it lives, but knows no master. What it holds may be later than this backup."
	case s.err != nil:
		return asked + fmt.Sprintf("no answer (%v).", s.err)
	case !s.known:
		return asked + fmt.Sprintf("the master is %s in epoch %d, which came into the group after this backup.", s.master.Name, s.master.Epoch)
	}
	return asked + fmt.Sprintf("the master is %s in epoch %d.", s.master.Name, s.master.Epoch)
}

// askServers asks all servers that a backup records at once. Who answers has proven with
// its certificate that it is of the group.
func askServers(ctx context.Context, m manifest) []survivor {
	keys := map[string]ed25519.PublicKey{}
	for _, one := range m.Members {
		keys[one.Name] = one.Sign
	}
	out := make([]survivor, len(m.Members))
	var all sync.WaitGroup
	for i, one := range m.Members {
		out[i].member = one
		if one.Coordinator == "" {
			out[i].err = errors.New("no coordinator port")
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			a := group.Activation{Coordinators: []string{one.Coordinator}}
			copy(a.CA[:], m.CA)
			out[i].master, out[i].known, out[i].err = coordinator.NewClient(a).Master(ctx, func(server string) ed25519.PublicKey { return keys[server] })
		})
	}
	all.Wait()
	return out
}

// epochAfter returns the epoch that a restore starts. While a master answers, the operator
// must have typed what ends.
func epochAfter(m manifest, others []survivor, confirm string) (uint64, error) {
	ends, epoch := m.Epoch, m.Epoch+restoredEpochs
	var alive *survivor
	for _, o := range others {
		if o.err == nil && o.master.Group == m.Group && (alive == nil || o.master.Epoch > alive.master.Epoch) {
			alive = &o
		}
	}
	if alive != nil {
		if alive.master.Epoch == math.MaxUint64 {
			return 0, fmt.Errorf("server %s tells epoch %d, which cannot be: nothing was changed", alive.member.Name, alive.master.Epoch)
		}
		ends = max(ends, alive.master.Epoch)
		epoch = ends + 1
	}
	what := fmt.Sprintf("%s/%d", m.Group, ends)
	switch {
	case confirm != "" && confirm != what:
		return 0, fmt.Errorf("confirmed was %q, but what ends with this restore is %s: nothing was changed", confirm, what)
	case alive != nil && confirm == "":
		return 0, fmt.Errorf("group %s lives: its master is %s in epoch %d, says the server at %s. Nothing was changed. To add this machine to it, make a code there with `countersign group activation create`; to end that epoch and all that was written since the backup, give --confirm %s",
			m.Group, alive.master.Name, alive.master.Epoch, alive.member.Coordinator, what)
	}
	return epoch, nil
}
