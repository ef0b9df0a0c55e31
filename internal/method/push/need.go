package push

import (
	"context"
	"errors"
	"time"

	"countersign/internal/device"
	"countersign/internal/mfa"
)

// ErrGone says that a push service knows an address no longer.
var ErrGone = errors.New("the push service knows this device no longer")

// Sender carries messages to push services.
type Sender interface {
	// Send hands payload to the device's push service, which keeps it for ttl; a later one of the
	// same topic takes its place. The error wraps ErrGone if the address is dead.
	Send(ctx context.Context, to device.Device, payload []byte, ttl time.Duration, topic string) error
	// Forget drops the address of a device if it is still endpoint.
	Forget(ctx context.Context, user mfa.UserID, id mfa.CredentialID, endpoint string) error
}

// Store is where the questions are.
type Store interface {
	// Waits returns the waits of a user as the local copy has them.
	Waits(user mfa.UserID) []mfa.Wait
}
