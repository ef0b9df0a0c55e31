package web

import (
	"embed"
	"net/http"

	"countersign/internal/policy"
)

// Parts are templates that all sets of pages share: "passkey" is a PasskeyForm.
//
//go:embed part/*.html
var Parts embed.FS

// PasskeyForm is a form that has the browser make ("create") or use ("get") a passkey.
type PasskeyForm struct {
	Kind    string
	Action  string
	Options string            // JSON
	Hidden  map[string]string // what comes back with it
	Label   *PasskeyLabel     // nil: no name is asked for
	Auto    bool              // it begins by itself
}

// PasskeyLabel is the name that somebody gives a passkey.
type PasskeyLabel struct{ Value string }

// NoPasskey says why passkeys cannot be used on a page.
type NoPasskey struct {
	Why  string // "name", "address"
	Here string // what the page was opened under
	Site string // what it is to be opened under
}

// Passkeys reports whether passkeys can be used on the page of a request, and if not though there
// are some, why.
func Passkeys(r *http.Request, set policy.Settings) (bool, *NoPasskey) {
	switch why := set.WhyNoPasskey(r.Host); why {
	case "":
		return true, nil
	case "off":
		return false, nil
	default:
		return false, &NoPasskey{why, r.Host, set.PasskeySite}
	}
}
