package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// A pass is a way around a factor, and with policy pass_approval it takes two: it serves nobody
// before somebody else than its issuer has approved it. Who is somebody else is told by user id.

// WaitingPass is one that awaits its approval.
type WaitingPass struct {
	Login string     `json:"login"`
	User  mfa.UserID `json:"user"`
	Credential
	Own bool `json:"own,omitempty" doc:"the caller cannot approve it: it is theirs, they have issued it, or they may issue none"`
}

// WaitingPasses are all of them on whose users the caller may decide, the newest first.
type WaitingPasses struct {
	Passes []WaitingPass `json:"passes"`
}

// approver is who approved a pass; "": nobody has yet.
func approver(c mfa.Credential) string {
	if c.Approver == "" && !c.Awaits {
		return c.By // nobody else had to
	}
	return c.Approver
}

// approval says it for the trail.
func approval(c mfa.Credential) string {
	if c.Awaits {
		return ", issued by " + c.By + ", awaiting its approval"
	}
	return ", issued by " + c.By + ", approved by " + approver(c)
}

// mayApprove says why the caller may not approve a pass; nil: they may.
func (d Desk) mayApprove(c mfa.Credential) error {
	switch {
	case d.by.User == "" && !d.by.Can(mfa.MayOwn):
		return fmt.Errorf("%s: a pass is approved by an administrator, and a token is none: %w", d.by.By, mfa.ErrForbidden)
	case d.by.User != "" && d.by.User == c.User:
		return fmt.Errorf("%s: this pass is for yourself, and another administrator approves it: %w", d.by.By, mfa.ErrForbidden)
	case d.by.User == c.Issuer && c.Issuer == "":
		return fmt.Errorf("%s: this pass was issued by %s, so it is approved by an administrator who is signed in to the console: %w", d.by.By, c.By, mfa.ErrForbidden)
	case d.by.User == c.Issuer:
		return fmt.Errorf("%s: you have issued this pass, and another administrator approves it: %w", d.by.By, mfa.ErrForbidden)
	}
	return nil
}

// ApprovePass lets a pass serve that somebody else has issued.
func (d Desk) ApprovePass(ctx context.Context, login, id string) (Credential, error) {
	u, err := d.allowed(ctx, login, mfa.MayIssuePass)
	if err != nil {
		return Credential{}, err
	}
	a, c, err := d.s.find(ctx, string(u.ID), id)
	if err != nil {
		return Credential{}, err
	}
	if c.Method != mfa.MethodTAP {
		return Credential{}, invalid("%s %s of %s: a temporary pass is approved, nothing else", c.Method, c.ID, a.User.Login)
	}
	c, err = d.s.Store.UpdateCredential(ctx, a.User.ID, c.ID, func(c *mfa.Credential) error {
		switch {
		case !c.Awaits:
			return invalid("pass %s of %s awaits no approval: it was approved by %s", c.ID, a.User.Login, approver(*c))
		case !d.s.Now().Before(c.Expires):
			return invalid("pass %s of %s expired at %s: issue another one", c.ID, a.User.Login, c.Expires.UTC().Format(time.RFC3339))
		}
		if err := d.mayApprove(*c); err != nil {
			return err
		}
		c.Awaits, c.Approver = false, d.by.By
		return nil
	})
	if err != nil {
		return Credential{}, err
	}
	return d.s.view(c, a.Record.Floors.Of(c.ID)), d.s.record(ctx, d.by.By, "credential approve", a.User, d.s.describe(c))
}

// WaitingPasses lists those that await their approval.
func (d Desk) WaitingPasses(ctx context.Context) (WaitingPasses, error) {
	out := WaitingPasses{Passes: []WaitingPass{}}
	if !d.by.Can(mfa.MayIssuePass) && !d.by.Can(mfa.MayReadUsers) {
		return out, d.by.Lacks(mfa.MayIssuePass)
	}
	all, err := d.s.Store.AwaitingPasses(ctx)
	if err != nil {
		return out, err
	}
	for _, c := range all {
		if !d.s.Now().Before(c.Expires) {
			continue
		}
		u, err := d.allowed(ctx, string(c.User), mfa.MayIssuePass, mfa.MayReadUsers)
		switch {
		case errors.Is(err, mfa.ErrForbidden), errors.Is(err, mfa.ErrNotFound): // not theirs to know
		case err != nil:
			return out, err
		default:
			out.Passes = append(out.Passes, WaitingPass{u.Login, u.ID, d.s.view(c, mfa.Floor{}), d.mayApprove(c) != nil || !d.by.Can(mfa.MayIssuePass)})
		}
	}
	slices.SortStableFunc(out.Passes, func(a, b WaitingPass) int { return b.Created.Compare(a.Created) })
	return out, nil
}
