package mfa

import "time"

// Fork says what a database's epoch began with, for whoever decides by it. The zero Fork is
// that of an epoch that nothing may be missing from.
type Fork struct {
	// Time is when the epoch began without what an earlier one had accepted last. Codes of
	// time steps up to then, as far ahead as they are accepted, may have been used there.
	Time time.Time
	// Held: nobody has said yet that the codes without a time, which may have been used there
	// as well, are to pass.
	Held bool
}
