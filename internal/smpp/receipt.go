package smpp

import (
	"fmt"
	"strings"
)

// State is what has become of a message.
type State byte

// The states (SMPP 3.4, 5.2.28; 5.0, 4.7.15).
const (
	Enroute       State = 1
	Delivered     State = 2
	Expired       State = 3
	Deleted       State = 4
	Undeliverable State = 5
	Accepted      State = 6
	Unknown       State = 7
	Rejected      State = 8
	Skipped       State = 9
)

// stateNames are the states as the text of a receipt has them; providers spell some in full.
var stateNames = map[string]State{"ENROUTE": Enroute, "DELIVRD": Delivered, "DELIVERED": Delivered, "EXPIRED": Expired, "DELETED": Deleted,
	"UNDELIV": Undeliverable, "UNDELIVERABLE": Undeliverable, "UNDELIVERED": Undeliverable, "FAILED": Undeliverable, "ACCEPTD": Accepted, "ACCEPTED": Accepted,
	"UNKNOWN": Unknown, "REJECTD": Rejected, "REJECTED": Rejected, "SKIPPED": Skipped}

// Failed reports whether the message will never arrive.
func (s State) Failed() bool {
	switch s {
	case Expired, Deleted, Undeliverable, Rejected, Skipped:
		return true
	}
	return false
}

// String returns the name of s.
func (s State) String() string {
	for _, name := range []string{"ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD", "SKIPPED"} {
		if stateNames[name] == s {
			return name
		}
	}
	return fmt.Sprintf("state %d", byte(s))
}

// Receipt tells what has become of a message.
type Receipt struct {
	ID    string // as the answer to submit_sm had it, or in another form: see IDs
	State State
	Error string // the network's or the provider's own; "": none
}

// Receipt returns the receipt that m is, or false if it is none: a text that somebody sent, or
// a notice on the way. Optional parameters count before the text, whose form SMPP only
// suggests (3.4, appendix B).
func (m Message) Receipt() (Receipt, bool) {
	if m.Class&esmType != esmReceipt {
		return Receipt{}, false
	}
	text := m.Text
	if len(text) == 0 {
		text = find(m.TLVs, TagMessagePayload)
	}
	r := readReceipt(string(text))
	if id := find(m.TLVs, TagReceiptedID); len(id) > 0 {
		r.ID = strings.TrimRight(string(id), "\x00")
	}
	if v := find(m.TLVs, TagMessageState); len(v) == 1 {
		r.State = State(v[0])
	}
	if v := find(m.TLVs, TagNetworkError); len(v) == 3 && r.Error == "" {
		r.Error = fmt.Sprint(int(v[1])<<8 | int(v[2]))
	}
	return r, r.ID != "" && r.State != 0
}

// readReceipt reads "id:... sub:001 dlvrd:001 submit date:... done date:... stat:DELIVRD err:000 text:...".
// What stands behind text: is the message itself, which may say anything.
func readReceipt(text string) (r Receipt) {
	lower := small(text)
	if i := strings.Index(lower, "text:"); i >= 0 {
		text, lower = text[:i], lower[:i]
	}
	value := func(name string) string {
		for at := 0; ; {
			i := strings.Index(lower[at:], name)
			if i < 0 {
				return ""
			}
			if at += i; at == 0 || lower[at-1] == ' ' {
				v, _, _ := strings.Cut(strings.TrimLeft(text[at+len(name):], " "), " ")
				return clean(v)
			}
			at += len(name)
		}
	}
	r.ID, r.State = value("id:"), stateNames[strings.ToUpper(value("stat:"))]
	if e := value("err:"); strings.Trim(e, "0") != "" {
		r.Error = e
	}
	return r
}

// small makes the letters A to Z small and leaves every other byte where it is.
func small(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// clean keeps what may stand in a log.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 65)]
}
