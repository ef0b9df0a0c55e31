package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// Policy returns the group's defaults.
func (s *Service) Policy(context.Context) (Policy, error) {
	return shownPolicy(s.Settings.Settings()), nil
}

func shownPolicy(p policy.Settings) Policy {
	p.Domains, p.SelfService = list(p.Domains), list(p.SelfService)
	p.PasskeyOrigins, p.PasskeyAlone = list(p.PasskeyOrigins), list(p.PasskeyAlone)
	p.PasskeyAllow, p.PasskeyDeny = list(p.PasskeyAllow), list(p.PasskeyDeny)
	return Policy{p, sentences(p.Warnings())}
}

// SetPolicy changes those defaults that the JSON object names. ifMatch, if not empty, is the
// ETag of what the caller saw. If users have passkeys, another passkey_site than theirs is taken
// only with confirm, the one that they are of; else the error is a LosesPasskeys.
func (s *Service) SetPolicy(ctx context.Context, by string, object []byte, ifMatch, confirm string) (Policy, error) {
	return s.setPolicy(ctx, mfa.Owner(by), object, ifMatch, confirm)
}

// ownersAlone refuses a change that is an owner's: who could do without a second person would need none.
func ownersAlone(by mfa.Caller, before, after policy.Settings) error {
	if before.PassApproval != after.PassApproval && !by.Can(mfa.MayOwn) {
		return fmt.Errorf("pass_approval: %w", by.Lacks(mfa.MayOwn))
	}
	return nil
}

func (s *Service) setPolicy(ctx context.Context, by mfa.Caller, object []byte, ifMatch, confirm string) (Policy, error) {
	var before, after policy.Settings
	if err := s.Settings.UpdateSettings(ctx, func(p *policy.Settings) error {
		before = *p
		if err := unchanged(ifMatch, shownPolicy(before).ETag()); err != nil {
			return err
		}
		p.Domains, p.SelfService = slices.Clone(p.Domains), slices.Clone(p.SelfService) // decoding writes into it, and others hold it
		p.PasskeyOrigins, p.PasskeyAlone = slices.Clone(p.PasskeyOrigins), slices.Clone(p.PasskeyAlone)
		p.PasskeyAllow, p.PasskeyDeny = slices.Clone(p.PasskeyAllow), slices.Clone(p.PasskeyDeny)
		p.Texts = maps.Clone(p.Texts)
		d := json.NewDecoder(bytes.NewReader(object))
		d.DisallowUnknownFields()
		if err := d.Decode(p); err != nil {
			return invalid("policy: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if _, err := d.Token(); err != io.EOF {
			return invalid("policy: want one JSON object")
		}
		maps.DeleteFunc(p.Texts, func(_, text string) bool { return text == "" }) // the built-in one again
		if err := p.Check(); err != nil {
			return invalid("%v", err)
		}
		if err := ownersAlone(by, before, *p); err != nil {
			return err
		}
		if site := before.PasskeySite; site != p.PasskeySite && site != "" && confirm != site {
			return LosesPasskeys{Site: site}
		}
		after = *p
		return nil
	}); err != nil {
		var lost LosesPasskeys
		if !errors.As(err, &lost) {
			return Policy{}, err
		}
		if err := s.losesPasskeys(ctx, lost.Site); err != nil {
			return Policy{}, err
		}
		return s.setPolicy(ctx, by, object, ifMatch, lost.Site) // there are none
	}
	if err := s.record(ctx, by.By, "policy set", "group", fields(difference(before, after))); err != nil {
		return Policy{}, err
	}
	return s.Policy(ctx)
}

// ExplainQuery says what is to be explained.
type ExplainQuery struct {
	Application string
	Source      string    // address that the user comes from; "": not told
	At          time.Time // zero: now
	Groups      []string  // directory groups that are supposed; nil: not known before the password is checked
}

// Explain tells which rules would decide if the user signed in at the application now, or at
// another time, as far as that can be known before a password is seen. It asks what sign-ins
// ask; nothing is settled, counted or sent.
func (s *Service) Explain(ctx context.Context, typed string, q ExplainQuery) (Explanation, error) {
	app, err := s.Applications.ApplicationByName(q.Application)
	if err != nil {
		return Explanation{}, err
	}
	a, err := s.account(ctx, typed)
	if err != nil {
		return Explanation{}, err
	}
	set := s.Settings.Settings()
	if err := set.Rules.Err(); err != nil {
		return Explanation{}, fmt.Errorf("the policy rules cannot be read, and nobody is let in: %w", err)
	}
	situation := policy.Situation{Application: app, User: a.User, Source: policy.SourceOf(q.Source), Now: s.Now()}
	if !q.At.IsZero() {
		situation.Now = q.At
	}
	if q.Groups != nil {
		situation.Groups, situation.GroupsKnown = set.Rules.Digests(nil, q.Groups), true
	}
	if s.Country != nil && situation.Source.IsValid() {
		situation.Country = s.Country(situation.Source)
	}
	lines, f := set.Rules.Explain(&situation, a, set, func(mfa.MethodID) bool { return true })
	out := Explanation{Login: a.User.Login, User: a.User.ID, Application: app.Name, At: situation.Now.UTC(), Source: q.Source, Country: situation.Country,
		Groups: q.Groups, Methods: []string{}, Rules: make([]Rule, len(lines))}
	switch {
	case f.Refuse != mfa.ReasonNone:
		out.Outcome, out.Reason = "refuse", f.Refuse.String()
	case f.Pass != mfa.ReasonNone:
		out.Outcome, out.Reason = "pass", f.Pass.String()
	default:
		out.Outcome = "ask"
		for _, c := range f.Ask {
			out.Methods = append(out.Methods, string(c.Method))
		}
	}
	for i, l := range lines {
		out.Rules[i] = Rule(l)
	}
	return out, nil
}
