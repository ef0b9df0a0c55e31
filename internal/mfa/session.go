package mfa

import "time"

// SessionID names one session: the SHA-256 of the token that the browser holds, as 52
// characters of a-z and 2-7. Nobody gets from it to the token.
type SessionID string

// Session is somebody signed in by a browser. It ends at Expires, when it was idle for too
// long, when it is ended, and with the epoch of the database: a promotion may have lost that
// it was ended.
type Session struct {
	ID          SessionID
	User        UserID
	Application string   // name: "console"
	Server      string   // where it began
	Setup       bool     // only to set up the first administrator: opens nothing else
	Method      MethodID // second factor that was proven last, or a stronger one that was enrolled since; "": not known
	Epoch       uint64
	After       string // ID of the SessionsEnd that was the user's last when it began; "": there was none
	Created     time.Time
	Seen        time.Time // last request, as far as it was written down
	Proven      time.Time // last sign-in with both factors
	Expires     time.Time
}

// SessionsEnd says that all sessions of a user ended that there were, but one: also those that began
// without a master, which nobody else knows of. It goes by no clock.
type SessionsEnd struct {
	User UserID
	ID   string    // differs from that of every other; "": nothing has ended
	But  SessionID // "": none
	Time time.Time // about when, to forget it once no session can be that old
}

// Ended reports whether e ended n.
func (e SessionsEnd) Ended(n Session) bool { return e.ID != "" && n.After != e.ID && n.ID != e.But }

// EndedBy reports whether n began before the block b of its user, which may have lapsed since:
// who was kept out proves both factors again.
func (n Session) EndedBy(b *Block) bool { return b != nil && n.Created.Before(b.Since) }
