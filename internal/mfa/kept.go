package mfa

import "time"

// KeptRequest is a request that made something and that its caller has named, so that the same
// sent again makes nothing twice. Caller, Key and Body are digests under the group's key: a
// body may hold a password.
type KeptRequest struct {
	Caller  [16]byte
	Key     [16]byte // of the operation and the name that the caller gave
	Body    [32]byte
	Server  string // that carries it out
	Begun   time.Time
	Expires time.Time
	Done    bool
	ETag    string // of the answer; "": none
	Answer  []byte // JSON, without what is shown only once
}
