package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/mfa"
)

// refusal is what a page says of an error, without the word that a page says by being shown: that
// it was refused.
func refusal(said string) string {
	return strings.TrimSuffix(strings.ReplaceAll(said, mfa.ErrInvalid.Error()+": ", ""), ": "+mfa.ErrInvalid.Error())
}

// refused is a line of a list of those that something was not done to, in the reader's language.
func (c *Console) refused(r *http.Request, whom string, err error) string {
	return whom + ": " + c.edition(r).Phrases.Say(refusal(err.Error()))
}

// saysNothingChanged reports whether an error says itself that nothing was changed.
func saysNothingChanged(err error) bool { return strings.Contains(err.Error(), "nothing was changed") }

// noNumber says what is wrong with what was typed where a number is wanted; label is the key of
// the field's text.
func (c *Console) noNumber(r *http.Request, label, typed string) error {
	if typed == "" {
		return fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "form.number.none", c.say(r, label)))
	}
	if _, err := strconv.Atoi(typed); err == nil {
		return fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "form.number.low", typed, c.say(r, label)))
	}
	return fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "form.number.bad", typed, c.say(r, label)))
}
