package node

import (
	"context"
	"fmt"
	"strings"

	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/store"
)

// JoinCoordinator admits this machine as another coordinator, by a code that one of them has
// made: it makes this machine's keys in the data folder, shows whom the code is from, and, if
// confirm returns nil, is admitted and writes certificate, CA and the others' addresses. The
// coordinator that is started then brings the records of groups and servers.
func JoinCoordinator(ctx context.Context, o Options, code string, confirm func(group.Preview) error) (err error) {
	s := &server{Options: o}
	if err := s.openLog(); err != nil {
		return err
	}
	defer s.log.Close()
	a, err := group.ParseActivation(code)
	if err != nil {
		return err
	}
	if a.Role != mfa.RoleCoordinator {
		return fmt.Errorf("this code is for a %s of group %s, and not for a coordinator: use it with `countersign activate`; a coordinator is admitted by one from `countersign coordinator activation create --coordinator`", a.Role, a.Group)
	}
	if err := coordinatorConfig(o); err != nil {
		return err
	}
	if o.Config.Listen.Peer == "" {
		return fmt.Errorf("listen.peer is not set: where there are several coordinators each needs its port for the others; set it in the node file, for example %s:7443", o.Config.Name)
	}
	peerAddress, coordinatorAddress, _, err := addresses(o.Config)
	if err != nil {
		return err
	}
	undo, err := s.vacate()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	spki, err := makePeerKey(o.Config.DataDir)
	if err != nil {
		return err
	}
	r := group.Request{Code: a.ID, Name: o.Config.Name, Role: a.Role, Peer: peerAddress, Coordinator: coordinatorAddress,
		PublicKey: spki, Sign: s.id.public(), Wrap: s.id.wrap.Recipient(), Version: o.Version, Schema: store.Schema}
	r.Prove(a.Secret)
	ask := coordinator.NewClient(a)
	preview, err := ask.Preview(ctx, r)
	if err != nil {
		return err
	}
	if preview.Group != coordinatorGroup || preview.Role != a.Role {
		return fmt.Errorf("%s answers for group %s: they are no coordinators", strings.Join(a.Coordinators, ", "), preview.Group)
	}
	if err = confirm(preview); err != nil {
		return err
	}
	grant, err := ask.Activate(ctx, r)
	if err != nil {
		return err
	}
	return s.accept(grant, ask.CertificatePEM())
}

// vacate prepares the data folder for a machine that is admitted, and moves away what it had
// where it was before.
func (s *server) vacate() (undo func(), err error) {
	if err := s.Config.PrepareDataDir(); err != nil {
		return nil, err
	}
	if hasLeft(s.Config.DataDir) {
		if err := s.clear(); err != nil {
			return nil, fmt.Errorf("move away what this machine had before: %w", err)
		}
	}
	return s.claim()
}
