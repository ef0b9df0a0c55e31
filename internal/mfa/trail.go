package mfa

import "time"

// Record is one line of the trail. Exactly one field is set.
type Record struct {
	Settled *Settled `json:"settled,omitempty"`
	Attempt *Attempt `json:"attempt,omitempty"`
	Act     *Act     `json:"act,omitempty"`
	Change  *Change  `json:"change,omitempty"`
	Asked   *Asked   `json:"asked,omitempty"`
}

// How durable a settlement is.
const (
	Committed = "committed" // acknowledged by the group's database
	Local     = "local"     // by this server alone, to be merged
	Unknown   = "unknown"   // the write's outcome is open
)

// Settled is a ledger entry: what one settlement did to a user's record. It holds all
// that merging it into another copy of the record needs.
type Settled struct {
	Leg        LegID        `json:"leg"`
	Attempt    AttemptID    `json:"attempt"`
	User       UserID       `json:"user"`
	Time       time.Time    `json:"time"`
	Server     string       `json:"server"`
	Credential CredentialID `json:"credential,omitempty"` // whose floor rose
	Floor      Floor        `json:"floor,omitzero"`       // to what
	Nonce      uint64       `json:"nonce,omitempty"`      // handle spent
	NonceUntil time.Time    `json:"nonce_until,omitzero"`
	Failures   int          `json:"failures,omitempty"`       // second-factor failures booked by this settlement (0 or 1)
	FirstFails int          `json:"first_failures,omitempty"` // first-factor failures booked by it (0 or 1)
	Reason     Reason       `json:"reason"`
	State      string       `json:"state"` // Committed, Local or Unknown
	Epoch      uint64       `json:"epoch"`
	Revision   int64        `json:"revision,omitempty"`
	Number     uint64       `json:"number,omitempty"` // of an entry that this server settled alone: they rise, and tell which are merged
	Before     Floor        `json:"before,omitzero"`  // the same: what Floor was raised from
}

// What a Change does.
const (
	ChangeBlock   = "block"   // User is kept out as Block says
	ChangeDisable = "disable" // Credential of User serves nobody
	ChangeRevoke  = "revoke"  // the API token Token is no more
)

// Change is a restriction that was made while the group had no master. It holds on this
// server from then on, and everywhere once it is merged.
type Change struct {
	What       string       `json:"what"`
	User       UserID       `json:"user,omitempty"`
	Credential CredentialID `json:"credential,omitempty"`
	Token      string       `json:"token,omitempty"`
	Block      *Block       `json:"block,omitempty"`
	By         string       `json:"by"`
	Time       time.Time    `json:"time"`
	Server     string       `json:"server"`
	Number     uint64       `json:"number"` // as that of Settled, from the same series
}

// Attempt is a verdict record: one per answered attempt.
type Attempt struct {
	ID           AttemptID     `json:"attempt_id"`
	Time         time.Time     `json:"time"`
	Server       string        `json:"server"`
	Application  string        `json:"application"` // its name
	FrontEnd     string        `json:"front_end"`
	User         UserID        `json:"user,omitempty"` // empty: unknown
	Login        string        `json:"login"`          // as typed, made printable, at most 253 bytes
	Source       string        `json:"source,omitempty"`
	Peer         string        `json:"peer,omitempty"`
	Verdict      Verdict       `json:"verdict"`
	Reason       Reason        `json:"reason"`
	Method       MethodID      `json:"method,omitempty"`
	Credential   CredentialID  `json:"credential,omitempty"`
	Degraded     bool          `json:"degraded"`
	Unreplicated bool          `json:"unreplicated,omitempty"` // settled on the master of a pair, whose replica did not have it in time
	Duration     time.Duration `json:"duration_ns"`
	Trace        []string      `json:"trace,omitempty"` // what was decided on the way; kept for tests of an administrator
}

// Asked says that an attempt goes on with a challenge. Its verdict is still to come: by an
// answer, on whatever server, or as ChallengeUnanswered on the one that asked.
type Asked struct {
	Nonce   uint64    `json:"nonce"`   // of the handle; spent by an answer
	Until   time.Time `json:"until"`   // when the challenge is over
	Attempt Attempt   `json:"attempt"` // what is known of it so far

	State []byte `json:"-"` // of the method's Step; nil after a restart
}

// Act is one administrative act.
type Act struct {
	Time   time.Time `json:"time"`
	Server string    `json:"server"`
	By     string    `json:"by"`   // who: "root (unix socket)", "token:NAME"
	Verb   string    `json:"verb"` // "credential add"
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"` // why, before and after; never a secret
	Fraud  *Fraud    `json:"fraud,omitempty"`  // VerbFraud: what it was
}

// VerbFraud is the act of users who say that a sign-in was not theirs.
const VerbFraud = "fraud report"
