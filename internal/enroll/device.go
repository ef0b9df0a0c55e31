package enroll

import (
	"context"
	"time"

	"countersign/internal/device"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// ActivationLife is how long the code is good that makes a device.
const ActivationLife = 15 * time.Minute

// addDevice mints a code that makes a device of the user's, once. Until a device brings it, the
// credential serves nobody.
func (s *Service) addDevice(ctx context.Context, by string, c mfa.Credential, u mfa.User) (Created, error) {
	if s.Devices == nil || s.DevicePage == nil || s.DevicePage() == "" {
		return Created{}, invalid("this server serves no pages for devices: set listen.https in its node file and restart it, or ask a server that does")
	}
	code := device.NewCode(nil)
	c.Hold, c.Expires = mfa.CredentialUnproven, c.Created.Add(ActivationLife)
	if err := s.Devices.AddDevice(ctx, c, device.CleanCode(string(code.Expose())), s.Settings().Devices); err != nil {
		return Created{}, err
	}
	return Created{Credential: s.view(c, mfa.Floor{}), Activation: &secret.Wire{Text: code}, URL: secret.NewWire(s.DevicePage() + "#" + string(code.Expose()))},
		s.record(ctx, by, "credential add", u, s.describe(c)+", to be activated by "+c.Expires.UTC().Format(time.RFC3339))
}

// BeginDevice mints a code that makes a device of the caller's own.
func (o Own) BeginDevice(ctx context.Context) (Created, error) {
	if err := o.may(policy.SelfPush); err != nil {
		return Created{}, err
	}
	return o.s.Add(ctx, o.by.By, string(o.by.User), Request{Method: mfa.MethodPush})
}
