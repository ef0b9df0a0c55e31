package coordinator

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// The paths that an independent coordinator has besides.
const (
	PathReport  = Prefix + "report"
	PathIssue   = Prefix + "issue"
	PathJoining = Prefix + "joining-code"
	PathLetters = Prefix + "letters"
	PathReply   = Prefix + "reply"
	PathGrant   = Prefix + "grant"
)

// GroupHeader names the group of a server that calls, beside its certificate.
const GroupHeader = "X-Countersign-Group"

const (
	letterWait = 20 * time.Second // that a server waits for letters with one call
	answerWait = 25 * time.Second // that a new server waits for its group's master
)

// JoiningCode is the body of PathJoining.
type JoiningCode struct {
	Digest  string    `json:"digest"` // group.CodeDigest
	Expires time.Time `json:"expires"`
}

// SignedGrant is an epoch grant with the signature of the coordinator's CA.
type SignedGrant struct {
	Grant     json.RawMessage `json:"grant"`
	Signature []byte          `json:"signature"`
}

// purposeGrant is what the CA signs a grant for.
const purposeGrant = "epoch grant"

// OpenBy checks the signature by the CA's certificate.
func (g SignedGrant) OpenBy(ca *x509.Certificate) (registry.Grant, error) {
	var out registry.Grant
	if err := pki.VerifyMessage(ca, purposeGrant, g.Grant, g.Signature); err != nil {
		return out, fmt.Errorf("%w: epoch grant: %w", mfa.ErrInvalid, err)
	}
	if err := json.Unmarshal(g.Grant, &out); err != nil {
		return registry.Grant{}, fmt.Errorf("%w: epoch grant: %w", mfa.ErrInvalid, err)
	}
	return out, nil
}

// independent serves an independent coordinator.
type independent struct {
	r      *registry.Service
	own    *group.Service
	limit  *sources // of strangers
	ending <-chan struct{}
}

// Independent serves the paths of an independent coordinator. Servers show the certificate
// that it has issued to them; what it answers to strangers is limited. own admits further
// coordinators (nil: there are none). When ending is closed (nil: never), those who wait are
// sent away.
func Independent(r *registry.Service, own *group.Service, ending <-chan struct{}) http.Handler {
	c := &independent{r, own, newSources(), ending}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathPreview, c.stranger(r.PreviewFounding, (*group.Service).Preview))
	mux.HandleFunc("POST "+PathActivate, c.stranger(r.Found, (*group.Service).Activate))
	mux.HandleFunc("GET "+PathMaster, c.master)
	serve(c, mux, PathReport, func(ctx context.Context, from registry.Server, in registry.Heartbeat) (any, error) {
		st, err := r.Report(ctx, from, address(ctx), in)
		if err != nil {
			return nil, err
		}
		return SignBy(r.CA, standing(st))
	})
	serve(c, mux, PathIssue, func(ctx context.Context, from registry.Server, in registry.IssueRequest) (any, error) {
		return r.Issue(ctx, from, in)
	})
	serve(c, mux, PathJoining, func(ctx context.Context, from registry.Server, in JoiningCode) (any, error) {
		return struct{}{}, r.AnnounceJoining(ctx, from, in.Digest, in.Expires)
	})
	serve(c, mux, PathLetters, func(ctx context.Context, from registry.Server, _ struct{}) (any, error) {
		ctx, cancel := c.patience(ctx, letterWait)
		defer cancel()
		return r.Next(ctx, from)
	})
	serve(c, mux, PathReply, func(_ context.Context, from registry.Server, in registry.Reply) (any, error) {
		return struct{}{}, r.Deliver(from, in)
	})
	serve(c, mux, PathGrant, func(ctx context.Context, from registry.Server, in registry.GrantRequest) (any, error) {
		g, err := r.Grant(ctx, from, in)
		if err != nil {
			return nil, err
		}
		return signGrant(r.CA, g)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		group.WriteAnswer(w, nil, fmt.Errorf("%s: %w", r.URL.Path, mfa.ErrNotFound))
	})
	return mux
}

// patience is how long somebody may wait.
func (c *independent) patience(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	go func() {
		select {
		case <-c.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func signGrant(ca pki.CA, g registry.Grant) (SignedGrant, error) {
	b, err := json.Marshal(g)
	if err != nil {
		return SignedGrant{}, err
	}
	sig, err := ca.SignMessage(purposeGrant, b)
	return SignedGrant{b, sig}, err
}

func standing(s registry.Standing) Standing {
	return Standing{Group: s.Group, Epoch: s.Epoch, Name: s.Master, Time: s.Time, By: s.Coordinator, Last: s.Last, Since: s.Since, DecidedBy: s.DecidedBy, Coordinators: s.Addresses}
}

// stranger serves an activation code: one that founds a group here, one that joins a group
// by passing it on to that group's master, one that admits another coordinator.
func (c *independent) stranger(found func(context.Context, group.Request) (group.Proven, error), colleague func(*group.Service, context.Context, group.Request) (group.Proven, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in group.Request
		err := group.ReadBody(r, &in)
		if err == nil {
			err = in.Check()
		}
		if err == nil && !c.limit.allow(introduced(r).address) {
			err = errBusy
		}
		if err != nil {
			group.WriteAnswer(w, nil, err)
			return
		}
		if in.Role == mfa.RoleCoordinator {
			p, err := group.Proven{}, ErrAlone
			if c.own != nil {
				p, err = colleague(c.own, r.Context(), in)
			}
			group.WriteAnswer(w, p, err)
			return
		}
		founds, err := c.r.Founds(r.Context(), in.Code)
		switch {
		case err != nil:
			group.WriteAnswer(w, nil, err)
		case founds || in.Role == group.RoleFounder:
			p, err := found(r.Context(), in)
			group.WriteAnswer(w, p, err)
		default:
			c.pass(w, r, in)
		}
	}
}

// ErrAlone: there is no port between coordinators.
var ErrAlone = fmt.Errorf("%w: this coordinator has no port for others of its kind: set listen.peer in its node file and restart it", mfa.ErrInvalid)

// pass has the group's master answer.
func (c *independent) pass(w http.ResponseWriter, r *http.Request, in group.Request) {
	name, err := c.r.GroupOf(r.Context(), in.Code)
	var body []byte
	if err == nil {
		body, err = json.Marshal(in)
	}
	var a registry.Reply
	if err == nil {
		ctx, cancel := c.patience(r.Context(), answerWait)
		defer cancel()
		a, err = c.r.Ask(ctx, name, registry.Letter{Path: r.URL.Path, Body: body, From: introduced(r).address})
	}
	if err != nil {
		group.WriteAnswer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

func (c *independent) master(w http.ResponseWriter, r *http.Request) {
	st, err := c.r.Master(r.Context(), r.URL.Query().Get("group"))
	if err != nil {
		group.WriteAnswer(w, nil, err)
		return
	}
	s, err := SignBy(c.r.CA, standing(st))
	group.WriteAnswer(w, s, err)
}

type addressKey struct{}

// address is where the caller calls from.
func address(ctx context.Context) string {
	a, _ := ctx.Value(addressKey{}).(string)
	return a
}

// serve lets a path be reached by servers on record only.
func serve[In any](c *independent, mux *http.ServeMux, path string, do func(ctx context.Context, from registry.Server, in In) (any, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		var out any
		who := introduced(r)
		from, err := c.r.Caller(r.Context(), r.Header.Get(GroupHeader), who.name, who.key)
		if err == nil {
			err = who.current(w, path)
		}
		if err == nil {
			err = group.ReadBody(r, &in)
		}
		if err == nil {
			out, err = do(context.WithValue(r.Context(), addressKey{}, who.address), from, in)
		}
		group.WriteAnswer(w, out, err)
	})
}

// ServeLetter has the master's own handler answer a letter.
func ServeLetter(ctx context.Context, h http.Handler, l registry.Letter) (registry.Reply, error) {
	if l.Path != PathPreview && l.Path != PathActivate { // nothing else is a stranger's to ask
		return registry.Reply{}, fmt.Errorf("%w: a letter for %q", mfa.ErrInvalid, l.Path)
	}
	w := &answerRecorder{header: http.Header{}, status: http.StatusOK}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Path, bytes.NewReader(l.Body))
	if err != nil {
		return registry.Reply{}, err
	}
	r.RemoteAddr = l.From
	h.ServeHTTP(w, r)
	return registry.Reply{ID: l.ID, Status: w.status, Body: w.body}, nil
}

// answerRecorder keeps an answer.
type answerRecorder struct {
	header http.Header
	status int
	body   []byte
}

func (a *answerRecorder) Header() http.Header { return a.header }
func (a *answerRecorder) WriteHeader(s int)   { a.status = s }
func (a *answerRecorder) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}
