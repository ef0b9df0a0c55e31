package enroll

import (
	"context"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// Numbers returns the methods by which users may have a number of their own reached here: the
// policy lets them, and a gateway is there.
func (o Own) Numbers() (list []mfa.MethodID) {
	for _, m := range []mfa.MethodID{mfa.MethodCall, mfa.MethodSMS} {
		if o.s.Prover != nil && o.s.Settings().Self(selfService(m)) && o.s.Prover.Carries(m) {
			list = append(list, m)
		}
	}
	return list
}

// Mail reports whether users may have codes sent to their own mail address here.
func (o Own) Mail() bool {
	return o.s.Prover != nil && o.s.Settings().Self(policy.SelfEmail) && o.s.Prover.Carries(mfa.MethodEmail)
}

// NumberRequest asks for a number that calls or text messages reach.
type NumberRequest struct {
	Method   mfa.MethodID // MethodCall, MethodSMS, or MethodEmail for the address in the profile
	To       string       // as it was typed; for calls with an extension if there is one; not for MethodEmail
	Replaces string       // id of the number that the new one takes the place of, once it is proven; "": none
}

// BeginNumber has a code sent to a number, which serves nobody until ProveNumber has seen that
// code. One that was begun before, and not proven, goes. If the number was kept but the code not
// sent, Created.ID is set and the error holds the mfa.Reason.
func (o Own) BeginNumber(ctx context.Context, r NumberRequest) (Created, error) {
	if err := o.mayNumber(ctx, r.Method, r.Replaces); err != nil {
		return Created{}, err
	}
	if r.Method == mfa.MethodEmail { // which address is theirs others say
		r.To = ""
	}
	if err := o.s.dropUnproven(ctx, o.by.By, o.by.User); err != nil {
		return Created{}, err
	}
	return o.s.add(ctx, o.by, string(o.by.User), Request{Method: r.Method, To: r.To}, mfa.CredentialUnproven)
}

// mayNumber refuses methods that are not by number or not the user's own business, and to replace
// what is not a number of theirs.
func (o Own) mayNumber(ctx context.Context, m mfa.MethodID, replaces string) error {
	switch {
	case m == mfa.MethodEmail && replaces == "":
		return o.may(policy.SelfEmail)
	case m != mfa.MethodCall && m != mfa.MethodSMS:
		return invalid("method %q: want call or sms", m)
	}
	if err := o.may(selfService(m)); err != nil || replaces == "" {
		return err
	}
	old, err := o.mine(ctx, replaces)
	if err != nil {
		return err
	}
	if old.Method != m {
		return invalid("a %s does not take the place of a %s", m, old.Method)
	}
	return nil
}

// SendNumber has another code sent to a number that was begun with.
func (o Own) SendNumber(ctx context.Context, id string) (Sent, error) {
	c, err := o.mine(ctx, id)
	if err != nil {
		return Sent{}, err
	}
	if err := o.mayNumber(ctx, c.Method, ""); err != nil {
		return Sent{}, err
	}
	return o.s.Send(ctx, o.by.By, string(o.by.User), id)
}

// ProveNumber has a number serve after the code that was sent to it; invitations have served
// their purpose then, and the number that it takes the place of goes. For wrong codes see
// Service.Confirm.
func (o Own) ProveNumber(ctx context.Context, id, challenge string, code secret.Text, replaces string) (Credential, error) {
	c, err := o.mine(ctx, id)
	if err != nil {
		return Credential{}, err
	}
	if err := o.mayNumber(ctx, c.Method, replaces); err != nil {
		return Credential{}, err
	}
	proven, err := o.proven(ctx, id, Codes{Codes: []secret.Wire{{Text: code}}, Challenge: challenge})
	if err != nil || replaces == "" || replaces == id {
		return proven, err
	}
	if c.Method.Assurance() > o.by.Proven.Assurance() {
		o.by.Proven = c.Method
	}
	return proven, o.Remove(ctx, replaces)
}

// proven confirms a credential of the user's.
func (o Own) proven(ctx context.Context, id string, codes Codes) (Credential, error) {
	c, err := o.s.Confirm(ctx, o.by.By, string(o.by.User), id, codes)
	if err != nil {
		return c, err
	}
	return c, o.enrolled(ctx, c)
}

// enrolled is what comes of a factor that was just proven: the session is worth as much as it is,
// and invitations have served their purpose.
func (o Own) enrolled(ctx context.Context, c Credential) error {
	if o.s.Sessions != nil && o.by.Session != "" {
		if err := o.s.Sessions.Enrolled(ctx, o.by.Session, c.Method); err != nil {
			return err
		}
	}
	a, err := o.s.account(ctx, string(o.by.User))
	if err != nil {
		return err
	}
	return o.s.withdraw(ctx, o.by.By, a)
}

// Reaches reports whether a credential is a number or an address, whose name is made of that.
func (c Credential) Reaches() bool { return c.Method.Reaches() }

// selfNumber is what the policy calls it if users take care of numbers; ok is false for methods
// that are none.
func selfNumber(m mfa.MethodID) (word string, ok bool) {
	switch m {
	case mfa.MethodCall:
		return policy.SelfCall, true
	case mfa.MethodSMS:
		return policy.SelfSMS, true
	}
	return "", false
}
