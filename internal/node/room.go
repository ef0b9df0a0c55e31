package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/admin"
	"countersign/internal/adminapi"
	"countersign/internal/cluster"
	"countersign/internal/mfa"
)

// room is what a server shows on its socket and its port for health while it joins its group
// and has no database, so that status and doctor answer then too.
type room struct {
	*server
	since time.Time
}

// openRoom opens it until the function that it returns is called. A server that serves already
// shows what it does itself. That it cannot be opened is no reason not to join.
func (s *server) openRoom(ctx context.Context) (closed func()) {
	nothing := func() {}
	if s.bound.Socket != "" {
		return nothing
	}
	path := SocketPath(s.Config.DataDir)
	if c, err := net.Dial("unix", path); err == nil { // of another process on this folder, which finds that out
		_ = c.Close()
		return nothing
	}
	socket, err := adminapi.ListenSocket(path)
	if err != nil {
		s.own.Warn("status and doctor do not answer while this server joins", "error", err)
		return nothing
	}
	health, err := s.listenTCP("listen.metrics", s.Config.Listen.Metrics)
	if err != nil {
		s.own.Warn("/health does not answer while this server joins", "error", err)
	}
	r := room{s, s.Now()}
	stage := newStage(ctx, func(err error) { s.own.Warn("a port of a server that joins has ended", "error", err) })
	api := adminapi.NewRoom(r, s.Version, r.missing, s.log.Logger("api"))
	stage.run("admin socket", func(ctx context.Context) error { return adminapi.Serve(ctx, socket, api, s.log.Logger("http")) })
	if health != nil {
		mux := healthMux(newMetrics(), func() []string { return []string{r.missing().Error()} }, func() []string { return nil })
		stage.run("metrics", func(ctx context.Context) error { return adminapi.Serve(ctx, health, mux, s.log.Logger("http")) })
	}
	return func() { _ = stage.stop() }
}

// missing says what this server is doing.
func (r room) missing() error {
	if _, err := os.Stat(filepath.Join(r.Config.DataDir, "epoch.json")); err == nil {
		return fmt.Errorf("this server is joining its group %s again since %s, and decides nothing meanwhile: `countersign doctor` says what is in the way: %w",
			r.peers.roster.Load().Group, r.since.UTC().Format(time.RFC3339), mfa.ErrUnavailable)
	}
	return fmt.Errorf("this server is joining its group %s since %s and has no data yet: `countersign status` says how far it is, and `countersign doctor` what is in the way: %w",
		r.peers.roster.Load().Group, r.since.UTC().Format(time.RFC3339), mfa.ErrUnavailable)
}

// Status implements adminapi.Room.
func (r room) Status(context.Context) (admin.Status, error) {
	a := admin.Status{Name: r.Config.Name, Group: r.peers.roster.Load().Group, Role: "joining", Degraded: true, Since: r.since, Started: r.started,
		Version: r.Version, Alarms: []admin.Alarm{}, Fronts: []admin.FrontEnd{}, Warnings: []string{"this server is joining its group, and signs nobody in until it has the group's data"}}
	if n := r.peers.live.Load(); n != nil {
		a.Epoch = n.Epoch()
		if st, err := n.Status(); err == nil {
			a.Revision = st.Revision
		}
	} else if f, err := cluster.Look(r.clusterOptions()); err == nil {
		a.Epoch = f.Epoch
	}
	if why := r.inVain.Load(); why != nil {
		a.Warnings = append(a.Warnings, "the last try to join: "+(*why).Error())
	}
	a.Members = []admin.Member{}
	for _, m := range r.peers.members() {
		a.Members = append(a.Members, admin.Member{Name: m.Name, Role: votesOnly("replica", m.Role), Peer: m.Peer, Version: m.Version})
	}
	for i := range a.Members {
		if a.Members[i].Name == r.Config.Name {
			a.Members[i].Role, a.Members[i].Reachable = "joining", true
		}
	}
	return a, nil
}

// Doctor implements adminapi.Room.
func (r room) Doctor(ctx context.Context) (admin.CheckList, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	return r.joiningDoctor(ctx).Judged(), nil
}

// Leave implements adminapi.Room: as Abandon, for a server that still tries.
func (r room) Leave(_ context.Context, by string, in admin.LeaveRequest) (admin.Removed, error) {
	out := admin.Removed{Removed: r.Config.Name}
	dir, name := r.Config.DataDir, r.peers.roster.Load().Group
	if _, err := os.Stat(filepath.Join(dir, "epoch.json")); err == nil {
		return out, fmt.Errorf("%w: this server has been in group %s, and is joining it again: let it reach a master and leave then; or have a server there run `countersign group forget %s`: this one ends when it hears of that",
			mfa.ErrInvalid, name, r.Config.Name)
	}
	if !in.Force {
		return out, fmt.Errorf("%w: this server has not joined group %s yet: give its activation up with `countersign group leave --force`, and have a server there run `countersign group forget %s`", mfa.ErrInvalid, name, r.Config.Name)
	}
	if err := markLeft(dir, name); err != nil {
		return out, err
	}
	r.own.Warn("the activation was given up", "group", name, "by", by)
	return out, nil
}
