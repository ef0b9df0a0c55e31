package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
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
// ETag of what the caller saw.
func (s *Service) SetPolicy(ctx context.Context, by string, object []byte, ifMatch string) (Policy, error) {
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
		after = *p
		return nil
	}); err != nil {
		return Policy{}, err
	}
	if err := s.record(ctx, by, "policy set", "group", fields(difference(before, after))); err != nil {
		return Policy{}, err
	}
	return s.Policy(ctx)
}

// Explain tells which rules would decide if the user signed in at the application now,
// as far as that can be known before a password is seen. Nothing is settled. source may
// be empty.
func (s *Service) Explain(ctx context.Context, typed, application, source string) (Explanation, error) {
	app, err := s.Applications.ApplicationByName(application)
	if err != nil {
		return Explanation{}, err
	}
	a, err := s.account(ctx, typed)
	if err != nil {
		return Explanation{}, err
	}
	return Explanation{Login: a.User.Login, User: a.User.ID, Application: app.Name,
		Rules: explain(a, app, s.Settings.Settings(), source, s.Now())}, nil
}

func explain(a settlement.Account, app mfa.Application, p policy.Settings, source string, now time.Time) []Rule {
	var rules []Rule
	add := func(rule, from, format string, args ...any) {
		rules = append(rules, Rule{Rule: rule, Result: fmt.Sprintf(format, args...), From: from})
	}
	here := "application " + app.Name
	if app.Disabled {
		add("application", here, "refused: %s", mfa.ApplicationDisabled)
	}
	add("user state", "user", "%s", a.User.State)
	firstFactor := app.FirstFactor != mfa.FirstFactorNone
	if why := policy.Gate(a.User, a.Record, firstFactor, now); why != mfa.ReasonNone {
		add("gate", "user", "refused: %s", why)
	} else {
		add("gate", "user", "open: not denied, not blocked, not locked")
	}
	switch {
	case !firstFactor:
		add("first factor", here, "none: the client has checked the password")
	case app.FirstFactor != mfa.FirstFactorLocal && a.User.Directory != "":
		add("first factor", "user", "%s", a.User.Directory)
	default:
		add("first factor", here, "%s", app.FirstFactor)
	}
	if source != "" && policy.ExemptSource(app, source) {
		add("exempt network", here, "%s passes on the first factor", source)
	}
	if a.User.State == mfa.StateExempt {
		add("second factor", "user", "none: the user is exempt")
	} else {
		explainSecond(a, app, now, add)
	}
	add("passcode", here, "%s", or(app.Passcode, mfa.PasscodePrompt))
	add("lock", "policy tries, lock_seconds", "after %d wrong codes for %s; %d so far", p.Tries, p.Lock.Duration(), a.Record.Fails.N)
	add("first factor lock", "policy first_factor_tries, first_factor_lock_seconds", "after %d wrong passwords for %s; %d so far",
		p.FirstTries, p.FirstLock.Duration(), a.Record.First.N)
	degraded := "refused"
	if app.DegradedAllow {
		degraded = "allowed"
	}
	add("without a master", here, "%s", degraded)
	return rules
}

// explainSecond adds which credentials serve, and why the others do not.
func explainSecond(a settlement.Account, app mfa.Application, now time.Time, add func(rule, from, format string, args ...any)) {
	allowed := "every method"
	if len(app.Methods) > 0 {
		allowed = strings.Join(texts(app.Methods), ", ")
	}
	add("methods", "application "+app.Name, "%s", allowed)
	usable := 0
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodPassword {
			continue
		}
		name := strings.TrimSpace(string(c.Method) + " " + c.Label)
		if _, why := policy.Usable(app, []mfa.Credential{c}, now); why == mfa.ReasonNone {
			usable++
			add("second factor", "credential "+string(c.ID), "%s: serves", name)
		} else {
			if len(app.Methods) > 0 && !slices.Contains(app.Methods, c.Method) {
				add("second factor", "application "+app.Name, "%s: the application does not allow this method", name)
				continue
			}
			add("second factor", "credential "+string(c.ID), "%s: %s", name, why)
		}
	}
	if usable == 0 {
		add("second factor", "user", "refused: %s", mfa.NoCredential)
	}
}
