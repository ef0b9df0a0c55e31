package group

import (
	"net/netip"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Question is one leg of an authentication that a server without a database of its own has
// another one decide. It holds what the user typed and goes through the peer port only.
type Question struct {
	Application mfa.ApplicationID `json:"application"`
	FrontEnd    string            `json:"front_end"`
	Leg         mfa.LegID         `json:"leg"`
	Login       string            `json:"login"`
	Password    secret.Wire       `json:"password"`
	Passkey     bool              `json:"passkey,omitempty"`
	Handle      []byte            `json:"handle,omitempty"`
	Answer      secret.Wire       `json:"answer"`
	Caps        mfa.Caps          `json:"caps"`
	Peer        netip.AddrPort    `json:"peer"`
	Source      string            `json:"source"`
	Session     string            `json:"session,omitempty"`
	Refuse      mfa.Reason        `json:"refuse"`
	Trace       bool              `json:"trace,omitempty"`
	Text        string            `json:"text,omitempty"`
	Patient     bool              `json:"patient,omitempty"`
}

// Ask makes a question of a request.
func Ask(r mfa.Request) Question {
	return Question{r.Application, r.FrontEnd, r.Leg, r.Login, secret.Wire{Text: r.Password}, r.Passkey, r.Handle, secret.Wire{Text: r.Answer}, r.Caps,
		r.Peer, r.Source, r.Session, r.Refuse, r.Trace, r.Text, r.Patient}
}

// Request is the request that the question was made of.
func (q Question) Request() mfa.Request {
	return mfa.Request{Application: q.Application, FrontEnd: q.FrontEnd, Leg: q.Leg, Login: q.Login, Password: q.Password.Text, Passkey: q.Passkey, Handle: q.Handle,
		Answer: q.Answer.Text, Caps: q.Caps, Peer: q.Peer, Source: q.Source, Session: q.Session, Refuse: q.Refuse, Trace: q.Trace,
		Text: q.Text, Patient: q.Patient}
}

// Decided is the answer to a Question. Its zero value refuses.
type Decided struct {
	Verdict mfa.Verdict          `json:"verdict"`
	Reason  mfa.Reason           `json:"reason"`
	Message string               `json:"message"`
	Handle  []byte               `json:"handle,omitempty"`
	Expires time.Time            `json:"expires,omitzero"`
	Options []byte               `json:"options,omitempty"`
	Method  mfa.MethodID         `json:"method,omitempty"`
	Others  bool                 `json:"others,omitempty"`
	Awaits  *mfa.Awaited         `json:"awaits,omitempty"`
	User    mfa.UserID           `json:"user,omitempty"`
	Attempt mfa.AttemptID        `json:"attempt"`
	Reply   []mfa.ReplyAttribute `json:"reply,omitempty"`
	Trace   []string             `json:"trace,omitempty"`
}
