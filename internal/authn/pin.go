package authn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// sentLength is the length of a code that is sent, in digits.
const sentLength = 6

// pins is what an attempt's answers need in front of their codes. The zero value needs nothing.
type pins struct {
	cred *mfa.Credential // the user's PIN, if need
	need bool
	why  mfa.Reason      // why it does not serve though it is right; mfa.ReasonNone: it does
	seen map[string]bool // what was judged already, as an answer may be cut in several ways
}

// pins returns what a's user needs, as its account and the rules are.
func (e *Engine) pins(a *attempt) *pins {
	p := &pins{}
	if a.ruling.PIN == policy.No {
		return p
	}
	for i := range a.acct.Credentials {
		if c := &a.acct.Credentials[i]; c.Method == mfa.MethodPIN && !c.Disabled {
			p.cred, p.need = c, true
		}
	}
	if p.need && !policy.ChangesPIN(a.base) { // which is where it is changed
		switch days := a.set.PINDays; {
		case p.cred.MustChange:
			p.why = mfa.PINMustChange
		case days > 0 && !e.Now().Before(p.cred.Confirmed.Add(time.Duration(days)*24*time.Hour)):
			p.why = mfa.PINExpired
		}
	}
	return p
}

// withPIN returns those of usable that a user without a PIN may use (see policy.Ruling.WithPIN).
func (e *Engine) withPIN(a *attempt, acct settlement.Account, usable []mfa.Credential) ([]mfa.Credential, mfa.Reason) {
	return a.ruling.WithPIN(a.base, acct.Credentials, usable)
}

// wanted reports whether a PIN goes with c.
func (p *pins) wanted(c mfa.Credential) bool { return p.need && c.Method.TakesPIN() }

// length is how many characters c's codes have with the PIN; code is how many without.
func (p *pins) length(c mfa.Credential, code int) int {
	if code > 0 && p.wanted(c) {
		return code + p.cred.Digits
	}
	return code
}

// codeLength is the length of c's codes, of those that are sent too.
func (e *Engine) codeLength(c mfa.Credential) int {
	if c.Method.Sends() {
		return sentLength
	}
	return e.CodeLength(c)
}

// split cuts an answer into code and PIN. Spaces and dashes count for nothing where a PIN is
// wanted, and an answer that is too short has none.
func (p *pins) split(c mfa.Credential, length int, answer secret.Text) (code, pin secret.Text) {
	if !p.wanted(c) || length <= 0 || answer.Len() > 64 {
		return answer, secret.Text{}
	}
	b := bytes.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, expose(answer))
	cut := max(len(b)-length, 0)
	return secret.New(b[cut:]), secret.New(b[:cut])
}

// judge says what is wrong with the PIN in front of a code of c, or mfa.ReasonNone. It takes as
// long for a code that is wrong: nobody learns which of the two was.
func (p *pins) judge(ctx context.Context, e *Engine, c mfa.Credential, pin secret.Text) (mfa.Reason, error) {
	if !p.wanted(c) {
		return mfa.ReasonNone, nil
	}
	if e.PIN == nil {
		return mfa.WrongPIN, errors.New("this server judges no PINs")
	}
	typed := string(expose(pin))
	right, known := p.seen[typed]
	if !known {
		current, _, _ := bytes.Cut(expose(p.cred.Secret), []byte("\n"))
		var err error
		if right, err = e.PIN(ctx, c.User, secret.New(current), pin); err != nil {
			return mfa.WrongPIN, fmt.Errorf("PIN of user %s: %w", c.User, err)
		}
		if p.seen == nil {
			p.seen = map[string]bool{}
		}
		p.seen[typed] = right
	}
	if !right {
		return mfa.WrongPIN, nil
	}
	return p.why, nil
}
