package call

import (
	"context"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Caller places calls.
type Caller interface {
	// Admit counts one more call to the user, or returns the mfa.Reason why there is to be none.
	Admit(ctx context.Context, user mfa.UserID) error
	// May returns the mfa.Reason why the number cannot be called at all, whatever the gateways answer.
	May(number string) error
	// Call rings and talks until the call is over. It returns nil once c.Judge said Right, else an
	// error that holds the mfa.Reason, or context.Canceled.
	Call(ctx context.Context, c Call) error
	// Over reports that nobody waits for w any longer.
	Over(ctx context.Context, w mfa.Wait) bool
}

// Answers keep what came of a call for all servers; see authn.Waits.
type Answers interface {
	AnswerWait(ctx context.Context, user mfa.UserID, id mfa.WaitID, nonce [16]byte, a mfa.WaitAnswer) (got mfa.Wait, taken bool, err error)
	WaitChange(user mfa.UserID) <-chan struct{}
}

// Guesses counts wrong numbers as wrong second factors, where no sign-in does.
type Guesses interface {
	Guessed(ctx context.Context, user mfa.UserID) error
}

// PINs know users' PINs.
type PINs interface {
	// CheckPIN judges a try of the user's PIN, and counts it before it tells: nil for the right one, else the
	// mfa.Reason, or a fault of ours.
	CheckPIN(ctx context.Context, user mfa.UserID, pin secret.Text) error
}
