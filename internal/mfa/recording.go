package mfa

import "time"

// Recording is an administrator's own recording of what is said in calls.
type Recording struct {
	Name    string // PROMPT.LANGUAGE, or application-NAME.LANGUAGE
	Audio   []byte // G.711 µ-law, 8000 bytes for each second
	Changed time.Time
}

// MaxRecordings is how many there may be: each server keeps all of them in memory.
const MaxRecordings = 100
