package admintest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Trail is a trail in memory. Fail, if set, is what Append returns.
type Trail struct {
	Fail error

	mu       sync.Mutex
	acts     []mfa.Act
	attempts []mfa.Attempt
	tails    []chan mfa.Attempt
	listens  chan struct{} // gets one for each Tail that listens
}

// NewTrail returns an empty trail.
func NewTrail() *Trail { return &Trail{listens: make(chan struct{}, 16)} }

// Listening waits until somebody tails.
func (t *Trail) Listening() { <-t.listens }

// Append implements admin.Recorder.
func (t *Trail) Append(_ context.Context, records ...mfa.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Fail != nil {
		return t.Fail
	}
	for _, r := range records {
		if r.Act != nil {
			t.acts = append(t.acts, *r.Act)
		}
		if r.Attempt != nil {
			t.attempts = append(t.attempts, *r.Attempt)
			for _, c := range t.tails {
				c <- *r.Attempt
			}
		}
	}
	return nil
}

// Recorded returns the acts so far, oldest first.
func (t *Trail) Recorded() []mfa.Act {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.acts)
}

// Attempts implements admin.Audit, but for the cursor.
func (t *Trail) Attempts(_ context.Context, q admin.AuditQuery) (admin.AuditPage[mfa.Attempt], error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []mfa.Attempt
	for _, a := range slices.Backward(t.attempts) {
		if (q.User == "" || q.User == a.User) && (q.Login == "" || strings.EqualFold(q.Login, a.Login)) && (q.Server == "" || q.Server == a.Server) && (q.Application == "" || q.Application == a.Application) &&
			(q.Reason == "" || q.Reason == a.Reason.String()) && (q.Method == "" || q.Method == string(a.Method)) && (q.Verdict == "" || q.Verdict == a.Verdict.String()) &&
			(q.Until.IsZero() || a.Time.Before(q.Until)) && !a.Time.Before(q.Since) && len(out) < q.Limit {
			out = append(out, a)
		}
	}
	return admin.AuditPage[mfa.Attempt]{Records: out}, nil
}

// Acts implements admin.Audit, but for the cursor.
func (t *Trail) Acts(_ context.Context, q admin.AuditQuery) (admin.AuditPage[mfa.Act], error) {
	var out []mfa.Act
	for _, a := range slices.Backward(t.Recorded()) {
		if !a.Time.Before(q.Since) && len(out) < q.Limit {
			out = append(out, a)
		}
	}
	return admin.AuditPage[mfa.Act]{Records: out}, nil
}

// Ask implements admin.Audit: this server is alone.
func (t *Trail) Ask(_ context.Context, q admin.TrailQuestion) ([]admin.TrailAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := admin.TrailAnswer{Server: "nyc1"}
	switch {
	case q.Tally != nil:
		out.Tally = t.tally(*q.Tally)
	case q.People != nil:
		out.People = t.people(*q.People)
	default:
		for _, a := range t.attempts {
			if a.ID == q.Story {
				out.Story = append(out.Story, mfa.Record{Attempt: &a})
			}
		}
	}
	return []admin.TrailAnswer{out}, nil
}

func (t *Trail) tally(q admin.TallyQuery) []admin.TallyCount {
	sums := admin.Tally{}
	for _, a := range t.attempts {
		i := slices.IndexFunc(q.Edges, func(e time.Time) bool { return a.Time.Before(e) }) - 1
		if i >= 0 && (q.Application == "" || q.Application == a.Application) {
			sums.Add(admin.TallyCount{Span: i, Application: a.Application, Method: string(a.Method), Reason: uint16(a.Reason), Verdict: a.Verdict, Degraded: a.Degraded, N: 1})
		}
	}
	return sums.Counts()
}

func (t *Trail) people(q admin.PeopleQuery) (all []admin.Concerned) {
	for _, a := range t.attempts {
		if !slices.Contains(q.Reasons, a.Reason) && (q.Method == "" || string(a.Method) != q.Method || a.Reason != mfa.OK) ||
			a.Time.Before(q.Since) || !a.Time.Before(q.Until) || q.Application != "" && q.Application != a.Application {
			continue
		}
		all = append(all, admin.Concerned{User: a.User, Login: a.Login, Application: a.Application, Method: string(a.Method), Reason: a.Reason.String(), Count: 1, Last: a.Time})
	}
	return all
}

// Tail implements admin.Audit.
func (t *Trail) Tail(ctx context.Context, yield func(mfa.Attempt) bool) error {
	c := make(chan mfa.Attempt, 16)
	t.mu.Lock()
	t.tails = append(t.tails, c)
	t.mu.Unlock()
	t.listens <- struct{}{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a := <-c:
			if !yield(a) {
				return nil
			}
		}
	}
}

// Verify implements admin.Audit.
func (t *Trail) Verify(context.Context) (admin.AuditVerification, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return admin.AuditVerification{OK: true, Records: int64(len(t.acts) + len(t.attempts)), Files: 1, Head: "00ff"}, nil
}

// Node is a server of which everything is well, but for Checks.
type Node struct {
	Now    func() time.Time
	Checks []admin.Check
	Alarms []admin.Alarm // of Status
	Break  bool          // Backup ends in the middle
	Stuck  bool          // the old master keeps its vote after a promotion
	Lost   bool          // no master answers
	Early  bool          // and no alarm says so yet
	Alone  bool          // there is no other server
	Behind bool          // another server is fresher, so that only force begins an epoch here

	mu       sync.Mutex
	levels   []string
	promoted bool   // nyc2 is the master
	epochs   uint64 // begun by a promotion
	forced   bool   // it left by force
}

// lost is the alarm of a master that does not answer; none while Early.
func (n *Node) lost() []admin.Alarm {
	if n.Early {
		return nil
	}
	return []admin.Alarm{{Name: "no_master", Server: "nyc2", Detail: "nyc2 does not answer", NextStep: "start nyc2", Since: n.Now()}}
}

// Status implements admin.Node.
func (n *Node) Status(context.Context) (admin.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Lost {
		return admin.Status{Name: "nyc1", Group: "acme", Role: "replica", Epoch: 1 + n.epochs, Degraded: true, Since: n.Now(), Revision: 7, Version: "1.0",
			Alarms:  append(slices.Clone(n.Alarms), n.lost()...),
			Members: []admin.Member{{Name: "nyc1", Role: "replica", Reachable: true, Revision: 7, Version: "1.0"}, {Name: "nyc2", Role: "master", Voter: true}}}, nil
	}
	return admin.Status{Name: "nyc1", Group: "acme", Role: "master", Epoch: 1 + n.epochs, Master: "nyc1", Since: n.Now(), Revision: 7, Version: "1.0",
		Members: []admin.Member{{Name: "nyc1", Role: "master", Voter: true, Reachable: true, Revision: 7, Version: "1.0"}},
		Alarms:  n.Alarms,
		Fronts:  []admin.FrontEnd{{Kind: "radius", Address: "127.0.0.1:1812", OK: true}}}, nil
}

// Servers implements admin.Group.
func (n *Node) Servers(ctx context.Context) ([]admin.Member, error) {
	st, err := n.Status(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.promoted {
		return []admin.Member{{Name: "nyc1", Role: "replica", Voter: n.Stuck, Reachable: true}, {Name: "nyc2", Role: "master", Voter: true, Reachable: true}}, err
	}
	return st.Members, err
}

// CreateActivation implements admin.Group.
func (n *Node) CreateActivation(_ context.Context, _, role string, life time.Duration) (secret.Text, time.Time, error) {
	return secret.FromString("AAAAA-BBBBB"), n.Now().Add(life), nil
}

// Forget implements admin.Group: the group has nyc2 beside this server.
func (n *Node) Forget(_ context.Context, _, name string) error {
	if name != "nyc2" {
		return fmt.Errorf("no server named %s is in the group: %w", name, mfa.ErrNotFound)
	}
	return nil
}

// Promote implements admin.Group: nyc1 has the only vote, and nyc2 can take over.
func (n *Node) Promote(_ context.Context, _, to string, dry bool) (mfa.Promotion, error) {
	switch {
	case n.Lost:
		return mfa.Promotion{}, fmt.Errorf("no master answers that could hand over: %w", mfa.ErrUnavailable)
	case n.Alone:
		return mfa.Promotion{}, fmt.Errorf("%w: nyc1 is the only server of the group, so nobody can take over", mfa.ErrInvalid)
	}
	p := mfa.Promotion{Group: "acme", Epoch: 1, OldMaster: "nyc1", NewMaster: cmp.Or(to, "nyc2"), LastRevisionHeard: 7, DryRun: dry, Swap: true}
	switch {
	case to == "nyc1":
		p.Swap = false
	case p.NewMaster != "nyc2":
		return p, fmt.Errorf("no server named %s is in the group: %w", to, mfa.ErrNotFound)
	case !dry:
		p.Settling, p.WriteGapMS = true, 104.5
		p.Steps = []mfa.PromotionStep{{Step: "vote", Server: "nyc2", DurationMS: 30}, {Step: "move", Server: "nyc2", DurationMS: 104.5}}
		n.mu.Lock()
		n.promoted = true
		n.mu.Unlock()
	}
	return p, nil
}

// PromoteDisaster implements admin.Group: nyc1 has lost its master nyc2.
func (n *Node) PromoteDisaster(_ context.Context, _, confirm string, force, dry bool) (mfa.DisasterPromotion, error) {
	risk := int64(2)
	p := mfa.DisasterPromotion{Group: "acme", Epoch: 1, NewEpoch: 2, OldMaster: "nyc2", NewMaster: "nyc1", WritesAtRisk: &risk, Confirm: "acme/1", Unconfirmed: true, DryRun: dry,
		Known: []string{"server nyc3 answers"}, NotKnown: []string{"what nyc2 wrote"}, Awaits: []string{"nyc2"}}
	if n.Behind && !force {
		return p, fmt.Errorf("%w: not promoted, nothing was changed: server nyc3 is fresher: promote that one", mfa.ErrInvalid)
	}
	if !dry && confirm != p.Confirm {
		return p, fmt.Errorf("confirmed was %q, but what ends is acme/1: nothing was changed: %w", confirm, mfa.ErrInvalid)
	}
	if !dry {
		n.mu.Lock()
		n.epochs++
		n.mu.Unlock()
	}
	return p, nil
}

// ReleaseHold implements admin.Group.
func (n *Node) ReleaseHold(context.Context, string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.epochs == 0 {
		return nil, fmt.Errorf("nothing is held back: %w", mfa.ErrNotFound)
	}
	return []string{"nyc2"}, nil
}

// Leave implements admin.Group.
func (n *Node) Leave(_ context.Context, _ string, force bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forced = force
	return nil
}

// Forced reports whether the server has left by force.
func (n *Node) Forced() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.forced
}

// Doctor implements admin.Node.
func (n *Node) Doctor(context.Context) admin.CheckList {
	return admin.CheckList{SignIns: admin.Works{OK: true, Detail: "work"}, Changes: admin.Works{Detail: "are refused: no master"}, Checks: n.Checks}
}

// TestDirectory implements admin.DirectoryTester.
func (n *Node) TestDirectory(_ context.Context, d mfa.Directory, _ string, _ secret.Text) []admin.Check {
	return []admin.Check{{Name: "connect", Target: d.URLs[0], Layer: "tcp", OK: true, Detail: "connected"},
		{Name: "tls", Target: d.URLs[0], Layer: "tls", OK: true, Warning: true, Detail: "expires soon"}}
}

// SetLogLevel implements admin.Node.
func (n *Node) SetLogLevel(component, level string, during time.Duration) error {
	if component == "nonsense" {
		return errors.New("component nonsense: there is none of that name")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.levels = append(n.levels, component+"="+level+" "+during.String())
	return nil
}

// Levels returns what was set: "radius=debug 15m0s".
func (n *Node) Levels() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.levels)
}

// Backup implements admin.Node.
func (n *Node) Backup(_ context.Context, _ secret.Text, w io.Writer) error {
	if _, err := io.WriteString(w, "a backup"); err != nil {
		return err
	}
	if n.Break {
		return errors.New("the disk went away")
	}
	return nil
}

// Passwords hashes nothing: it marks.
type Passwords struct{}

// Hash implements admin.Passwords.
func (Passwords) Hash(_ context.Context, p secret.Text) (secret.Text, error) {
	return secret.FromString("hash of " + string(p.Expose())), nil
}

// MatchPIN implements admin.PINs.
func (Passwords) MatchPIN(_ context.Context, _ mfa.UserID, hash, pin secret.Text) (bool, error) {
	return string(hash.Expose()) == "hash of "+string(pin.Expose()), nil
}

// CheckHash implements admin.Passwords.
func (Passwords) CheckHash(h secret.Text) error {
	if h.Len() == 0 || h.Expose()[0] != '$' {
		return errors.New("the hash is of no kind that is known")
	}
	return nil
}

// Engine answers as its function does.
type Engine func(mfa.Request) mfa.Decision

// Authenticate implements mfa.Authenticator.
func (e Engine) Authenticate(_ context.Context, r mfa.Request) (mfa.Decision, error) {
	return e(r), nil
}

// Digests are SHA-256, of which nothing is secret.
type Digests struct{}

// DigestOf implements admin.Digests.
func (Digests) DigestOf(purpose, value string) [32]byte {
	return sha256.Sum256([]byte(purpose + "\n" + value))
}

// Admin returns a service on m, t and n.
func Admin(m *Memory, t *Trail, n *Node, engine mfa.Authenticator) *admin.Service {
	return &admin.Service{Server: "nyc1", Users: m, Credentials: m, Applications: m, Directories: m, Gateways: m, Recordings: m, Messenger: n, APITokens: m, Administrators: m, Settings: m,
		Keys: m, Radius: m, Trail: t, Audit: t, Node: n, Group: n, Parked: &Parked{}, Sealed: &Sealed{}, Tests: n, Passwords: Passwords{}, PINs: Passwords{}, Engine: engine, Decider: engine, Digests: Digests{}, Now: n.Now}
}
