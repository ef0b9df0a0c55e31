package parking

import (
	"crypto/subtle"
	"reflect"

	"countersign/internal/secret"
)

// None reports whether there is no object.
func (o Object) None() bool {
	return o.User == nil && o.Credential == nil && o.Application == nil && o.Directory == nil && o.Token == nil && o.Administrator == nil && o.Settings == nil && o.Server == nil && o.Gateway == nil
}

// Same reports whether two objects are the same but for the time of their last change and
// who made that.
func (o Object) Same(p Object) bool {
	a, sa := o.plain()
	b, sb := p.plain()
	return reflect.DeepEqual(a, b) && subtle.ConstantTimeCompare(sa.Expose(), sb.Expose()) == 1
}

// plain returns a copy without what Same passes over, and without its secret.
func (o Object) plain() (Object, secret.Text) {
	var s secret.Text
	switch {
	case o.User != nil:
		u := *o.User
		u.Changed = u.Created
		if len(u.Aliases) == 0 {
			u.Aliases = nil
		}
		if len(u.Tags) == 0 {
			u.Tags = nil
		}
		if u.Block != nil {
			b := *u.Block
			b.Since, b.By, b.Until = u.Created, "", b.Until.UTC()
			u.Block = &b
		}
		o.User = &u
	case o.Credential != nil:
		c := *o.Credential
		s, c.Secret, c.By = c.Secret, secret.Text{}, ""
		if len(c.Scope) == 0 {
			c.Scope = nil
		}
		o.Credential = &c
	case o.Application != nil:
		a := *o.Application
		s, a.Secret, a.Changed = a.Secret, secret.Text{}, a.Created
		o.Application = &a
	case o.Token != nil:
		t := *o.Token
		t.Used = t.Created
		o.Token = &t
	case o.Settings != nil:
		p := *o.Settings
		p.Rules = p.Rules.Plain()
		o.Settings = &p
	case o.Administrator != nil:
		a := *o.Administrator
		a.By, a.Changed = "", a.Created
		o.Administrator = &a
	case o.Directory != nil:
		d := *o.Directory
		s, d.BindPassword, d.Changed = d.BindPassword, secret.Text{}, d.Created
		o.Directory = &d
	case o.Gateway != nil:
		g := *o.Gateway
		s, g.Password, g.Changed = g.Password, secret.Text{}, g.Created
		o.Gateway = &g
	}
	return o, s
}

// unrestricted returns o without what restricts a user or a credential.
func (o Object) unrestricted() Object {
	switch {
	case o.User != nil:
		u := *o.User
		u.Block = nil
		o.User = &u
	case o.Credential != nil:
		c := *o.Credential
		c.Disabled = false
		o.Credential = &c
	}
	return o
}

// lifts reports whether c takes a restriction away.
func (c Change) lifts() bool {
	switch {
	case c.Before.User != nil && c.After.User != nil:
		return c.Before.User.Block != nil && !reflect.DeepEqual(c.Before.User.Block, c.After.User.Block)
	case c.Before.Credential != nil && c.After.Credential != nil:
		return c.Before.Credential.Disabled && !c.After.Credential.Disabled
	}
	return false
}

// Standing says how an object of now stands to a change of it.
type Standing int

// The standings.
const (
	Waits    Standing = iota // it is as it was at the fork: the change can be applied
	Done                     // it is as the change would make it
	Conflict                 // it was changed in the group's epoch too
)

// Stands compares the object as it is now with c. Restrictions that came on top, as those
// that were applied by themselves, are no conflict.
func (c Change) Stands(now Object) Standing {
	switch {
	case c.Kind == Server:
		return Waits
	case now.Same(c.After):
		return Done
	case c.BaseKnown && !c.lifts() && !now.None() && !c.After.None() && stricter(now, c.After) && now.unrestricted().Same(c.After.unrestricted()):
		return Done
	case !c.BaseKnown:
		return Conflict
	case now.Same(c.Before):
		return Waits
	case !now.None() && !c.Before.None() && stricter(now, c.Before) && now.unrestricted().Same(c.Before.unrestricted()):
		return Waits
	}
	return Conflict
}

// stricter reports whether a restricts at least as much as b.
func stricter(a, b Object) bool {
	switch {
	case a.User != nil && b.User != nil:
		return !b.User.Block.Stricter(a.User.Block)
	case a.Credential != nil && b.Credential != nil:
		return a.Credential.Disabled || !b.Credential.Disabled
	}
	return false
}
