package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

type backupVerbs struct {
	Create  backupCreate  `cmd:"" help:"Write a backup of the running server's group; on the server itself only."`
	Verify  backupVerify  `cmd:"" help:"Read a backup to its end and say what is in it."`
	Restore backupRestore `cmd:"" help:"Fill the empty data folder of this machine from a backup, or from a snapshot in the data folder that it had, moved aside."`
}

// backupArgs are what every backup verb has.
type backupArgs struct {
	File            string `arg:"" help:"The file." type:"path"`
	PassphraseFile  string `help:"Read the recovery passphrase from a file." type:"path" placeholder:"FILE"`
	PassphraseStdin bool   `help:"Read the recovery passphrase from standard input."`
}

func (v *backupArgs) passphrase(e *env, twice bool) (*secret.Wire, error) {
	return e.read(source{what: "passphrase", stdin: v.PassphraseStdin, file: v.PassphraseFile, ask: true, twice: twice})
}

// backupDone is what create prints.
type backupDone struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	*BackupInfo
}

type backupCreate struct{ backupArgs }

func (v *backupCreate) Run(ctx context.Context, e *env) (err error) {
	p, err := v.passphrase(e, true)
	if err != nil {
		return err
	}
	if err := admin.CheckPassphrase(p.Text); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), mfa.ErrInvalid.Error()+": "))
	}
	if _, err := os.Lstat(v.File); err == nil {
		if err := e.confirm("Replace %s?", v.File); err != nil {
			return err
		}
	}
	// Beside its final name, so that a backup that breaks off replaces nothing.
	f, err := os.CreateTemp(filepath.Dir(v.File), ".countersign-backup-*")
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	done := backupDone{File: v.File}
	if done.Bytes, err = v.fetch(ctx, e, f, p); err != nil {
		return err
	}
	if e.VerifyBackup != nil {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		info, err := e.VerifyBackup(ctx, f, p.Text)
		if err != nil {
			return fmt.Errorf("the backup was written but does not read back: %w", err)
		}
		done.BackupInfo = &info
	}
	if err := os.Rename(f.Name(), v.File); err != nil {
		return err
	}
	if done.BackupInfo != nil {
		e.noteVerified(ctx, *done.BackupInfo)
	}
	return e.show(done)
}

// fetch streams the backup into f and makes it durable.
func (v *backupCreate) fetch(ctx context.Context, e *env, f *os.File, p *secret.Wire) (int64, error) {
	body, err := jsonBody(admin.BackupRequest{Passphrase: p})
	if err != nil {
		return 0, err
	}
	answer, err := e.send(ctx, http.MethodPost, "/backup", nil, body, "application/json")
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	n, err := io.Copy(f, answer)
	if err != nil {
		return n, fmt.Errorf("the backup broke off after %d bytes; the server's log says why: %w", n, err)
	}
	if n == 0 {
		return 0, errors.New("the server sent an empty backup")
	}
	return n, f.Sync()
}

type backupVerify struct{ backupArgs }

func (v *backupVerify) Run(ctx context.Context, e *env) error {
	if e.VerifyBackup == nil {
		return errors.New("this program cannot read backups")
	}
	f, err := os.Open(v.File)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := v.passphrase(e, false)
	if err != nil {
		return err
	}
	info, err := e.VerifyBackup(ctx, f, p.Text)
	if err != nil {
		return fmt.Errorf("%s: %w", v.File, err)
	}
	e.noteVerified(ctx, info)
	return e.show(info)
}

// noteVerified tells the group, if it can be reached from here, that a backup was restored from
// and opened. A backup may be verified anywhere, so that it cannot is no failure. An
// independent coordinator has no page that would show it.
func (e *env) noteVerified(ctx context.Context, b BackupInfo) {
	if b.Group == admin.CoordinatorGroup {
		return
	}
	in := admin.VerifiedBackup{Group: b.Group, Server: b.Server, Epoch: b.Epoch, Revision: b.Revision, Created: b.Created, Records: b.Records, Users: b.Users}
	if err := e.call(ctx, http.MethodPost, "/backups/verified", nil, in, nil); err != nil {
		e.say("Not noted in the group, which is about its console only: %v", err)
	}
}

type backupRestore struct {
	backupArgs
	Confirm string `help:"The group and the epoch that end here, as GROUP/EPOCH." placeholder:"GROUP/EPOCH"`
}

// snapshotSuffix is what the names of local snapshots end in.
const snapshotSuffix = ".snapshot"

func (v *backupRestore) Run(ctx context.Context, e *env) error {
	if filepath.Ext(v.File) == snapshotSuffix && e.RestoreSnapshot != nil { // sealed under the server's own keys, not a passphrase
		if err := e.RestoreSnapshot(ctx, e.Globals, v.File, v.Confirm); err != nil {
			return fmt.Errorf("restore of %s: %w", v.File, err)
		}
		return nil
	}
	if e.RestoreBackup == nil {
		return errors.New("this program cannot restore backups")
	}
	f, err := os.Open(v.File)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := v.passphrase(e, false)
	if err != nil {
		return err
	}
	if err := e.RestoreBackup(ctx, e.Globals, f, p.Text, v.Confirm); err != nil {
		return fmt.Errorf("restore of %s: %w", v.File, err)
	}
	return nil
}
