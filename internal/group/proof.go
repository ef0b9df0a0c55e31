package group

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"countersign/internal/secret"
)

// ErrUnproven: an answer that was not given by who made the activation code.
var ErrUnproven = errors.New("the answer does not come from who made this activation code; it was changed on its way, or a coordinator answers that is not the group's: nothing was done with it")

// Proven is the answer to a Request with a proof that who gave it knows the code's secret:
// whatever carries it between a new server and the group's master cannot change it.
type Proven struct {
	Answer json.RawMessage `json:"answer"`
	MAC    []byte          `json:"mac"`
}

// Prove makes v the answer to r. kind keeps one answer from being taken for another's.
func Prove(s secret.Text, r *Request, kind string, v any) (Proven, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return Proven{}, err
	}
	return Proven{b, answerMAC(s, r, kind, b)}, nil
}

// Open checks the proof and reads the answer to r into v. The error wraps ErrUnproven.
func (p Proven) Open(s secret.Text, r *Request, kind string, v any) error {
	if s.Len() == 0 || !hmac.Equal(p.MAC, answerMAC(s, r, kind, p.Answer)) {
		return ErrUnproven
	}
	if err := json.Unmarshal(p.Answer, v); err != nil {
		return fmt.Errorf("the answer is not understood (is it the same version?): %w", err)
	}
	return nil
}

func answerMAC(s secret.Text, r *Request, kind string, answer []byte) []byte {
	h := hmac.New(sha256.New, s.Expose())
	fmt.Fprintf(h, "countersign answer 1\n%d:%s%d:%s%d:", len(kind), kind, len(r.MAC), r.MAC, len(answer))
	h.Write(answer)
	return h.Sum(nil)
}

// The kinds of answers.
const (
	KindPreview = "preview"
	KindGrant   = "grant"
)
