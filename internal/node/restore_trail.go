package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/trail"
)

// survived counts what a restore has taken from trails that survived.
type survived struct {
	records int          // that were read
	settled int          // settlements that the backup does not have
	raised  int          // of them those that raised something
	imposed []mfa.Record // blocks and the like, made without a master, that hold once more: the acts
}

// String says it in one line.
func (s survived) String() string {
	if s.records == 0 {
		return "No trail of before was found: what was used after the backup is held back as a whole. (Lay the folder trail of the lost server into the empty data folder, if it is left, before the restore.)"
	}
	text := fmt.Sprintf("From the trail that survived (%d records): %d settlements after the backup, of which %d raised what the backup had.", s.records, s.settled, s.raised)
	if n := len(s.imposed); n > 0 {
		text += fmt.Sprintf(" %d blocks and the like that were made without a master hold again: see `countersign audit list --acts`.", n)
	}
	return text
}

// mergeSurviving brings what trails of before have settled beyond the backup into the database
// that was restored from it, so that no code that was accepted since is accepted again: the
// trail in the data folder, which goes on as this server's, and the one beside a snapshot.
func (s *server) mergeSurviving(ctx context.Context, m manifest, work string) (out survived, err error) {
	defer func() {
		if err == nil && len(out.imposed) > 0 {
			err = s.trail.Append(ctx, out.imposed...)
		}
	}()
	if s.trail.Head().Seq > 0 {
		if err := s.mergeTrail(ctx, m, s.trail, &out); err != nil {
			return out, fmt.Errorf("merge the trail in %s: %w", s.trailDir(), err)
		}
	}
	if m.trail == "" {
		return out, nil
	}
	copied := filepath.Join(work, trailDir) // opening a trail may mend its end
	if err := os.CopyFS(copied, os.DirFS(m.trail)); errors.Is(err, fs.ErrNotExist) {
		return out, nil
	} else if err != nil {
		return out, fmt.Errorf("copy the trail in %s: %w", m.trail, err)
	}
	t, err := trail.Open(trail.Options{Dir: copied, Server: m.Server, Log: s.log.Logger("trail"), Now: s.Now})
	if err != nil {
		return out, fmt.Errorf("open the trail in %s: %w", m.trail, err)
	}
	if err := s.mergeTrail(ctx, m, t, &out); err != nil {
		return out, fmt.Errorf("merge the trail in %s: %w", m.trail, err)
	}
	return out, nil
}

// mergeTrail merges one trail. Entries that the backup has are passed over.
func (s *server) mergeTrail(ctx context.Context, m manifest, t *trail.Trail, out *survived) error {
	l := &ledger{server: s.Config.Name, store: s.store, settings: s.store.Settings, now: s.Now, log: s.log.Logger("ledger")}
	return t.Replay(trail.Position{}, func(_ trail.Position, r mfa.Record) error {
		out.records++
		if r.Change != nil {
			return s.impose(ctx, *r.Change, out)
		}
		e := r.Settled
		if e == nil || e.State == mfa.Committed && (e.Epoch < m.Epoch || e.Epoch == m.Epoch && e.Revision <= m.Revision) {
			return nil
		}
		out.settled++
		acct, err := s.store.Account(ctx, e.User, false)
		if errors.Is(err, mfa.ErrNotFound) {
			return nil // came after the backup
		}
		if err != nil {
			return err
		}
		raised, err := l.mergeLost(ctx, *e, acct)
		if raised {
			out.raised++
		}
		return err
	})
}

// impose makes a restriction once more that the backup lacks, and records that.
func (s *server) impose(ctx context.Context, c mfa.Change, out *survived) error {
	done, err := s.store.Reimpose(ctx, c)
	if err != nil || !done {
		return err
	}
	verb, object := "user block", string(c.User)
	switch c.What {
	case mfa.ChangeDisable:
		verb, object = "credential disable", object+"/"+string(c.Credential)
	case mfa.ChangeRevoke:
		verb, object = "api-token revoke", c.Token
	}
	out.imposed = append(out.imposed, mfa.Record{Act: &mfa.Act{Time: s.Now(), Server: s.Config.Name, By: "restore", Verb: verb, Object: object,
		Detail: "as server " + c.Server + " did without a master at " + c.Time.UTC().Format(time.RFC3339) + ", by " + c.By}})
	return nil
}
