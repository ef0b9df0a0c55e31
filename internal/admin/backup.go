package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"
)

const (
	blobBackups = "backups" // sealed
	// backupsKept is how many backups, and how many verified restores, are remembered.
	backupsKept = 20
	// noteTries bounds how often a note is written again because somebody else was faster.
	noteTries = 5
)

// MadeBackup is a backup that was made.
type MadeBackup struct {
	Time   time.Time `json:"time"`
	By     string    `json:"by"`
	Server string    `json:"server" doc:"that it was made on"`
}

// CoordinatorGroup is the name that the database of an independent coordinator has, so that
// it is not taken for a group's. No group may be called so.
const CoordinatorGroup = "countersign-coordinator"

// VerifiedBackup is what a verified restore has found: a backup was read to its end, a copy
// restored from it, and everything in that opened.
type VerifiedBackup struct {
	Group    string    `json:"group" maxLength:"64"`
	Server   string    `json:"server" maxLength:"63" doc:"that the backup was made on"`
	Epoch    uint64    `json:"epoch"`
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created" doc:"when the backup was made"`
	Records  int       `json:"records"`
	Users    int       `json:"users"`
	Time     time.Time `json:"time,omitzero" doc:"of the restore; set when it is noted"`
	By       string    `json:"by,omitempty" doc:"who says so; set when it is noted"`
}

// BackupList is the backups of the group as far as it has heard of them, newest first.
type BackupList struct {
	Backups  []MadeBackup     `json:"backups"`
	Verified []VerifiedBackup `json:"verified"`
}

// ListBackups returns them. It asks the master.
func (s *Service) ListBackups(ctx context.Context) (BackupList, error) {
	l, _, err := s.backups(ctx)
	l.Backups, l.Verified = list(l.Backups), list(l.Verified)
	return l, err
}

func (s *Service) backups(ctx context.Context) (l BackupList, rev int64, err error) {
	if s.Sealed == nil { // a witness, which has no keys
		return l, 0, fmt.Errorf("the list of backups: %w", mfa.ErrUnavailable)
	}
	kept, rev, err := s.Sealed.GetSealed(ctx, blobBackups)
	if errors.Is(err, mfa.ErrNotFound) {
		return l, 0, nil
	} else if err != nil {
		return l, 0, err
	}
	if err := json.Unmarshal(kept.Expose(), &l); err != nil {
		return l, 0, fmt.Errorf("the list of backups cannot be read: %w", err)
	}
	return l, rev, nil
}

// noteBackup changes the list.
func (s *Service) noteBackup(ctx context.Context, change func(*BackupList)) error {
	var err error
	for range noteTries {
		l, rev, failed := s.backups(ctx)
		if failed != nil {
			return failed
		}
		change(&l)
		l.Backups, l.Verified = l.Backups[:min(len(l.Backups), backupsKept)], l.Verified[:min(len(l.Verified), backupsKept)]
		b, failed := json.Marshal(l)
		if failed != nil {
			return failed
		}
		if _, err = s.Sealed.PutSealed(ctx, blobBackups, rev, b); !errors.Is(err, mfa.ErrConflict) {
			return err
		}
	}
	return err
}

// NoteVerified notes that a backup of this group was restored from and opened, wherever that
// was.
func (s *Service) NoteVerified(ctx context.Context, by string, b VerifiedBackup) (VerifiedBackup, error) {
	st, err := s.Node.Status(ctx)
	switch {
	case err != nil:
		return b, err
	case b.Group != st.Group:
		return b, invalid("the backup is of group %q, and this is group %q", clip(b.Group), st.Group)
	case b.Created.IsZero() || b.Created.After(s.Now().Add(time.Hour)):
		return b, invalid("created: a backup is made before it is verified")
	}
	if _, err := objectName(b.Server); err != nil {
		return b, invalid("server: %v", err)
	}
	b.Time, b.By = s.Now(), by
	if err := s.noteBackup(ctx, func(l *BackupList) { l.Verified = append([]VerifiedBackup{b}, l.Verified...) }); err != nil {
		return b, err
	}
	return b, s.record(ctx, by, "backup verify", "group", fmt.Sprintf("made %s on %s, epoch %d, revision %d: %d records, %d users",
		b.Created.UTC().Format(time.RFC3339), b.Server, b.Epoch, b.Revision, b.Records, b.Users))
}

// ListBackups returns the backups that the group has heard of.
func (d Desk) ListBackups(ctx context.Context) (BackupList, error) {
	return allowed(d, mfa.MayReadSettings, func() (BackupList, error) { return d.s.ListBackups(ctx) })
}

// NoteVerified notes a verified restore.
func (d Desk) NoteVerified(ctx context.Context, b VerifiedBackup) (VerifiedBackup, error) {
	return allowed(d, mfa.MayOwn, func() (VerifiedBackup, error) { return d.s.NoteVerified(ctx, d.by.By, b) })
}
