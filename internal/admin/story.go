package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Story is everything that the trails hold about one attempt.
type Story struct {
	Line    string         `json:"line" doc:"who decided what, and why, in one sentence"`
	Attempt *Attempt       `json:"attempt,omitempty" doc:"absent: there is no verdict yet"`
	Events  []StoryEvent   `json:"events" doc:"oldest first"`
	Silent  []SilentServer `json:"silent_servers" doc:"servers that did not answer for their trail"`
}

// StoryEvent is one record about an attempt.
type StoryEvent struct {
	Time   time.Time `json:"time"`
	Server string    `json:"server"`
	What   string    `json:"what" enum:"asked,settled,verdict"`
	Detail string    `json:"detail"`
}

// Story tells of one attempt.
func (s *Service) Story(ctx context.Context, id mfa.AttemptID) (Story, error) {
	all, err := s.everyone(ctx, TrailQuestion{Story: id})
	if err != nil {
		return Story{}, err
	}
	out := Story{Events: []StoryEvent{}, Silent: silent(all)}
	for _, a := range all {
		for _, r := range a.Story {
			out.add(r)
		}
	}
	if len(out.Events) == 0 {
		missing := ""
		for _, m := range out.Silent {
			missing += fmt.Sprintf("; server %s did not answer: %s", m.Server, m.Error)
		}
		return Story{}, fmt.Errorf("attempt %s: %w in the trails%s", id, mfa.ErrNotFound, missing)
	}
	slices.SortStableFunc(out.Events, func(a, b StoryEvent) int {
		return cmp.Or(a.Time.Truncate(time.Second).Compare(b.Time.Truncate(time.Second)), cmp.Compare(storyOrder[a.What], storyOrder[b.What]), a.Time.Compare(b.Time))
	})
	out.Line = s.line(ctx, out)
	return out, nil
}

// storyOrder is that of what happens within a moment: settled, then told.
var storyOrder = map[string]int{"settled": 1, "asked": 2, "verdict": 3}

func (o *Story) add(r mfa.Record) {
	switch {
	case r.Asked != nil:
		a := r.Asked.Attempt
		o.Events = append(o.Events, StoryEvent{a.Time, a.Server, "asked", fmt.Sprintf("the first factor was right; asked for a code until %s", r.Asked.Until.UTC().Format(time.TimeOnly+" UTC"))})
	case r.Settled != nil:
		o.Events = append(o.Events, StoryEvent{r.Settled.Time, r.Settled.Server, "settled", settledText(*r.Settled)})
	case r.Attempt != nil:
		a := attempt(*r.Attempt)
		if o.Attempt == nil || r.Attempt.Reason != mfa.Interrupted {
			o.Attempt = &a
		}
		o.Events = append(o.Events, StoryEvent{a.Time, a.Server, "verdict", a.Verdict + ", " + a.Reason})
	}
}

// settledText says how durable a settlement is, and what it did.
func settledText(s mfa.Settled) string {
	parts := []string{s.Reason.String()}
	switch s.State {
	case mfa.Committed:
		parts = append(parts, fmt.Sprintf("in the group's database, epoch %d, revision %d", s.Epoch, s.Revision))
	case mfa.Local:
		parts = append(parts, "by this server alone, without a master")
	default:
		parts = append(parts, "the database did not say whether it was written")
	}
	if s.Credential != "" {
		parts = append(parts, "its code is spent on every server")
	}
	if s.Failures > 0 {
		parts = append(parts, "counted as a wrong code")
	}
	if s.FirstFails > 0 {
		parts = append(parts, "counted as a wrong password")
	}
	return strings.Join(parts, "; ")
}

// line answers who let somebody in, or did not, and why.
func (s *Service) line(ctx context.Context, o Story) string {
	a := o.Attempt
	if a == nil {
		return fmt.Sprintf("Not decided: server %s asked for a code, and no verdict is in the trails that answered.", o.Events[0].Server)
	}
	who := fmt.Sprintf("%q", a.Login)
	if a.Login == "" {
		who = "somebody"
	}
	did := "refused"
	if a.Verdict == mfa.Accept.String() {
		did = "let in"
	}
	text := fmt.Sprintf("Server %s %s %s", a.Server, did, who)
	if did == "let in" {
		text = fmt.Sprintf("Server %s let %s in", a.Server, who)
	}
	if a.Application != "" {
		text += " at " + a.Application
	}
	text += ": " + s.because(ctx, *a)
	for _, e := range o.Events {
		if e.What == "asked" && e.Server != a.Server {
			text += fmt.Sprintf("; server %s had asked for it", e.Server)
			break
		}
	}
	if a.Degraded {
		text += "; it had no master, and decided from its own copy"
	}
	return text + "."
}

// because says why, with what is known of the credential now.
func (s *Service) because(ctx context.Context, a Attempt) string {
	var r mfa.Reason
	if r.UnmarshalText([]byte(a.Reason)) != nil {
		return a.Reason
	}
	text := reasonTexts[r]
	if text == "" {
		text = strings.ReplaceAll(a.Reason, "_", " ")
	}
	switch {
	case r == mfa.OK && a.Method == string(mfa.MethodPasskey):
		text = "the password was right, and so was the passkey"
	case r == mfa.OK:
		text = "the password was right, and so was the " + a.Method + " code" + s.credentialText(ctx, a)
	}
	if r == mfa.ExemptNetwork && a.Source != "" {
		text += " (" + a.Source + ")"
	}
	return text
}

func (s *Service) credentialText(ctx context.Context, a Attempt) string {
	if a.User == "" || a.Credential == "" {
		return ""
	}
	acc, err := s.Users.Account(ctx, a.User, false)
	if err != nil {
		return " (credential " + a.Credential + ")"
	}
	for _, c := range acc.Credentials {
		if string(c.ID) == a.Credential {
			made := " made by " + c.By + " on " + c.Created.UTC().Format(time.DateOnly)
			if c.Label != "" {
				return fmt.Sprintf(" of %q,%s", c.Label, made)
			}
			return "," + made
		}
	}
	return " (credential " + a.Credential + ", which is removed since)"
}

// reasonTexts say more than a reason's name.
var reasonTexts = map[mfa.Reason]string{
	mfa.ExemptUser: "the user is exempt, so the password alone was enough", mfa.ExemptNetwork: "the source lies in an exempt network of the application, so the password alone was enough",
	mfa.UnknownUserPassed: "nobody here has that login, and the application lets such people in on the password alone", mfa.FirstFactorOnly: "the application asks for no second factor",
	mfa.WrongPassword: "the password was wrong", mfa.EmptyPassword: "no password was sent", mfa.UnknownUser: "nobody here has that login", mfa.AmbiguousUser: "the login means more than one user",
	mfa.Denied: "the user's state is denied", mfa.Blocked: "an administrator has blocked the user", mfa.Locked: "too many wrong codes had locked the user",
	mfa.FirstFactorLocked: "too many wrong passwords had locked the user", mfa.SourceThrottled: "too many failures came from this source", mfa.NoCredential: "the user has no second factor that may be used there",
	mfa.PromptImpossible: "a code was needed, and this client cannot ask for one", mfa.WrongCode: "the password was right, and the code was wrong", mfa.ReplayedCode: "the code had been used before",
	mfa.CodeOutsideWindow: "the code was right for another time: the clock of the token or of the server is off", mfa.ChallengeUnanswered: "a code was asked for, and none came",
	mfa.NoGateway: "no gateway is set up that could have sent the code", mfa.GatewayDown: "the gateway that was to send the code could not be reached", mfa.GatewaySlow: "the gateway that was to send the code did not answer in time",
	mfa.GatewayRefused: "the gateway that was to send the code refused it", mfa.GatewayNoCredit: "the account at the gateway that was to send the code is used up", mfa.RecipientRefused: "the gateway says that the number or address cannot be reached",
	mfa.CountryNotAllowed: "no gateway may send to the country of the number", mfa.SpendCapReached: "every gateway has sent as much as it may", mfa.TooManyMessages: "too many codes have been sent to the user, the number or its country",
	mfa.MessageUndelivered: "the gateway took the code and says that it did not arrive", mfa.MessageUnconfirmed: "a code was sent and none came; the gateway never said that it had arrived",
	mfa.ChallengeExpired: "the code came too late", mfa.ChallengeReplayed: "the challenge had been answered before", mfa.Interrupted: "the server stopped before it could answer; nobody was let in",
	mfa.DegradedRefused: "there was no master, and the application refuses everybody then", mfa.ApplicationDisabled: "the application is switched off",
	mfa.ResyncRequired: "the token has to be resynchronised", mfa.HeldAfterPromotion: "the token is held back after a disaster promotion", mfa.BeforePromotion: "the lost master may have accepted the code before",
	mfa.PasskeyAlone: "a passkey, which asked for a PIN, finger or face, stood for both factors", mfa.PasskeyUnknown: "the passkey was none of the user's",
	mfa.PasskeyInvalid: "what the browser sent was no answer of a passkey of the user's", mfa.PasskeyOtherChallenge: "the passkey had answered another challenge: an answer was used twice, or came late",
	mfa.PasskeyWrongSite: "the passkey was used on a page that is none of ours (policy passkey_site, passkey_origins), which is what a phishing page looks like", mfa.PasskeyUnverified: "the passkey did not ask for a PIN, finger or face",
	mfa.PasskeyCounterBack: "the passkey's counter went back or stood still: there may be a copy of it", mfa.PasskeyNotAlone: "a passkey came without a password, which the policy does not allow there (passkey_alone)",
	mfa.PasskeyModelRefused: "the passkey was the user's, and of a model that the policy does not take (passkey_models_deny)",
	mfa.PasskeyNoSite:       "only a passkey would do, and the policy names no site that passkeys belong to (passkey_site)",
	mfa.ExemptPolicy:        "a policy rule asks for no second factor there",
	mfa.Remembered:          "both factors had been right there some minutes before, from the same address",
	mfa.PolicyDenied:        "a policy rule refuses the user there",
	mfa.TooManyPrompts:      "the user had been asked as often as the policy lets anybody be asked in an hour",
	mfa.FraudReported:       "the user says that it was not them",
	mfa.WrongPIN:            "the code was right, and the PIN in front of it was wrong",
	mfa.PINExpired:          "the PIN was right and too old: it has to be changed at the portal",
	mfa.PINMustChange:       "the PIN was right and has to be changed at the portal first",
	mfa.NoRole:              "both factors were right, and the user holds no role (administrator add gives one)",
	mfa.NoPIN:               "the policy wants a PIN with each code, and the user has none",
}
