package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Digests makes digests under a key of the group's.
type Digests interface {
	DigestOf(purpose, value string) [32]byte
}

// AuthenticateRequest is the first leg of a sign-in that a program asks for.
type AuthenticateRequest struct {
	Login    string       `json:"login" minLength:"1" maxLength:"253" doc:"as the user typed it"`
	Password *secret.Wire `json:"password,omitempty" writeOnly:"true" doc:"what the application's first factor and passcode say: the password, the password with the code behind it, or the code alone"`
	Text     string       `json:"text,omitempty" maxLength:"512" doc:"what the user approves by signing in (a payment, a release): shown on their device, and signed by it"`
	Source   string       `json:"source,omitempty" maxLength:"253" doc:"the user's own address, for exempt networks and against guessing; the program vouches for it"`
	Passkey  bool         `json:"passkey,omitempty" doc:"the program can have a browser use a passkey, on a page that policy passkey_site or passkey_origins names"`
	Wait     int          `json:"wait_seconds,omitempty" minimum:"0" maximum:"45" doc:"if the user approves on a device or a phone: answer when that is done, or after so long with the challenge"`
	Callback bool         `json:"callback,omitempty" doc:"if the user approves on a device or a phone: tell the application's callback_url what came of it"`
	State    string       `json:"state,omitempty" maxLength:"256" doc:"comes back in the callback as it is"`
}

// ChallengeRequest answers a challenge.
type ChallengeRequest struct {
	Login   string       `json:"login,omitempty" maxLength:"253" doc:"as in the first leg, for the trail; another user's is refused"`
	Handle  []byte       `json:"handle" doc:"of the challenge"`
	Answer  *secret.Wire `json:"answer" writeOnly:"true" doc:"what the user typed, or what the browser returned of a passkey (PublicKeyCredential.toJSON) as text"`
	Source  string       `json:"source,omitempty" maxLength:"253"`
	Passkey bool         `json:"passkey,omitempty" doc:"as in the first leg: another challenge may ask for a passkey again"`
	Wait    int          `json:"wait_seconds,omitempty" minimum:"0" maximum:"45" doc:"with an empty answer: how long to wait for what comes of a challenge that awaits; as long as one attempt may take, by default"`
}

// Authentication is what became of one leg. Why is in the trail alone, under the attempt's
// id: what a program knows it may show.
type Authentication struct {
	Verdict   string               `json:"verdict" enum:"accept,reject,challenge"`
	Message   string               `json:"message" doc:"for the user: the prompt of a challenge, or one sentence with the attempt's id"`
	AttemptID mfa.AttemptID        `json:"attempt_id" doc:"finds it in the trail"`
	Handle    []byte               `json:"handle,omitempty" doc:"challenge: send it back with the answer"`
	Expires   *time.Time           `json:"expires,omitempty" doc:"challenge: when the handle dies"`
	Options   json.RawMessage      `json:"passkey_options,omitempty" doc:"challenge: a passkey is an answer too; for PublicKeyCredential.parseRequestOptionsFromJSON"`
	Awaits    *mfa.Awaited         `json:"awaits,omitempty" doc:"challenge: the user approves on a device; show the number that is to be typed there, and send the handle with an empty answer to wait for what comes of it"`
	Callback  bool                 `json:"callback,omitempty" doc:"challenge: the application is called back with what comes of it"`
	Reply     []mfa.ReplyAttribute `json:"reply" doc:"accept: what the application's rules add"`
}

// ProgramLeg is what a front-end knows of the request that carries a leg. Key is the
// program's own name for it, so that the same sent again is not counted again; it may be empty.
type ProgramLeg struct {
	Key  string
	Peer netip.AddrPort
}

// Authenticate decides a first leg for the application that the caller's token is for.
func (d Desk) Authenticate(ctx context.Context, leg ProgramLeg, r AuthenticateRequest) (Authentication, error) {
	q := mfa.Request{Login: r.Login, Password: text(r.Password), Source: r.Source, Peer: leg.Peer, Text: r.Text}
	if !shownText(r.Text) {
		return Authentication{}, invalid("text: want up to 512 bytes of plain text, in which nothing is hidden")
	}
	if leg.Key != "" { // without it the same request again is another attempt
		q.Leg = d.s.leg(d.by.Application, leg.Key, r.Login, r.Source, r.Text, string(q.Password.Expose()))
	}
	if err := d.calledBack(r); err != nil {
		return Authentication{}, err
	}
	a, err := d.decide(ctx, q, r.Passkey)
	if err != nil || a.Awaits == nil {
		return a, err
	}
	ask := d.asks(leg, r.Login, r.Source, a.Handle)
	a.Callback = r.Callback && d.follow(ask, r.State, a)
	if r.Wait > 0 {
		return d.awaited(ctx, ask, r.Wait, a.Callback)
	}
	return a, nil
}

// Challenge decides the answer to a challenge. The same answer to the same challenge, sent
// again, is the same leg.
func (d Desk) Challenge(ctx context.Context, leg ProgramLeg, r ChallengeRequest) (Authentication, error) {
	if len(r.Handle) == 0 || r.Answer == nil {
		return Authentication{}, invalid("handle or answer is missing")
	}
	if r.Answer.Empty() {
		return d.awaited(ctx, d.asks(leg, r.Login, r.Source, r.Handle), r.Wait, false)
	}
	q := mfa.Request{Login: r.Login, Handle: r.Handle, Answer: r.Answer.Text, Source: r.Source, Peer: leg.Peer}
	q.Leg = d.s.leg(d.by.Application, leg.Key, r.Login, string(r.Handle), r.Source, string(q.Answer.Expose()))
	return d.decide(ctx, q, r.Passkey)
}

// shownText reports whether a text can be shown for what it is: somebody is to sign it.
func shownText(text string) bool {
	return len(text) <= 512 && utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) < 0
}

// leg names one leg by all that it says: what differs in anything is another leg, and never
// gets this one's result. Secrets are in it, so it is digested under the group's key.
func (s *Service) leg(app mfa.ApplicationID, parts ...string) (id mfa.LegID) {
	var b strings.Builder
	for _, p := range append([]string{string(app)}, parts...) {
		fmt.Fprintf(&b, "%d %s\n", len(p), p)
	}
	sum := s.Digests.DigestOf("leg of a program", b.String())
	copy(id[:], sum[:])
	return id
}

func (d Desk) decide(ctx context.Context, q mfa.Request, passkey bool) (Authentication, error) {
	if err := d.may(mfa.MayAuthenticate); err != nil {
		return Authentication{}, err
	}
	if d.by.Application == "" {
		return Authentication{}, fmt.Errorf("%s: %w: is the token of no application", d.by.By, mfa.ErrForbidden)
	}
	q.Application, q.FrontEnd, q.Caps = d.by.Application, "api", mfa.CanPrompt|mfa.AsItIs
	if passkey {
		q.Caps |= mfa.CanPasskey
	}
	a, err := d.s.Decider.Authenticate(ctx, q)
	if err != nil { // the engine has logged it; a fault of ours is nobody's reject
		return Authentication{}, fmt.Errorf("no decision is possible on server %s now: ask again, or another server: %w", d.s.Server, mfa.ErrUnavailable)
	}
	return Authentication{Verdict: a.Verdict.String(), Message: a.Message, AttemptID: a.Attempt, Handle: a.Handle, Expires: moment(a.Expires), Options: a.Options, Awaits: a.Awaits, Reply: list(a.Reply)}, nil
}
