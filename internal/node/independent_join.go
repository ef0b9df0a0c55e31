package node

import (
	"context"
	"fmt"
	"strings"

	"countersign/internal/group"
	"countersign/internal/mfa"
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
	r := group.Request{Role: a.Role, Peer: peerAddress, Coordinator: coordinatorAddress}
	return s.apply(ctx, admission{code: a, request: r, confirm: confirm,
		fits: func(p group.Preview) error {
			if p.Group != coordinatorGroup || p.Role != a.Role {
				return fmt.Errorf("%s answers for group %s: they are no coordinators", strings.Join(a.Coordinators, ", "), p.Group)
			}
			return nil
		},
		take: s.accept})
}
