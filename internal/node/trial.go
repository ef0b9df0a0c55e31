package node

import (
	"context"

	"countersign/internal/mfa"
)

// AskDevices implements enroll.Asker: devices are asked as a sign-in asks them.
func (p pushing) AskDevices(ctx context.Context, w mfa.Wait, devices []mfa.Credential) error {
	w.Epoch = p.s.store.Epoch()
	if err := p.s.push.Admit(ctx, w); err != nil {
		return err
	}
	if _, _, err := p.s.store.OpenWait(ctx, w, func(there mfa.Wait) (mfa.Wait, bool) { return there, false }); err != nil {
		return err
	}
	return p.s.push.Reach(ctx, w, devices)
}

// Wait implements enroll.Asker.
func (p pushing) Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error) {
	return p.s.store.Wait(ctx, user, id, fresh)
}
