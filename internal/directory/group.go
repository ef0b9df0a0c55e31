package directory

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"countersign/internal/mfa"
)

const (
	// groupRefresh is how often a group is read anew. Whoever has left it is in it here for so
	// long at most.
	groupRefresh = 5 * time.Minute
	groupRetry   = 30 * time.Second // after an error
	// groupGood is how long what was read last holds while the directory does not answer.
	groupGood = time.Hour
	groupLook = 2 * time.Second // how often new groups are looked for
)

// Groups knows who is in the groups of directories that some administrators are limited to. Each
// server reads them by itself, into its memory: it needs no master for that, and asks nothing
// when somebody wants to know. All exported fields must be set; it is safe for concurrent use.
type Groups struct {
	Members func(ctx context.Context, directory, group string) (Members, error)
	Wanted  func() []mfa.DirectoryGroup // asked again and again
	Now     func() time.Time
	Log     *slog.Logger

	mu    sync.Mutex
	known map[mfa.DirectoryGroup]knownGroup
}

// knownGroup is what was read of a group.
type knownGroup struct {
	members Members
	read    time.Time // zero: never
	tried   time.Time // zero: never
	err     error     // of the last try
}

func (k knownGroup) good(now time.Time) bool { return !k.read.IsZero() && now.Sub(k.read) < groupGood }

func (k knownGroup) due(now time.Time) bool {
	if k.err != nil {
		return now.Sub(k.tried) >= groupRetry
	}
	return now.Sub(k.tried) >= groupRefresh
}

// Belongs reports whether u, whose password the group's directory checks, is in g as far as is
// known now. Of a group that has not been read, or not for long, nobody is.
func (g *Groups) Belongs(u mfa.User, in mfa.DirectoryGroup) bool {
	if u.Directory == "" || u.Directory != in.Directory {
		return false
	}
	k := g.of(in)
	return k.good(g.Now()) && k.members.Include(u.Login)
}

func (g *Groups) of(in mfa.DirectoryGroup) knownGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known[in]
}

// Look reads a group now and returns how many are in it.
func (g *Groups) Look(ctx context.Context, in mfa.DirectoryGroup) (members int, err error) {
	m, err := g.Members(ctx, in.Directory, in.Group)
	now := g.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.known[in]
	k.tried, k.err = now, err
	if err == nil {
		k.members, k.read = m, now
	}
	if g.known == nil {
		g.known = map[mfa.DirectoryGroup]knownGroup{}
	}
	g.known[in] = k
	return m.Len(), err
}

// Run reads the groups that are wanted, each again and again, until ctx is done.
func (g *Groups) Run(ctx context.Context) error {
	tick := time.NewTicker(groupLook)
	defer tick.Stop()
	for {
		g.refresh(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// refresh reads what is due, and forgets what nobody wants any more.
func (g *Groups) refresh(ctx context.Context) {
	wanted := g.Wanted()
	for _, in := range wanted {
		before := g.of(in)
		if ctx.Err() != nil || !before.due(g.Now()) {
			continue
		}
		_, err := g.Look(ctx, in)
		switch {
		case ctx.Err() != nil:
		case err != nil && before.err == nil:
			g.Log.Warn("a directory group cannot be read; help desks that are limited to it reach whom it had for an hour, then nobody of it", "group", in, "error", err)
		case err == nil && before.err != nil:
			g.Log.Info("a directory group can be read again", "group", in)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for in, k := range g.known {
		if !slices.Contains(wanted, in) && g.Now().Sub(k.tried) >= groupRefresh { // one that was looked at is perhaps wanted in a moment
			delete(g.known, in)
		}
	}
}

// Warnings names the groups that cannot be read.
func (g *Groups) Warnings() (all []string) {
	for _, in := range g.Wanted() {
		k := g.of(in)
		switch {
		case k.err == nil:
		case k.good(g.Now()):
			all = append(all, fmt.Sprintf("directory group %s cannot be read: until %s help desks that are limited to it reach whom it had at %s: %v", in,
				k.read.Add(groupGood).UTC().Format(time.RFC3339), k.read.UTC().Format(time.RFC3339), k.err))
		default:
			all = append(all, fmt.Sprintf("directory group %s cannot be read: help desks that are limited to it reach nobody of it: %v", in, k.err))
		}
	}
	return all
}
