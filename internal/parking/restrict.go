package parking

import (
	"fmt"

	"countersign/internal/mfa"
)

// Restriction returns the part of c that holds at once for an object that is now so, without an
// administrator: a block, a credential that is disabled, a token that is revoked. A user or a
// credential that was removed, and a user who was denied and is not here, is kept out by a block
// until the change is applied or discarded. ok is false if there is no such part.
func (c Change) Restriction(now Object) (r mfa.Change, ok bool) {
	r = mfa.Change{By: fmt.Sprintf("epoch %d of %s", c.Epoch, c.Server), Time: c.Found, Server: c.Server}
	switch {
	case c.What == Added:
		return r, false
	case c.Kind == User:
		r.What, r.User = mfa.ChangeBlock, mfa.UserID(c.Object)
		r.Block = c.block(r.By, now)
		return r, r.Block != nil
	case c.Kind == Credential:
		removed := c.What == Removed && c.Before.Credential != nil
		disabled := c.After.Credential != nil && c.After.Credential.Disabled && (c.Before.Credential == nil || !c.Before.Credential.Disabled)
		if removed {
			r.User, r.Credential = c.Before.Credential.User, c.Before.Credential.ID
		} else if disabled {
			r.User, r.Credential = c.After.Credential.User, c.After.Credential.ID
		}
		r.What = mfa.ChangeDisable
		return r, removed || disabled
	case c.Kind == Token && c.What == Removed:
		r.What, r.Token = mfa.ChangeRevoke, c.Object
		return r, true
	}
	return r, false
}

// block is what keeps out the user of c, who is now so; nil: nothing does.
func (c Change) block(by string, now Object) *mfa.Block {
	before, after := c.Before.User, c.After.User
	denied := func(u *mfa.User) bool { return u != nil && u.State == mfa.StateDenied }
	switch {
	case c.What == Removed:
		return &mfa.Block{By: by, Since: c.Found, Reason: "removed there; see group parked"}
	case after == nil:
		return nil
	case denied(after) && !denied(before) && !denied(now.User):
		return &mfa.Block{By: by, Since: c.Found, Reason: "set to denied there; see group parked"}
	}
	var was *mfa.Block
	if before != nil {
		was = before.Block
	}
	if after.Block.Stricter(was) {
		b := *after.Block
		return &b
	}
	return nil
}

// Restricted reports whether the restriction of c is all that c does: then nothing is left
// for an administrator.
func (c Change) Restricted() bool {
	if c.Kind == Token && c.What == Removed {
		return true
	}
	return c.What == Changed && c.BaseKnown && !c.lifts() && !c.Before.None() && c.Before.unrestricted().Same(c.After.unrestricted())
}

// Undone reports whether u is kept out by what Restriction gave in place of c itself, which
// ends when c is discarded.
func (c Change) Undone(by string) bool {
	r, ok := c.Restriction(Object{})
	if !ok || r.By != by {
		return false
	}
	return c.What == Removed || c.Kind == User && r.Block.By == r.By
}
