// Package sent holds the methods that send a code and compare what comes back: text messages
// and mail. A code belongs to one attempt and one credential: what is kept of it is a keyed
// digest in the sealed handle, so any server of the group can compare it, and the engine
// spends the handle with the first answer, right or wrong.
package sent

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/big"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	digits    = 6
	tagSize   = 12                     // bytes of a code's keyed digest
	sentSize  = len(Handed{}.Message)  // bytes that name a message
	stateSize = 2 + sentSize + tagSize // gateway, message and digest: it has to fit a handle beside the groups of reply rules
	purpose   = "sent code"            // of the digest
	longest   = 4 * digits             // of an answer that is worth a look
)

// Code is one code on its way to a user.
type Code struct {
	Method      mfa.MethodID
	User        mfa.UserID
	To          string // number in E.164 form, mail address
	Attempt     mfa.AttemptID
	Application string // that it is for; "": somebody on the phone is to read it out to the help desk
	Code        secret.Text
	// Instead tells the gateway that the code before went by: 0: there was none.
	Instead uint16
}

// Handed is what is known of a code that a gateway took.
type Handed struct {
	Gateway string  // that took it
	Message [6]byte // stands for the message there; zero: the gateway does not tell what becomes of it
}

// Sender sends codes.
type Sender interface {
	// SendCode returns an error that holds the mfa.Reason why no gateway took the code.
	SendCode(ctx context.Context, c Code) (Handed, error)
	// Fate returns what became of a message: mfa.MessageUndelivered, mfa.MessageUnconfirmed, or
	// mfa.ReasonNone if it arrived, went another way, or nobody knows.
	Fate(ctx context.Context, message [6]byte) mfa.Reason
}

// Method is the method for one way of sending. All fields must be set, but for Random
// (crypto/rand.Reader if nil).
type Method struct {
	Way    mfa.MethodID // mfa.MethodSMS, mfa.MethodEmail
	Sender Sender
	Digest func(purpose, value string) [32]byte // under a key that the group shares and never changes
	Mask   func(to string) string               // what of a number or address may be shown
	Random io.Reader
}

// ID returns the method's own.
func (m Method) ID() mfa.MethodID { return m.Way }

// Needs returns mfa.CanPrompt.
func (Method) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin sends a code to c's number or address and returns the prompt. After a wrong answer the
// code that was sent stays good, and nothing is sent again; if it did not arrive, the error says
// so.
func (m Method) Begin(ctx context.Context, a mfa.Ask, c mfa.Credential) (mfa.Step, error) {
	to := string(c.Secret.Expose())
	if to == "" {
		return mfa.Step{}, fmt.Errorf("credential %s: %w number or address: there is none (remove it and add it again)", c.ID, mfa.ErrInvalid)
	}
	prompt := m.prompt(to)
	old := len(a.Sent) == stateSize
	if old && !a.Again {
		if m.Fate(ctx, a.Sent) == mfa.MessageUndelivered {
			return mfa.Step{}, mfa.MessageUndelivered
		}
		return mfa.Step{Prompt: prompt, State: a.Sent}, nil
	}
	code, err := m.draw()
	if err != nil {
		return mfa.Step{}, err
	}
	out := Code{Method: m.Way, User: c.User, To: to, Attempt: a.Attempt, Application: a.Application, Code: code}
	if old {
		out.Instead = binary.BigEndian.Uint16(a.Sent)
	}
	handed, err := m.Sender.SendCode(ctx, out)
	if err != nil {
		return mfa.Step{}, err
	}
	state := binary.BigEndian.AppendUint16(make([]byte, 0, stateSize), GatewayTag(handed.Gateway))
	state = append(state, handed.Message[:]...)
	return mfa.Step{Prompt: prompt, State: append(state, m.tag(a.Attempt, c.ID, code.Expose())...)}, nil
}

func (m Method) prompt(to string) string {
	if m.Way == mfa.MethodEmail {
		return "Enter the code from the mail to " + m.Mask(to)
	}
	return "Enter the code from the text message to " + m.Mask(to)
}

// Finish returns a proof if the answer is the code that the challenge was made for, else
// mfa.WrongCode. It takes the same time for whatever has the form of a code.
func (m Method) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, s mfa.Step, answer secret.Text) (mfa.Proof, error) {
	code := strip(answer)
	if len(s.State) != stateSize || len(code) != digits {
		return mfa.Proof{}, mfa.WrongCode
	}
	if subtle.ConstantTimeCompare(m.tag(s.Attempt, c.ID, code), s.State[2+sentSize:]) != 1 {
		return mfa.Proof{}, mfa.WrongCode
	}
	return mfa.Proof{Floor: f}, nil
}

// Fate returns what became of what was sent for a challenge, as Sender does.
func (m Method) Fate(ctx context.Context, state []byte) mfa.Reason {
	var message [sentSize]byte
	if len(state) != stateSize || copy(message[:], state[2:]) == 0 || message == ([sentSize]byte{}) {
		return mfa.ReasonNone
	}
	return m.Sender.Fate(ctx, message)
}

// tag is what is kept of a code.
func (m Method) tag(a mfa.AttemptID, c mfa.CredentialID, code []byte) []byte {
	d := m.Digest(purpose, a.String()+" "+string(c)+" "+string(code))
	return d[:tagSize]
}

// draw returns a code; each is as likely as any other.
func (m Method) draw() (secret.Text, error) {
	random := m.Random
	if random == nil {
		random = rand.Reader
	}
	n, err := rand.Int(random, big.NewInt(1_000_000))
	if err != nil {
		return secret.Text{}, errors.New("no randomness for a code")
	}
	return secret.FromString(fmt.Sprintf("%0*d", digits, n.Int64())), nil
}

// strip drops the spaces and dashes that people type within a code.
func strip(answer secret.Text) []byte {
	if answer.Len() > longest {
		return nil
	}
	var code []byte
	for _, c := range answer.Expose() {
		if c != ' ' && c != '-' {
			code = append(code, c)
		}
	}
	return code
}

// GatewayTag stands for a gateway in a handle; never 0.
func GatewayTag(name string) uint16 {
	h := fnv.New32a()
	_, _ = io.Copy(h, strings.NewReader(name)) // a hash never fails
	sum := h.Sum32()
	return max(uint16(sum^sum>>16), 1) //nolint:gosec // folded on purpose
}
