package mfa

import (
	"encoding/binary"
	"time"
)

// WaitID names the intent that a wait is for: a keyed digest, so that two servers that are asked
// the same at once make one wait and not two. 26 characters of a-z and 2-7.
type WaitID string

// Wait is a question whose answer comes by another way than the client's next message: a device
// approves, a key of a phone is pressed. Every server of the group sees it. Number, Source, Place
// and Text are sealed at rest.
type Wait struct {
	ID          WaitID
	User        UserID
	Nonce       [16]byte // drawn for each: another wait for the same intent is another; see Token
	Method      MethodID
	Attempt     AttemptID // that it was opened for
	Application string    // its name
	Leg         LegID     // the newest first leg that waits for it; who asked before that gives way to it
	Number      string    // two digits that the user has to match; "": there are none to be shown
	PIN         bool      // whoever answers has to type the user's PIN as well
	Source      string    // the end user's address or station, if the client told it
	Place       string    // where that is, if known
	Text        string    // what an API application wants signed; ""
	Session     string    // the client's name for the conversation that it was opened for; "": it told none
	Left        bool      // the client of Leg has given up: what is answered waits for its next request
	Server      string    // that opened it
	Asked       time.Time
	Expires     time.Time // nothing answers it from then on
	Until       time.Time // an answer that came in time is told until then
	Epoch       uint64    // of the database when it was opened
	Answer      WaitAnswer
}

// WaitAnswer is what became of a wait; the zero value: nothing yet.
type WaitAnswer struct {
	Reason     Reason       // OK: approved; ReasonNone: not answered
	Credential CredentialID // that answered, or was asked in vain
	At         time.Time
	PIN        bool // the user's PIN was typed, and is right
	Unreached  bool // nobody decided: the user could not be asked, and another way may be tried
}

// Token is what an answer of w spends in the settlement: as often as w is asked about, it is
// accepted once.
func (w Wait) Token() uint64 { return binary.BigEndian.Uint64(w.Nonce[:8]) | 1 }

// SessionCaller is the Session of the questions that verify who is on the phone with a help desk.
const SessionCaller = "help desk, caller"

// OfCaller reports whether w verifies a caller: it lets nobody in, and an answer to any other
// question verifies nobody. No client of ours has a part in it, whatever one calls its session.
func (w Wait) OfCaller() bool { return w.Session == SessionCaller && w.Leg == LegID{} }

// Open reports whether w can still be answered at now.
func (w Wait) Open(now time.Time) bool { return w.Answer.Reason == ReasonNone && now.Before(w.Expires) }

// Live reports whether w, or its answer, still counts at now.
func (w Wait) Live(now time.Time) bool {
	return now.Before(w.Expires) || w.Answer.Reason != ReasonNone && now.Before(w.Until)
}

// After returns w with an answer. The first one stands, but a refusal takes the place of an
// approval. It returns false if a stands for nothing.
func (w Wait) After(a WaitAnswer) (Wait, bool) {
	was := w.Answer.Reason
	if !a.At.Before(w.Expires) || was != ReasonNone && (was != OK || a.Reason == OK || a.Unreached) {
		return w, false
	}
	w.Answer = a
	return w, true
}

// Awaited is what the one who asks is told of a wait.
type Awaited struct {
	Method MethodID `json:"method"`
	Number string   `json:"number,omitempty"` // to be shown to the user; "": there is none
}
