package node

import (
	"context"
	"fmt"

	"countersign/internal/admin"
	"countersign/internal/directory"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/secret"
	"countersign/internal/trail"
)

// directoryTest is package directory's test as package admin wants it.
type directoryTest struct{}

// TestDirectory implements admin.DirectoryTester.
func (directoryTest) TestDirectory(ctx context.Context, d mfa.Directory, login string, password secret.Text) []admin.Check {
	return checks(directory.Test(ctx, d, login, password))
}

func checks(steps []directory.Step) []admin.Check {
	var all []admin.Check
	for _, s := range steps {
		all = append(all, admin.Check{Name: s.Name, Target: s.Target, Layer: s.Layer, OK: s.OK, Detail: s.Detail, NextStep: s.NextStep})
	}
	return all
}

// audit is the trail and its index as package admin wants them, with those of the group's
// other servers.
type audit struct {
	server  string
	others  func(acts bool) []mfa.Member // whose trails are asked too; nil: there is only this server
	ask     func(ctx context.Context, m mfa.Member, q peer.TrailQuery) (peer.TrailPage, error)
	figures func(ctx context.Context, m mfa.Member, q admin.TrailQuestion) (admin.TrailAnswer, error)
	trail   *trail.Trail
	index   *trail.Index
	dir     string
	head    func(ctx context.Context) (trail.Position, error) // saved last
	lost    func(ctx context.Context) ([]lostHead, error)     // saved before it, and missing since
}

// Tail implements admin.Audit.
func (a audit) Tail(ctx context.Context, yield func(mfa.Attempt) bool) error {
	return a.trail.Follow(ctx, a.trail.Head(), func(_ trail.Position, r mfa.Record) error {
		if r.Attempt != nil && !yield(*r.Attempt) {
			return context.Canceled
		}
		return nil
	})
}

// Verify implements admin.Audit.
func (a audit) Verify(ctx context.Context) (admin.AuditVerification, error) {
	head, err := a.head(ctx)
	if err != nil {
		return admin.AuditVerification{}, fmt.Errorf("audit: read the head saved in the database: %w", err)
	}
	r, err := trail.Verify(ctx, a.dir, trail.VerifyOptions{Head: head})
	if err != nil {
		return admin.AuditVerification{}, fmt.Errorf("audit: %w", err)
	}
	lost, err := a.lost(ctx)
	if err != nil {
		return admin.AuditVerification{}, fmt.Errorf("audit: read what was found missing at earlier starts: %w", err)
	}
	var problems []string
	for _, p := range r.Problems {
		problems = append(problems, p.String())
	}
	for _, l := range lost {
		problems = append(problems, l.String())
	}
	v := admin.AuditVerification{OK: len(problems) == 0, Records: int64(r.Records), Files: r.Segments, First: r.From, Last: r.To, Head: r.Last.Hash.String()}
	if !v.OK {
		v.Problem = problems[0]
		if more := len(problems) - 1 + r.More; more > 0 {
			v.Problem += fmt.Sprintf(" (and %d more)", more)
		}
	}
	return v, nil
}
