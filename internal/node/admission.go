package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/store"
)

// admission is what a machine does that is admitted by a code.
type admission struct {
	code    group.Activation
	request group.Request             // role and addresses; apply adds the rest
	confirm func(group.Preview) error // asks the operator
	fits    func(group.Preview) error // refuses a code that is for something else
	take    func(g group.Grant, ca []byte) error
}

// apply has this machine admitted: it makes its keys in the data folder, shows what the code
// admits to, asks for admission, and has what was granted taken. After an error the folder is as
// it was, but for the keys if the group may have this machine on record: with them the same
// machine is admitted once more, by the same code as long as it lives, or by another one.
func (s *server) apply(ctx context.Context, a admission) (err error) {
	undo, err := s.vacate()
	if err != nil {
		return err
	}
	open := false
	defer func() {
		if err == nil {
			return
		}
		if !open {
			undo()
			return
		}
		undo(keysDir)
		again := "the same code while it lives, else with a new one"
		if a.code.Role == group.RoleFounder {
			again = "a new code of the same kind"
		}
		err = fmt.Errorf("%w; this machine may have been admitted all the same, so its keys stay in %s: run this command again, with %s",
			err, filepath.Join(s.Config.DataDir, keysDir), again)
	}()
	spki, err := makePeerKey(s.Config.DataDir)
	if err != nil {
		return err
	}
	r := a.request
	r.Code, r.Name, r.PublicKey, r.Sign, r.Wrap, r.Version, r.Schema = a.code.ID, s.Config.Name, spki, s.id.public(), s.recipient(), s.Version, store.Schema
	r.Prove(a.code.Secret)
	ask := coordinator.NewClient(a.code)
	preview, err := ask.Preview(ctx, r)
	if err != nil {
		return err
	}
	if err := a.fits(preview); err != nil {
		return err
	}
	if err := a.confirm(preview); err != nil {
		return err
	}
	grant, err := ask.Activate(ctx, r)
	if err != nil {
		open = !refused(err)
		return err
	}
	open = true
	return a.take(grant, ask.CertificatePEM())
}

// refused reports whether err is the word of a server that decided against an admission: every
// other error leaves open whether one decided for it.
func refused(err error) bool {
	for _, is := range []error{mfa.ErrInvalid, mfa.ErrExists, mfa.ErrNotFound, mfa.ErrOutdated, mfa.ErrForbidden, mfa.ErrReadOnly, group.ErrProtocol} {
		if errors.Is(err, is) && !errors.Is(err, mfa.ErrUnavailable) {
			return true
		}
	}
	return false
}

// vacate prepares the data folder for a machine that is admitted, and moves away what it had
// where it was before. undo is that of claim.
func (s *server) vacate() (undo func(keep ...string), err error) {
	if err := prepareFolder(s.Config); err != nil {
		return nil, err
	}
	if hasLeft(s.Config.DataDir) {
		if err := s.clear(); err != nil {
			return nil, fmt.Errorf("move away what this machine had before: %w", err)
		}
	}
	if err := s.unfinished(); err != nil {
		return nil, err
	}
	return s.claim()
}

// unfinished removes the CA's certificate that an admission has left which was interrupted
// before the list of members was written: it comes with the grant again.
func (s *server) unfinished() error {
	dir := s.Config.DataDir
	for _, name := range []string{rosterName, "epoch.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil
		}
	}
	if _, err := os.Stat(peerTLS(dir).KeyFile); err != nil {
		return nil
	}
	if err := os.Remove(filepath.Join(dir, caName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
