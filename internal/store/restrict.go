package store

import (
	"reflect"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// What takes something away can be done where other changes cannot: without a master, and
// while an epoch has two sides. It never contradicts what somebody decided elsewhere.

// onlyBlocks reports whether the user was changed from old to u by a block alone, whatever
// that is.
func onlyBlocks(old, u mfa.User) bool {
	u.Changed = old.Changed
	block := u.Block
	u.Block = old.Block
	return block != nil && reflect.DeepEqual(old, u)
}

// onlyDisables reports whether the credential was changed from old to c by disabling it
// alone, if it was not disabled already.
func onlyDisables(old, c mfa.Credential) bool {
	if !c.Disabled || !c.Secret.Equal(old.Secret) {
		return false
	}
	c.Disabled, c.By = old.Disabled, old.By
	c.Secret, old.Secret = secret.Text{}, secret.Text{} // compared above
	return reflect.DeepEqual(old, c)
}
