package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// extensionSign stands between a number and the extension that is dialled once somebody picks up.
const extensionSign = "x"

// ProofLife is how long a code that proves a number or an address is good.
const ProofLife = 10 * time.Minute

// Prover sends codes that prove numbers and addresses. What goes with a code is sealed, so
// that any server of the group can check it.
type Prover interface {
	// SendProof sends a code to c's number or address; the message says what it is for; "": that it is to be
	// read out to the help desk. The error holds the mfa.Reason why not.
	SendProof(ctx context.Context, c mfa.Credential, application string, life time.Duration) (challenge string, err error)
	// CheckProof compares a code with what was sent, for the same application or, if that is "", to
	// be read out: one is no proof of the other. The code is right once: whoever goes by it spends
	// the nonce. The error is a mfa.Reason.
	CheckProof(ctx context.Context, c mfa.Credential, application, challenge string, code secret.Text) (settlement.Nonce, error)
	// Carries reports whether a gateway is there for what a method sends.
	Carries(m mfa.MethodID) bool
}

// addReach makes a credential of a number or an address. It serves once it is proven.
func (s *Service) addReach(c *mfa.Credential, r Request, u mfa.User) (err error) {
	to := strings.TrimSpace(r.To)
	extension := ""
	if c.Method == mfa.MethodCall {
		to, extension, _ = strings.Cut(to, extensionSign)
	}
	switch c.Method {
	case mfa.MethodSMS, mfa.MethodCall:
		if to == "" {
			to = u.Phone
		}
		if to == "" {
			return invalid("to is missing, and %s has no number in the profile (user set --phone)", u.Login)
		}
		if to, err = phone.Parse(to); err != nil {
			return invalid("to: %v", err)
		}
		if err = phone.CheckExtension(extension); err != nil {
			return invalid("to: %v", err)
		}
		c.Label = phone.Mask(to)
		if extension != "" {
			to += extensionSign + extension
		}
	default:
		if to == "" {
			to = u.Email
		}
		if to == "" {
			return invalid("to is missing, and %s has no mail address in the profile (user set --email)", u.Login)
		}
		a, err := mail.ParseAddress(to)
		if err != nil || a.Name != "" || a.Address != to {
			return invalid("to: want one mail address, as in alice@corp.example")
		}
		c.Label = MaskAddress(to)
	}
	if r.Label != "" {
		return invalid("label does not belong to method %q: it is made of the number or address", r.Method)
	}
	c.Secret = secret.FromString(to)
	if r.Trusted {
		c.Confirmed = c.Created
	} else {
		c.Hold = mfa.CredentialUnproven
	}
	return nil
}

// MaskAddress returns what of a mail address may be shown to whoever is about to answer.
func MaskAddress(to string) string {
	at := strings.LastIndexByte(to, '@')
	if at < 1 {
		return "***"
	}
	return to[:1] + "***" + to[at:]
}

// Send sends a code that proves a number or an address.
func (s *Service) Send(ctx context.Context, by, login, id string) (Sent, error) {
	a, c, err := s.find(ctx, login, id)
	if err != nil {
		return Sent{}, err
	}
	if !c.Method.Reaches() {
		return Sent{}, invalid("%s %s of %s: nothing is sent for this method", c.Method, c.ID, a.User.Login)
	}
	challenge, err := s.sendProof(ctx, by, a.User, c)
	return Sent{ID: c.ID, To: c.Label, Challenge: challenge, Expires: s.Now().Add(ProofLife)}, err
}

func (s *Service) sendProof(ctx context.Context, by string, u mfa.User, c mfa.Credential) (string, error) {
	if s.Prover == nil {
		return "", fmt.Errorf("%s %s of %s: this server sends nothing: %w", c.Method, c.ID, u.Login, mfa.ErrUnavailable)
	}
	challenge, err := s.Prover.SendProof(ctx, c, s.Issuer, ProofLife)
	if err != nil {
		var why mfa.Reason
		if errors.As(err, &why) {
			err = fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		return "", errors.Join(fmt.Errorf("the code for %s %s of %s was not sent: %w (credential send tries again)", c.Method, c.ID, u.Login, err),
			s.record(ctx, by, "credential send", u, s.describe(c)+", not sent: "+why.String()))
	}
	return challenge, s.record(ctx, by, "credential send", u, s.describe(c))
}

// checkProof compares a code with what was sent for application, and spends it in r, which is
// about to be written: it proves once.
func (s *Service) checkProof(ctx context.Context, r *settlement.Record, c mfa.Credential, application, challenge string, code secret.Text) error {
	if s.Prover == nil || challenge == "" {
		return mfa.ChallengeInvalid
	}
	n, err := s.Prover.CheckProof(ctx, c, application, challenge, code)
	switch {
	case err != nil:
		return err
	case r.Spent(n.ID):
		return mfa.ChallengeReplayed
	}
	*r = r.Spend(n, s.Now())
	return nil
}
