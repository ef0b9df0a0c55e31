package node

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/console"
	"countersign/internal/deviceapi"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/portal"
	"countersign/internal/session"
	"countersign/internal/web"
)

// groupView is the group as the console shows it.
type groupView struct{ s *server }

// Overview implements console.Group.
func (g groupView) Overview(ctx context.Context) (group.Overview, error) { return g.s.overview(ctx) }

// assembleWeb makes what the pages need beside the use cases.
func (s *server) assembleWeb() {
	s.sessions = &session.Keeper{Server: s.Config.Name, Store: s.store, Now: s.Now, Log: s.log.Logger("session")}
	s.admin.Sessions, s.admin.Sealed, s.admin.Web = s.sessions, s.store, s.webURL
	s.enroll.Sessions, s.enroll.Portal = s.sessions, s.admin
	s.admin.Portal, s.admin.Notices, s.admin.Fraud = s.portalURL, s.store, s.fraud
}

// web is everything that is served over https, by the site that it is on: the API under its
// prefix, its description above that, console and portal.
func (s *server) web(api http.Handler) (map[string]http.Handler, error) {
	if s.witness { // it has no https
		return nil, nil
	}
	pages, err := console.New(console.Console{
		Server: s.Config.Name, GroupName: s.node.Group(), Version: s.Version, Admin: s.admin, Enroll: s.enroll, Engine: decider{s},
		Sessions: s.sessions, Group: groupView{s}, Seals: s.ring, Now: console.Clock(s.Now), Log: s.log.Logger("console"),
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	own, err := portal.New(portal.Portal{
		Server: s.Config.Name, GroupName: s.node.Group(), Admin: s.admin, Enroll: s.enroll, Engine: decider{s},
		Sessions: s.sessions, Seals: s.ring, Now: portal.Clock(s.Now), Log: s.log.Logger("portal"),
	})
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	devices := (&deviceapi.API{Approval: s.approval, Settings: s.store.Settings, Now: s.Now, Log: s.log.Logger("device")}).Handler()
	return s.spread(api, adminapi.Browse(s.log.Logger("api")), pages, own, devices, s.receipts()), nil
}

// fraud raises the alarm about a sign-in of which its user says that it was not theirs.
func (s *server) fraud(f mfa.Fraud) {
	s.metrics.disowned.Inc()
	s.own.Warn("a user says that a sign-in was not theirs", "user", f.User, "kept_out", f.Blocked, "said_by", f.Channel, "attempt", f.Attempt, "at", f.Time,
		"application", f.Application, "verdict", f.Verdict, "source", f.Source,
		"next", "look at the sign-ins of the user (countersign audit list --user), have the password changed, then countersign user unblock")
}

// actOnFraud is ReportFraud as the engine wants it.
func (s *server) actOnFraud(ctx context.Context, f mfa.Fraud) error {
	_, err := s.admin.ReportFraud(ctx, f)
	return err
}

// besideConsole leads people who look at the coordinator's port of a server to where its pages
// are: a coordinator inside a group has its portal in the group's own console.
func (s *server) besideConsole(h http.Handler) http.Handler {
	return web.OverTLS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // no ServeMux: it would put paths right that are to be refused
		if at := s.webURL(); at != "" && r.Method == http.MethodGet && r.URL.Path == "/" {
			http.Redirect(w, r, at+"/groups", http.StatusSeeOther)
			return
		}
		h.ServeHTTP(w, r)
	}))
}

const offerInterval = time.Second

// offerSetup prints, once, the link for the first administrator of a group that has none, on
// the server that is the master. It runs until ctx is done.
func (s *server) offerSetup(ctx context.Context) error {
	tick := time.NewTicker(offerInterval)
	defer tick.Stop()
	for printed := false; ; {
		if !printed && s.leads() {
			printed = !s.admin.SetupNeeded() || s.printSetup(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// printSetup prints a new link and reports whether it could. Into the journal it prints how to
// make one: whoever has the link becomes the owner.
func (s *server) printSetup(ctx context.Context) bool {
	what := "group"
	if s.colleagues != nil {
		what = "coordinator"
	}
	if journaled(s.Stdout, os.Getenv("JOURNAL_STREAM")) {
		fmt.Fprintf(s.Stdout, "This %s has no administrator yet. As root or as the user that this server runs as, make a link for the first one: countersign console link --data %s\n", what, s.Config.DataDir)
		return true
	}
	link, err := s.admin.SetupLink(ctx, "server "+s.Config.Name)
	if err != nil {
		s.own.Debug("no link for the first administrator yet", "error", err)
		return false
	}
	fmt.Fprintf(s.Stdout, "This %s has no administrator yet. Whoever opens this link first, until %s, becomes its owner:\n\n  %s\n\n"+
		"The certificate is of the %[1]s's own authority, %[4]s/%[5]s. Another link: countersign console link --data %[4]s\n",
		what, link.Expires.Local().Format("15:04"), link.Link.Expose(), s.Config.DataDir, caName)
	return true
}

// leads reports whether this server is the master and has its majority.
func (s *server) leads() bool {
	st, err := s.node.Status()
	return err == nil && st.Role == "master" && st.Quorum
}
