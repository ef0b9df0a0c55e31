package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
)

// Activate admits this machine to the group that an activation code names: it makes this
// server's keys in the data folder, shows what the code admits to, and, if confirm returns
// nil, is admitted and writes certificate, CA and the other servers' addresses. The server
// that is started then brings the database.
func Activate(ctx context.Context, o Options, code string, confirm func(group.Preview) error) error {
	s := &server{Options: o}
	if err := s.openLog(); err != nil {
		return err
	}
	defer s.log.Close()
	a, err := group.ParseActivation(code)
	if err != nil {
		return err
	}
	if a.Role == mfa.RoleCoordinator {
		return fmt.Errorf("this code admits another coordinator, and no server: use it with `countersign coordinator join`; a server is admitted by one from `countersign group activation create`")
	}
	if o.Config.Listen.Peer == "" {
		return fmt.Errorf("listen.peer is not set: a server of a group needs its peer port; set it in the node file (the other servers must reach it), for example %s:7443", o.Config.Name)
	}
	peerAddress, coordinatorAddress, https, err := addresses(o.Config)
	if err != nil {
		return err
	}
	if s.witness = a.Role == mfa.RoleWitness; s.witness {
		if err := refuseFronts(o.Config); err != nil {
			return err
		}
	}
	r := group.Request{Role: a.Role, Peer: peerAddress, HTTPS: https, Coordinator: coordinatorAddress}
	return s.apply(ctx, admission{code: a, request: r, confirm: confirm,
		fits: func(p group.Preview) error {
			if p.Group != a.Group || p.Role != a.Role {
				return fmt.Errorf("the code is for group %s, but the coordinator is of group %s", a.Group, p.Group)
			}
			return nil
		},
		take: func(g group.Grant, ca []byte) error {
			if a.Role == group.RoleFounder {
				err = s.foundAt(ctx, g, ca)
			} else {
				err = s.accept(g, ca)
			}
			if err == nil {
				s.noteCoordinators(coordinator.URLs(g.Coordinators))
			}
			return err
		}})
}

// foundAt founds the group whose first server a coordinator has just made this one. The
// group's keys are made here; the coordinator sees none.
func (s *server) foundAt(ctx context.Context, g group.Grant, ca []byte) error {
	if len(g.Coordinators) == 0 {
		return fmt.Errorf("%w: the coordinator's answer names no address of it", mfa.ErrInvalid)
	}
	if err := s.writeCA(ca); err != nil {
		return err
	}
	if err := writeSynced(peerTLS(s.Config.DataDir).CertFile, g.Certificate); err != nil {
		return err
	}
	s.founding = &outside{URLs: coordinator.URLs(g.Coordinators), CA: ca}
	if err := s.foundDatabase(ctx, g.Group, "activate", "founded by a code of the coordinator at "+strings.Join(s.founding.URLs, ", ")+", made by "+g.By); err != nil {
		return fmt.Errorf("%w; the code is used up: the coordinator makes another for the same group as long as that has not reported", err)
	}
	return nil
}

// noteCoordinators writes coordinator.urls into the node file, which the operator owns: if
// that cannot be, the line is shown. The group has them on record too.
func (s *server) noteCoordinators(urls []string) {
	if len(urls) == 0 || slices.Equal(urls, s.Config.Coordinator) {
		return
	}
	quoted := make([]string, len(urls))
	for i, u := range urls {
		quoted[i] = strconv.Quote(u)
	}
	line := "coordinator: {urls: [" + strings.Join(quoted, ", ") + "]}"
	err := errors.New("it names others already")
	if len(s.Config.Coordinator) == 0 {
		err = appendLine(s.Config.Path, line)
	}
	if err != nil {
		fmt.Fprintf(s.Stdout, "Write this into the node file: %s (not done here: %v)\n", line, err)
	}
}

// appendLine adds a line to the end of a file that is there.
func appendLine(path, line string) (err error) {
	if path == "" {
		return errors.New("there is none")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + line + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// accept writes what the group has granted; the list of members last, because it makes the
// folder an activated one.
func (s *server) accept(g group.Grant, ca []byte) error {
	dir := s.Config.DataDir
	if err := s.writeCA(ca); err != nil {
		return err
	}
	if err := writeSynced(peerTLS(dir).CertFile, g.Certificate); err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(g.Members), func(m mfa.Member) bool { return m.Name == s.Config.Name })
	if len(others) == 0 {
		return errors.New("the group's answer names no other server")
	}
	return roster{g.Group, g.Members}.write(dir, s.id)
}

// clear moves what a server had in its former group aside: its trail is evidence, and the
// rest may be wanted once more.
func (s *server) clear() error {
	dir := s.Config.DataDir
	to := filepath.Join(dir, leftDir, s.Now().UTC().Format("20060102-150405"))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case leftDir, leftName, "lost+found", "lock":
		case "ballast", socketName, indexDir:
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		default:
			err = errors.Join(err, os.Rename(filepath.Join(dir, e.Name()), filepath.Join(to, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, leftName)) // last: until now it can be done again
}
