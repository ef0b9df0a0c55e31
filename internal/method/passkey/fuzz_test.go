package passkey_test

import (
	"encoding/base64"
	"errors"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Whatever a client sends as the answer of a passkey is refused with a reason; only the right one
// is not.
func FuzzUsed(f *testing.F) {
	r, a := newRig(f), key()
	a.Counts = true
	c := r.enrolled(a)
	right := r.uses(a, 7, c)
	f.Add(right)
	f.Add(r.uses(a, 8, c))
	f.Add(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA"}}`)
	f.Add("123456")
	_, signed := parts(right)
	f.Fuzz(func(t *testing.T, answer string) {
		floor, err := r.finish(c, mfa.Floor{}, 7, true, answer)
		var why mfa.Reason
		switch {
		case err == nil:
			if _, s := parts(answer); s != signed || floor.Next == 0 {
				t.Errorf("accepted %q, floor %+v", answer, floor)
			}
		case !errors.As(err, &why) || why.Accepts():
			t.Errorf("%q: %v", answer, err)
		}
		if who, err := r.Whose(secret.FromString(answer)); err == nil && len(who) != 16 {
			t.Errorf("%q is %q's", answer, who)
		}
	})
}

// Whatever a client sends as a new passkey is refused with a reason, or can be kept and read.
func FuzzMade(f *testing.F) {
	r, a := newRig(f), key()
	options, err := r.Creation(r.user, attempt, 1, nil, 1)
	if err != nil {
		f.Fatal(err)
	}
	answer, err := a.Make(options)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add(r.uses(a, 7))
	f.Add(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`)
	f.Fuzz(func(t *testing.T, answer string) {
		k, err := r.Made(attempt, 1, secret.FromString(answer))
		var why mfa.Reason
		if err != nil {
			if !errors.As(err, &why) || why.Accepts() {
				t.Errorf("%q: %v", answer, err)
			}
			return
		}
		kept, err := k.Kept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mfa.ParsePasskey(mfa.Credential{Method: mfa.MethodPasskey, Secret: kept}); err != nil {
			t.Errorf("%q: %v", answer, err)
		}
	})
}
