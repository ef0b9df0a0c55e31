package radiusd

import (
	"context"
	"net/netip"

	"countersign/internal/mfa"
)

// Applications is where the clients and their secrets come from.
type Applications interface {
	// Applications returns every application of the group; those of kind radius are
	// clients. The caller does not change them.
	Applications() []mfa.Application
	// ApplicationsGeneration returns a number that changes whenever Applications would
	// return something else. It is read for every packet, so it must be as cheap as an
	// atomic load.
	ApplicationsGeneration() uint64
}

// NASes keeps what was learnt about each client address: the ratchet of CVE-2024-3596.
type NASes interface {
	// NAS returns what the local view knows of addr as a client of app.
	NAS(app mfa.ApplicationID, addr netip.Addr) (mfa.NAS, bool)
	// RecordNAS merges n into the record of its application and address, and returns
	// when that is durable. Merging loses nothing that another server wrote meanwhile:
	// the earliest FirstSeen and Proven that are not zero stay, the latest Without and Patience win.
	RecordNAS(ctx context.Context, n mfa.NAS) error
}

// Metrics counts datagrams. It is called for every one, so it must be cheap.
type Metrics interface {
	RADIUS(Outcome)
}

// Outcome is what became of one datagram.
type Outcome uint8

// The outcomes. Those up to Retransmitted were answered, the others never are.
const (
	Accepted         Outcome = iota // Access-Accept
	Rejected                        // Access-Reject
	Challenged                      // Access-Challenge
	Accounted                       // Accounting-Response
	StatusAnswered                  // Status-Server
	Retransmitted                   // a duplicate that got the same answer again
	DuplicateDropped                // a duplicate of a request that is being worked on
	UnknownClient                   // no application has that address
	Malformed                       // lengths that do not fit
	Oversized                       // length field above 4096
	UnknownCode                     // not a request, or on the wrong port
	BadMA                           // Message-Authenticator present and wrong
	MissingMA                       // Message-Authenticator owed and absent
	WrongSecret                     // unsigned, and its password is not readable: another shared secret, most likely
	BadAccounting                   // Request Authenticator of an Accounting-Request wrong
	RateLimited                     // over the rate of its client address
	Overloaded                      // too many requests being worked on
	Failed                          // our own fault; the client tries the next server
	Undelivered                     // decided, but the answer could not be sent
	GaveUp                          // besides another outcome: the client had given up waiting for a person
	Unsigned                        // besides another outcome: let in without Message-Authenticator
	outcomes
)

var outcomeNames = [outcomes]string{
	"accept", "reject", "challenge", "accounting", "status", "retransmitted", "duplicate_dropped", "unknown_client",
	"malformed", "oversized", "unknown_code", "bad_message_authenticator", "missing_message_authenticator",
	"wrong_secret", "bad_accounting_authenticator", "rate_limited", "overloaded", "failed", "undelivered",
	"gave_up", "unsigned",
}

// String returns the name used as label in metrics.
func (o Outcome) String() string {
	if o < outcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// Outcomes returns every outcome, for registering their counters.
func Outcomes() []Outcome {
	all := make([]Outcome, 0, outcomes)
	for o := range outcomes {
		all = append(all, o)
	}
	return all
}
