package mfa

import "time"

// Quota is a limit on how often something may be done in a while, over the whole group.
type Quota struct {
	Name   string        // what is counted; only a keyed digest of it is kept
	Window time.Duration // a sliding one; 0: Name says which while is meant
	Most   int           // in a window
	N      int           // how much is taken
	Full   Reason        // what it is called if there is not so much left
}
