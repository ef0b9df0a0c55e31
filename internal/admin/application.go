package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

// ListApplications returns all applications by name.
func (s *Service) ListApplications(context.Context) (ApplicationList, error) {
	out := ApplicationList{Applications: []Application{}}
	for _, a := range s.Applications.Applications() {
		out.Applications = append(out.Applications, s.application(a))
	}
	slices.SortFunc(out.Applications, func(a, b Application) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Application returns one application.
func (s *Service) Application(_ context.Context, name string) (Application, error) {
	a, err := s.Applications.ApplicationByName(name)
	return s.application(a), err
}

// application converts for the API.
func (s *Service) application(a mfa.Application) Application {
	words := map[bool]string{true: "pass", false: "deny"}
	degraded := map[bool]string{true: "allow", false: "refuse"}
	return Application{ID: a.ID, Name: a.Name, Kind: a.Kind, Addresses: networks(a.Addresses),
		FirstFactor: a.FirstFactor, Methods: texts(a.Methods), Passcode: or(a.Passcode, mfa.PasscodePrompt), Waiting: or(a.Waiting, mfa.WaitPrompt), Patience: s.patience(a),
		UnknownUsers: words[a.UnknownPass], UnknownUsersUntil: moment(a.UnknownUntil), Degraded: degraded[a.DegradedAllow], Exempt: networks(a.Exempt),
		MessageAuthenticator: or(a.MA, mfa.MALearn), Rate: a.Rate, Retries: a.Retries, Reply: list(a.Reply),
		CallbackURL: a.Callback.URL, CallbackCAs: a.Callback.CAs, CallbackNetworks: networks(a.Callback.Networks), Disabled: a.Disabled, Created: a.Created, Changed: a.Changed, Warnings: sentences(policy.ApplicationWarnings(a, s.Now()))}
}

func networks(ps []netip.Prefix) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		if out[i] = p.String(); p.IsSingleIP() {
			out[i] = p.Addr().String()
		}
	}
	return out
}

// AddApplication makes an application. Its first factor is local, and it goes on while
// the group has no master, unless the change says otherwise.
func (s *Service) AddApplication(ctx context.Context, by string, c ApplicationChange) (Application, error) {
	if c.Name == nil || c.Kind == nil {
		return Application{}, invalid("name or kind is missing")
	}
	a := mfa.Application{ID: mfa.ApplicationID(mfa.NewID(nil)), FirstFactor: mfa.FirstFactorLocal, Passcode: mfa.PasscodePrompt,
		DegradedAllow: true, MA: mfa.MALearn, Created: s.Now(), Changed: s.Now()}
	if err := s.applyApplication(&a, c); err != nil {
		return Application{}, err
	}
	if reserved(a.Name) && by != builtInBy {
		return Application{}, invalid("the name %q is this product's own; choose another one", a.Name)
	}
	if err := s.undisputed(a); err != nil {
		return Application{}, err
	}
	made, err := s.Applications.CreateApplication(ctx, a)
	if err != nil {
		return Application{}, err
	}
	if err := s.record(ctx, by, "application add", made.Name, fields(contents(s.application(made)))); err != nil {
		return Application{}, err
	}
	return s.application(made), nil
}

// SetApplication changes an application. Its kind stays.
func (s *Service) SetApplication(ctx context.Context, by, name string, c ApplicationChange) (Application, error) {
	found, err := s.Applications.ApplicationByName(name)
	if errors.Is(err, mfa.ErrNotFound) && reserved(name) { // its pages were never opened
		found, err = s.BuiltIn(ctx, name)
	}
	if err != nil {
		return Application{}, err
	}
	if c.Kind != nil && *c.Kind != found.Kind {
		return Application{}, invalid("the kind of an application cannot change; add another one")
	}
	probe := found
	if err := s.applyApplication(&probe, c); err != nil { // a mistake of the caller's is told before anything is written
		return Application{}, err
	}
	if err := keepsBuiltIn(found, probe); err != nil {
		return Application{}, err
	}
	if c.Disabled != nil {
		if err := keepsConsole(probe); err != nil {
			return Application{}, err
		}
	}
	if c.Addresses != nil || c.Disabled != nil {
		if err := s.undisputed(probe); err != nil {
			return Application{}, err
		}
	}
	var before Application
	changed, err := s.Applications.UpdateApplication(ctx, found.ID, func(a *mfa.Application) error {
		before = s.application(*a)
		if err := unchanged(c.IfMatch, before.ETag()); err != nil {
			return err
		}
		a.Changed = s.Now()
		had := *a
		if err := s.applyApplication(a, c); err != nil {
			return err
		}
		return keepsBuiltIn(had, *a)
	})
	if err != nil {
		return Application{}, err
	}
	detail := difference(before, s.application(changed))
	if c.Secret != nil {
		detail = append(detail, "secret")
	}
	if err := s.record(ctx, by, "application set", found.Name, fields(detail)); err != nil {
		return Application{}, err
	}
	return s.application(changed), nil
}

// RemoveApplication deletes an application.
func (s *Service) RemoveApplication(ctx context.Context, by, name string) error {
	a, err := s.Applications.ApplicationByName(name)
	if err != nil {
		return err
	}
	if err := staysBuiltIn(a); err != nil {
		return err
	}
	if err := s.Applications.RemoveApplication(ctx, a.ID); err != nil {
		return err
	}
	return s.record(ctx, by, "application remove", a.Name, gone(string(a.ID), contents(s.application(a))))
}

// applyApplication changes a as c says, or says what is bad about c.
func (s *Service) applyApplication(a *mfa.Application, c ApplicationChange) error {
	var bad error
	set(&bad, "name", &a.Name, c.Name, objectName)
	set(&bad, "kind", &a.Kind, c.Kind, oneOf(mfa.KindRADIUS, mfa.KindLDAP, mfa.KindWeb, mfa.KindOIDC, mfa.KindAPI))
	set(&bad, "addresses", &a.Addresses, c.Addresses, each(256, network))
	set(&bad, "secret", &a.Secret, c.Secret, radiusSecret)
	set(&bad, "first_factor", &a.FirstFactor, c.FirstFactor, s.parseFirstFactor)
	set(&bad, "methods", &a.Methods, c.Methods, each(16, oneOf(methods...)))
	set(&bad, "passcode", &a.Passcode, c.Passcode, oneOf(mfa.PasscodePrompt, mfa.PasscodeAppend, mfa.PasscodeEither))
	set(&bad, "waiting", &a.Waiting, c.Waiting, oneOf(mfa.WaitPrompt, mfa.WaitInside))
	set(&bad, "unknown_users", &a.UnknownPass, c.UnknownUsers, yes("pass", "deny"))
	set(&bad, "unknown_users_until", &a.UnknownUntil, c.UnknownUsersUntil, s.unknownEnd)
	set(&bad, "degraded", &a.DegradedAllow, c.Degraded, yes("allow", "refuse"))
	set(&bad, "exempt", &a.Exempt, c.Exempt, each(256, network))
	set(&bad, "message_authenticator", &a.MA, c.MessageAuthenticator, oneOf(mfa.MALearn, mfa.MAWarn, mfa.MARequire))
	set(&bad, "rate", &a.Rate, c.Rate, between(0, 1000000))
	set(&bad, "retries", &a.Retries, c.Retries, between(0, 10))
	set(&bad, "reply", &a.Reply, c.Reply, replyRules)
	set(&bad, "callback_url", &a.Callback.URL, c.CallbackURL, callbackURL)
	set(&bad, "callback_ca_pem", &a.Callback.CAs, c.CallbackCAs, certificates)
	set(&bad, "callback_networks", &a.Callback.Networks, c.CallbackNetworks, each(16, network))
	set(&bad, "disabled", &a.Disabled, c.Disabled, same[bool])
	if bad == nil {
		bad = callbackFits(a)
	}
	if bad != nil {
		return bad
	}
	switch {
	case !a.UnknownPass && c.UnknownUsersUntil != nil:
		return invalid("unknown_users_until without unknown_users pass")
	case !a.UnknownPass:
		a.UnknownUntil = time.Time{}
	case a.UnknownUntil.IsZero():
		a.UnknownUntil = s.Now().Add(unknownDefault).Truncate(time.Second)
	}
	if a.Waiting == mfa.WaitInside && a.Kind != mfa.KindRADIUS {
		return invalid("waiting inside the request is for kind radius; the others can show what to do")
	}
	if a.Kind == mfa.KindRADIUS && (len(a.Addresses) == 0 || a.Secret.Empty()) {
		return invalid("a radius application needs the addresses of its clients and a shared secret")
	}
	if err := policy.CheckGroups(s.Settings.Settings().Rules.List(), *a); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// For how long unknown users pass: unless told otherwise, and at most. What was once set is
// not set anew by saying pass again, so that what has an end has one.
const (
	unknownDefault = 90 * 24 * time.Hour
	unknownLongest = 366 * 24 * time.Hour
)

func (s *Service) unknownEnd(t time.Time) (time.Time, error) {
	switch left := t.Sub(s.Now()); {
	case left <= 0:
		return time.Time{}, fmt.Errorf("%s is over", t.Format(time.RFC3339))
	case left > unknownLongest:
		return time.Time{}, fmt.Errorf("%s is more than a year ahead: nothing is open for ever", t.Format(time.RFC3339))
	}
	return t.UTC().Truncate(time.Second), nil
}

// undisputed refuses an address that another application has: the packets from it would be
// nobody's, and both applications' users locked out. Networks may lie in one another.
func (s *Service) undisputed(a mfa.Application) error {
	if a.Kind != mfa.KindRADIUS || a.Disabled {
		return nil
	}
	for _, other := range s.Applications.Applications() {
		if other.ID == a.ID || other.Kind != mfa.KindRADIUS || other.Disabled {
			continue
		}
		for _, p := range a.Addresses {
			if slices.Contains(other.Addresses, p) {
				return fmt.Errorf("address %s: application %q has it; take it from there or disable that one first: %w", p, other.Name, mfa.ErrExists)
			}
		}
	}
	return nil
}

// methods are those that an application can ask for.
var methods = []mfa.MethodID{mfa.MethodTOTP, mfa.MethodHOTP, mfa.MethodSMS, mfa.MethodCall, mfa.MethodEmail, mfa.MethodPasskey, mfa.MethodPush, mfa.MethodRecovery, mfa.MethodTAP}

// parseFirstFactor checks that a directory named exists.
func (s *Service) parseFirstFactor(name string) (string, error) {
	if name == mfa.FirstFactorNone {
		return name, nil
	}
	if name == "" {
		return "", fmt.Errorf("want local, none or the name of a directory")
	}
	return s.parseDirectory(name)
}

// radiusSecret bounds a shared secret: RFC 2865 wants 16 bytes; what old clients cannot
// set is taken from 6 on.
func radiusSecret(w secret.Wire) (secret.Text, error) {
	if w.Len() < 6 || w.Len() > 128 {
		return secret.Text{}, fmt.Errorf("%d bytes; must have 6 to 128 (16 random ones or more are wise)", w.Len())
	}
	return w.Text, nil
}

// replyRules checks what rules add to an accept: what cannot be said in RADIUS would be left
// out of it, and somebody would get more or less than they should.
func replyRules(in []mfa.ReplyRule) ([]mfa.ReplyRule, error) {
	groups := map[string]bool{}
	for _, r := range in {
		if len(r.Attribute) > 64 || r.Value == "" || len(r.Value) > 253 || !utf8.ValidString(r.Attribute+r.Value) {
			return nil, fmt.Errorf("attribute %.64q: it must have 1 to 64, and its value 1 to 253 bytes of UTF-8", r.Attribute)
		}
		if _, err := radius.Encode(r.Attribute, r.Value); err != nil {
			return nil, err
		}
		if r.Tag != "" && r.Group != "" {
			return nil, fmt.Errorf("%s: a rule asks for a tag or for a group, not for both", r.Attribute)
		}
		if r.Group != "" {
			groups[strings.ToLower(r.Group)] = true
		}
	}
	if len(groups) > policy.MaxRuleGroups {
		return nil, fmt.Errorf("the rules ask for %d groups; at most %d, because a challenge carries them", len(groups), policy.MaxRuleGroups)
	}
	return in, nil
}
