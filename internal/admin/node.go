package admin

import (
	"context"
	"fmt"
	"io"
	"time"

	"countersign/internal/secret"
)

// minPassphrase is the shortest passphrase of a backup, in bytes: the file holds the keyset.
const minPassphrase = 12

// Status returns the state of this server and its group.
func (s *Service) Status(ctx context.Context) (Status, error) {
	st, err := s.Node.Status(ctx)
	st.Users = s.Users.CountUsers()
	st.Members, st.Fronts, st.Warnings, st.Alarms = list(st.Members), list(st.Fronts), list(st.Warnings), list(st.Alarms)
	return st, err
}

// Doctor tries every connection that this server needs.
func (s *Service) Doctor(ctx context.Context) (CheckList, error) {
	return s.Node.Doctor(ctx).Judged(), nil
}

// Judged returns the list with OK as its checks have it.
func (l CheckList) Judged() CheckList {
	all := checkList(l.Checks)
	l.OK, l.Checks = all.OK, all.Checks
	return l
}

// SetLogLevel sets the verbosity of a component, for a while or until the next start.
func (s *Service) SetLogLevel(ctx context.Context, by string, l LogLevel) error {
	if _, err := oneOf("debug", "info", "warn", "error")(l.Level); err != nil {
		return invalid("level %v", err)
	}
	if l.Seconds < 0 || l.Seconds > 7*86400 {
		return invalid("a level holds for at most a week, or until the next start")
	}
	during := time.Duration(l.Seconds) * time.Second
	if err := s.Node.SetLogLevel(l.Component, l.Level, during); err != nil {
		return err
	}
	detail := l.Level
	if during > 0 {
		detail += " for " + during.String()
	}
	return s.record(ctx, by, "log level", or(l.Component, "all"), detail)
}

// CheckPassphrase refuses a passphrase that a guess would find.
func CheckPassphrase(p secret.Text) error {
	if p.Len() < minPassphrase || p.Len() > 1024 {
		return invalid("passphrase: it must have %d to 1024 bytes; it protects every secret of the group", minPassphrase)
	}
	return nil
}

// Backup writes one encrypted file that the passphrase opens.
func (s *Service) Backup(ctx context.Context, by string, passphrase secret.Text, w io.Writer) error {
	if err := CheckPassphrase(passphrase); err != nil {
		return err
	}
	if err := s.record(ctx, by, "backup create", "group", ""); err != nil {
		return err
	}
	if err := s.Node.Backup(ctx, passphrase, w); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	// The file is whole; that no master takes the note of it makes it no worse. The trail has it.
	_ = s.noteBackup(ctx, func(l *BackupList) {
		l.Backups = append([]MadeBackup{{Time: s.Now(), By: by, Server: s.Server}}, l.Backups...)
	})
	return nil
}
