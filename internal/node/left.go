package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"countersign/internal/mfa"
)

// leftName: this server has left its group; the folder can be activated again.
const leftName = "left.json"

// markLeft notes that the folder may be activated into another group.
func markLeft(dataDir, name string) error {
	return writeSynced(filepath.Join(dataDir, leftName), []byte(fmt.Sprintf("{\"group\": %q}\n", name)))
}

func hasLeft(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, leftName))
	return err == nil
}

// leaveAlone takes this server out of its group while no master answers, as one that is in the
// wrong group and cannot reach that does. The group has it on record until it is forgotten there.
func (s *server) leaveAlone(ctx context.Context, by string) error {
	detail := fmt.Sprintf("without a master; %d settlements of this server are not merged", s.store.Unmerged())
	act := mfa.Act{Time: s.Now(), Server: s.Config.Name, By: by, Verb: "group leave", Object: s.Config.Name, Detail: detail}
	if err := s.recorder().Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return err
	}
	if err := markLeft(s.Config.DataDir, s.node.Group()); err != nil {
		return err
	}
	s.own.Warn("this server has left its group without a master, and ends", "group", s.node.Group(), "by", by,
		"next", fmt.Sprintf("run `countersign group forget %s` on a server of that group", s.Config.Name))
	s.fail(fmt.Errorf("%w by its operator, without a master", errForgotten))
	return nil
}

// leaveAdvice says how name, if that is this server, leaves all the same.
func (s *server) leaveAdvice(name string) string {
	if name != s.Config.Name {
		return ""
	}
	return fmt.Sprintf(", or leave without with `countersign group leave --force` and have a server of that group run `countersign group forget %s`", name)
}

// Abandon gives up the activation of a machine whose server has never joined the group, if
// confirm agrees. A server that is still trying to join ends.
func Abandon(o Options, confirm func(name, group string) error) error {
	dir := o.Config.DataDir
	s := &server{Options: o}
	if hasLeft(dir) {
		return errLeft(o.Config)
	}
	if _, err := os.Stat(filepath.Join(dir, "epoch.json")); err == nil {
		return fmt.Errorf("%s holds a group's data: start its server (`countersign server%s`), which leaves while it runs", dir, s.configFlag())
	}
	id, err := loadIdentity(dir)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not activated into a group", dir)
	}
	if err != nil {
		return err
	}
	list, err := loadRoster(dir, id)
	if err != nil {
		return err
	}
	if len(list.Members) == 0 {
		return fmt.Errorf("%s is not activated into a group", dir)
	}
	if err := confirm(o.Config.Name, list.Group); err != nil {
		return err
	}
	return markLeft(dir, list.Group)
}
