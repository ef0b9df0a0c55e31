package web

import (
	"encoding/base64"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// maxHandle is the longest handle that a form may bring back, in bytes.
const maxHandle = 255

// Leg is one leg of a sign-in by a form of a page, without what is proven by it.
func Leg(r *http.Request, app mfa.ApplicationID, frontEnd, login string, set policy.Settings) mfa.Request {
	q := mfa.Request{Application: app, FrontEnd: frontEnd, Login: login, Caps: mfa.CanPrompt}
	if here, _ := Passkeys(r, set); here {
		q.Caps |= mfa.CanPasskey
	}
	q.Peer, q.Source = Source(r)
	return q
}

// Answered adds to a leg what the form holds: a password, the wish to be known by a passkey, or
// the answer to a challenge.
func Answered(r *http.Request, q mfa.Request) mfa.Request {
	h := r.PostFormValue("handle")
	switch {
	case h == "" && r.PostFormValue("discover") != "":
		q.Passkey = true
		return q
	case h == "":
		q.Password = secret.FromString(r.PostFormValue("password"))
		return q
	}
	var err error
	if q.Handle, err = base64.RawURLEncoding.DecodeString(h); err != nil || len(q.Handle) > maxHandle {
		q.Handle, q.Refuse = nil, mfa.MalformedRequest
	}
	q.Answer = secret.FromString(r.PostFormValue("code"))
	if used := r.PostFormValue("passkey"); used != "" {
		q.Answer = secret.FromString(used)
	}
	return q
}

// Proven reports the user if a decision lets somebody in who has proven what there is to be
// proven: on our own pages nobody is exempt.
func Proven(d mfa.Decision) (mfa.UserID, bool) {
	return d.User, d.Verdict == mfa.Accept && d.Reason.Both() && d.User != ""
}

// AskedTooOften reports whether somebody, who has typed the right password, was not asked for a
// second factor because they were asked as often as they may be.
func AskedTooOften(why mfa.Reason) bool {
	return why == mfa.TooManyPrompts || why == mfa.TooManyMessages
}
