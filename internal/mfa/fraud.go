package mfa

import "time"

// Where users say that a sign-in was not theirs.
const (
	FraudPortal = "portal" // of one that is over
	FraudPush   = "push"   // instead of approving it
	FraudCall   = "call"   // by the fraud code instead of the one that approves it
)

// Fraud is a sign-in of which its user says that it was not theirs.
type Fraud struct {
	User        UserID    `json:"user"`
	Attempt     AttemptID `json:"attempt"`
	Channel     string    `json:"channel"` // where they said so
	Time        time.Time `json:"time"`    // of the sign-in
	Server      string    `json:"server"`
	Application string    `json:"application"` // its name
	Source      string    `json:"source,omitempty"`
	Verdict     string    `json:"verdict,omitempty"` // if there was one yet
	Reason      string    `json:"reason,omitempty"`
	Login       string    `json:"login,omitempty"`        // of the user: filled in by reports
	Said        time.Time `json:"said,omitzero"`          // when they said so: the same
	Blocked     bool      `json:"blocked"`                // the user is kept out
	Until       time.Time `json:"blocked_until,omitzero"` // zero: until that is lifted
}
