package enroll

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"countersign/internal/mfa"
	"countersign/internal/nearest"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// maxCredentials bounds the credentials of one user, the password included.
const maxCredentials = 32

// Add gives a user a credential.
func (s *Service) Add(ctx context.Context, by, login string, r Request) (Created, error) {
	return s.add(ctx, mfa.Caller{By: by}, login, r, mfa.ReasonNone)
}

// add is Add of one that is held at first.
func (s *Service) add(ctx context.Context, caller mfa.Caller, login string, r Request, hold mfa.Reason) (Created, error) {
	by := caller.By
	a, err := s.account(ctx, login)
	if err != nil {
		return Created{}, err
	}
	if len(a.Credentials) >= maxCredentials {
		return Created{}, invalid("%s has %d credentials already; remove one first", a.User.Login, len(a.Credentials))
	}
	if err := r.check(); err != nil {
		return Created{}, err
	}
	c := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(rand.Reader)), User: a.User.ID, Method: r.Method, Label: r.Label,
		Created: s.Now(), By: by, Hold: hold}
	var out Created
	switch r.Method {
	case mfa.MethodTOTP, mfa.MethodHOTP:
		err = s.addKey(&c, r, a.User.Login, &out)
	case mfa.MethodRecovery:
		err = s.addRecovery(&c, r, &out)
	case mfa.MethodTAP:
		err = s.addPass(&c, caller.User, r, &out)
	case mfa.MethodSMS, mfa.MethodEmail, mfa.MethodCall:
		err = s.addReach(&c, r, a.User)
	case mfa.MethodPasskey:
		err = invalid("a passkey is made by its user's browser: in the portal, under second factors, or by an invitation into it (user invite)")
	case mfa.MethodPush:
		return s.addDevice(ctx, by, c, a.User)
	default:
		err = invalid("method %q: want totp, hotp, sms, call, email, push, recovery or tap", r.Method)
	}
	if err == nil {
		err = unlike(c, a)
	}
	if err != nil {
		return Created{}, err
	}
	if err := s.Store.AddCredential(ctx, c); err != nil {
		return Created{}, err
	}
	out.Credential = s.view(c, mfa.Floor{})
	if err := s.record(ctx, by, "credential add", a.User, s.describe(c)); err != nil || c.Hold != mfa.CredentialUnproven || !c.Method.Reaches() {
		return out, err
	}
	out.Challenge, err = s.sendProof(ctx, by, a.User, c)
	return out, err
}

// unlike refuses a token that the user has already: with two floors, or two lengths of
// code, one code would be worth two.
func unlike(c mfa.Credential, a settlement.Account) error {
	if c.Method != mfa.MethodTOTP && c.Method != mfa.MethodHOTP && !c.Method.Reaches() {
		return nil
	}
	for _, has := range a.Credentials {
		if has.Method == c.Method && has.Secret.Equal(c.Secret) {
			return fmt.Errorf("%s has this %s already, as credential %s; remove that first: %w", a.User.Login, thing(c.Method), has.ID, mfa.ErrExists)
		}
	}
	return nil
}

func thing(m mfa.MethodID) string {
	switch m {
	case mfa.MethodSMS, mfa.MethodCall:
		return "number"
	case mfa.MethodEmail:
		return "mail address"
	}
	return string(m) + " token"
}

// describe names a credential for the trail.
func (s *Service) describe(c mfa.Credential) string {
	d := string(c.Method) + " " + string(c.ID)
	if c.Method.Reaches() {
		d += " " + c.Label
	}
	if c.Method == mfa.MethodTAP {
		d += fmt.Sprintf(", %d uses until %s", c.Uses, c.Expires.UTC().Format(time.RFC3339))
		if len(c.Scope) > 0 {
			d += ", for " + strings.Join(s.scopeNames(c), ", ")
		}
		d += approval(c) + ": " + c.Why
	}
	return d
}

// check refuses what does not belong to the method, so that a mistake is not passed over.
func (r Request) check() error {
	key := r.Method == mfa.MethodTOTP || r.Method == mfa.MethodHOTP
	for _, b := range []struct {
		name  string
		given bool
		of    bool
	}{
		{"secret", r.Secret != nil, key}, {"algorithm", r.Algorithm != "", key}, {"digits", r.Digits != 0, key},
		{"period", r.Period != 0, r.Method == mfa.MethodTOTP}, {"counter", r.Counter != 0, r.Method == mfa.MethodHOTP},
		{"codes", r.Codes != 0, r.Method == mfa.MethodRecovery}, {"seconds", r.Seconds != 0, r.Method == mfa.MethodTAP},
		{"uses", r.Uses != 0, r.Method == mfa.MethodTAP}, {"scope", len(r.Scope) > 0, r.Method == mfa.MethodTAP},
		{"why", r.Why != "", r.Method == mfa.MethodTAP}, {"to", r.To != "", r.Method.Reaches()}, {"trusted", r.Trusted, r.Method.Reaches()},
	} {
		if b.given && !b.of {
			return invalid("%s does not belong to method %q", b.name, r.Method)
		}
	}
	for _, s := range []string{r.Label, r.Why} {
		if len(s) > 256 || strings.IndexFunc(s, unicode.IsControl) >= 0 {
			return invalid("label and why must be short lines of text")
		}
	}
	return nil
}

// addKey makes a totp or hotp credential, with a secret of our own if none was given.
func (s *Service) addKey(c *mfa.Credential, r Request, login string, out *Created) error {
	algorithm := oath.DefaultAlgorithm
	var err error
	if r.Algorithm != "" {
		if algorithm, err = oath.ParseAlgorithm(r.Algorithm); err != nil {
			return err
		}
	}
	made := r.Secret == nil
	if c.Drawn = made; made {
		c.Secret, err = oath.NewSecret(rand.Reader, algorithm)
	} else {
		c.Secret, err = oath.ParseSecret(r.Secret.Text)
	}
	if err != nil {
		return err
	}
	c.Algorithm, c.Digits, c.Counter = string(algorithm), r.Digits, r.Counter
	if c.Digits == 0 {
		c.Digits = oath.DefaultDigits
	}
	var key oath.Key
	if c.Method == mfa.MethodTOTP {
		if c.Period = r.Period; c.Period == 0 {
			c.Period = oath.DefaultPeriod
		}
		key, err = oath.NewTOTP(c.Secret, algorithm, c.Digits, c.Period)
	} else {
		key, err = oath.NewHOTP(c.Secret, algorithm, c.Digits)
	}
	if err != nil || !made {
		return err
	}
	url, err := oath.KeyURI{Issuer: uriName(s.Issuer), Account: uriName(login), Key: key, Counter: c.Counter}.Encode()
	if err != nil {
		return err
	}
	out.Secret, out.OTPAuthURL = &secret.Wire{Text: oath.FormatSecret(c.Secret)}, &secret.Wire{Text: url}
	return nil
}

// uriName drops what an otpauth label cannot hold.
func uriName(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, ":", " ")) }

// addRecovery makes a set of recovery codes.
func (s *Service) addRecovery(c *mfa.Credential, r Request, out *Created) error {
	if c.Uses = r.Codes; c.Uses == 0 {
		c.Uses = 10
	}
	if c.Uses < 1 || c.Uses > 50 {
		return invalid("codes: want 1 to 50")
	}
	codes, kept, err := s.Passcodes.Recovery(*c, c.Uses)
	if err != nil {
		return err
	}
	c.Secret, c.Confirmed = kept, c.Created
	for _, code := range codes {
		out.Codes = append(out.Codes, secret.Wire{Text: code})
	}
	return nil
}

// passLife is how long a temporary access pass lives by default.
const passLife = time.Hour

// addPass makes a temporary access pass.
func (s *Service) addPass(c *mfa.Credential, issuer mfa.UserID, r Request, out *Created) error {
	lifetime := time.Duration(r.Seconds) * time.Second
	if lifetime == 0 {
		lifetime = passLife
	}
	if c.Uses = r.Uses; c.Uses == 0 {
		c.Uses = 1
	}
	switch {
	case lifetime < time.Minute || lifetime > 30*24*time.Hour:
		return invalid("a pass lives between a minute and 30 days")
	case c.Uses < 1 || c.Uses > 60:
		return invalid("uses: want 1 to 60")
	case strings.TrimSpace(r.Why) == "":
		return invalid("why is missing: a pass is a way around a factor, and the trail tells the reason")
	}
	scope, err := s.scope(r.Scope)
	if err != nil {
		return err
	}
	c.Expires, c.Scope, c.Why, c.Confirmed = c.Created.Add(lifetime), scope, r.Why, c.Created
	if s.Settings().PassApproval {
		c.Awaits, c.Issuer = true, issuer
	}
	code, kept, err := s.Passcodes.Pass(*c)
	if err != nil {
		return err
	}
	c.Secret, out.Codes = kept, []secret.Wire{{Text: code}}
	return nil
}

// scope returns what a pass keeps of the applications whose names were typed. A name
// that is nobody's is refused: a pass for it would be good nowhere, and nobody would know why.
func (s *Service) scope(typed []string) (scope []string, err error) {
	if len(typed) == 0 {
		return nil, nil
	}
	apps := s.Applications.Applications()
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	for _, t := range typed {
		i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, t) })
		switch guess := nearest.To(t, names); {
		case i >= 0:
			if one := mfa.ScopeOf(apps[i].ID); !slices.Contains(scope, one) {
				scope = append(scope, one)
			}
		case guess != "":
			return nil, invalid("scope: no application is called %q; did you mean %q?", t, guess)
		default:
			return nil, invalid("scope: no application is called %q (application list shows those there are)", t)
		}
	}
	return scope, nil
}

// scopeNames are the applications that a pass is for, as they are called now.
func (s *Service) scopeNames(c mfa.Credential) []string {
	if len(c.Scope) == 0 {
		return nil
	}
	return mfa.ScopeNames(c.Scope, s.Applications.Applications())
}
