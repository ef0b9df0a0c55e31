package passkey_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/method/passkey"
	"countersign/internal/method/passkey/passkeytest"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

const site = "mfa.corp.example"

// rig is the method of a group, with one user.
type rig struct {
	passkey.Method
	t    testing.TB
	set  policy.Settings
	user mfa.User
	made int
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, set: policy.Defaults(), user: mfa.User{ID: "aaaaaaaaaaaaaaaa", Login: "alice", Name: "Alice"}}
	r.set.PasskeySite = site
	r.Method = passkey.Method{Name: "acme", Settings: func() policy.Settings { return r.set },
		Digest: func(purpose, value string) [32]byte {
			return sha256.Sum256([]byte("key of the group " + purpose + " " + value))
		}}
	return r
}

func key() *passkeytest.Authenticator {
	return &passkeytest.Authenticator{Origin: "https://" + site, Verified: true}
}

var attempt = mfa.AttemptID{1, 2, 3}

// makes has an authenticator make a passkey of the rig's user.
func (r *rig) makes(a *passkeytest.Authenticator, has ...mfa.Credential) (mfa.Credential, error) {
	r.t.Helper()
	r.made++
	options, err := r.Creation(r.user, attempt, uint64(r.made), has, time.Minute)
	if err != nil {
		return mfa.Credential{}, err
	}
	answer, err := a.Make(options)
	if err != nil {
		return mfa.Credential{}, err
	}
	k, err := r.Made(attempt, uint64(r.made), secret.FromString(answer))
	if err != nil {
		return mfa.Credential{}, err
	}
	kept, err := k.Kept()
	return mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: r.user.ID, Method: mfa.MethodPasskey, Secret: kept}, err
}

func (r *rig) enrolled(a *passkeytest.Authenticator) mfa.Credential {
	r.t.Helper()
	c, err := r.makes(a)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) asks(nonce uint64, all ...mfa.Credential) []byte {
	r.t.Helper()
	step, err := r.Begin(r.t.Context(), mfa.Ask{Application: "portal", Attempt: attempt, Nonce: nonce, Alike: all}, mfa.Credential{})
	if err != nil {
		r.t.Fatal(err)
	}
	return step.Options
}

func (r *rig) uses(a *passkeytest.Authenticator, nonce uint64, all ...mfa.Credential) string {
	r.t.Helper()
	answer, err := a.Use(r.asks(nonce, all...))
	if err != nil {
		r.t.Fatal(err)
	}
	return answer
}

func (r *rig) finish(c mfa.Credential, f mfa.Floor, nonce uint64, alone bool, answer string) (mfa.Floor, error) {
	p, err := r.Finish(context.Background(), c, f, mfa.Step{Attempt: attempt, Nonce: nonce, Alone: alone}, secret.FromString(answer))
	return p.Floor, err
}

func TestRightPasskey(t *testing.T) {
	r, a := newRig(t), key()
	c := r.enrolled(a)
	answer := r.uses(a, 7, c)
	if f, err := r.finish(c, mfa.Floor{}, 7, true, answer); err != nil || f != (mfa.Floor{}) {
		t.Errorf("one that does not count: %+v, %v", f, err)
	}
	if who, err := r.Whose(secret.FromString(answer)); err != nil || who != r.user.ID {
		t.Errorf("whose: %q, %v", who, err)
	}
	k, err := mfa.ParsePasskey(c)
	if err != nil || k.Model != "00000000-0000-0000-0000-000000000000" || !k.Discoverable || k.Synced() || k.Format != "none" || len(k.Transports) != 1 {
		t.Errorf("kept %+v, %v", k, err)
	}
	if _, err := r.makes(a, c); !errors.Is(err, passkeytest.ErrHas) {
		t.Errorf("a second one on the same device: %v", err)
	}
	found, err := a.Use(r.asks(8))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.finish(c, mfa.Floor{}, 8, true, found); err != nil {
		t.Errorf("found by itself: %v", err)
	}
}

// Each answer that is not the right one is refused for its own reason.
func TestWrongAnswers(t *testing.T) {
	for name, x := range map[string]struct {
		spoil func(r *rig, a *passkeytest.Authenticator)
		alone bool
		want  mfa.Reason
	}{
		"another page":              {func(_ *rig, a *passkeytest.Authenticator) { a.Origin = "https://mfa.corp.example.evil.example" }, false, mfa.PasskeyWrongSite},
		"a page beside":             {func(_ *rig, a *passkeytest.Authenticator) { a.Origin = "https://other.corp.example" }, false, mfa.PasskeyWrongSite},
		"a page below, not named":   {func(_ *rig, a *passkeytest.Authenticator) { a.Origin = "https://nyc1.mfa.corp.example" }, false, mfa.PasskeyWrongSite},
		"a page without TLS":        {func(_ *rig, a *passkeytest.Authenticator) { a.Origin = "http://mfa.corp.example" }, false, mfa.PasskeyWrongSite},
		"a frame":                   {func(_ *rig, a *passkeytest.Authenticator) { a.Framed = true }, false, mfa.PasskeyWrongSite},
		"of another site":           {func(_ *rig, a *passkeytest.Authenticator) { a.Site = "corp.example" }, false, mfa.PasskeyWrongSite},
		"another challenge":         {func(_ *rig, a *passkeytest.Authenticator) { a.Challenge = strings.Repeat("A", 43) }, false, mfa.PasskeyOtherChallenge},
		"another ceremony":          {func(_ *rig, a *passkeytest.Authenticator) { a.Type = "webauthn.create" }, false, mfa.PasskeyInvalid},
		"nobody touched it":         {func(_ *rig, a *passkeytest.Authenticator) { a.Absent = true }, false, mfa.PasskeyInvalid},
		"a wrong signature":         {func(_ *rig, a *passkeytest.Authenticator) { a.Damaged = true }, false, mfa.PasskeyInvalid},
		"it says another user":      {func(_ *rig, a *passkeytest.Authenticator) { a.User = "bbbbbbbbbbbbbbbb" }, false, mfa.PasskeyUnknown},
		"it can be copied now":      {func(_ *rig, a *passkeytest.Authenticator) { a.Synced = true }, false, mfa.PasskeyInvalid},
		"no PIN":                    {func(_ *rig, a *passkeytest.Authenticator) { a.Verified = false }, false, mfa.OK},
		"no PIN, alone":             {func(_ *rig, a *passkeytest.Authenticator) { a.Verified = false }, true, mfa.PasskeyUnverified},
		"no PIN, and the policy":    {func(r *rig, a *passkeytest.Authenticator) { a.Verified, r.set.PasskeyVerify = false, "required" }, false, mfa.PasskeyUnverified},
		"the site has another name": {func(r *rig, _ *passkeytest.Authenticator) { r.set.PasskeySite = "mfa.other.example" }, false, mfa.PasskeyWrongSite},
		"the site has none":         {func(r *rig, _ *passkeytest.Authenticator) { r.set.PasskeySite = "" }, false, mfa.PasskeyNoSite},
		"a page that is named": {func(r *rig, a *passkeytest.Authenticator) {
			a.Origin, r.set.PasskeyOrigins = "https://nyc1.mfa.corp.example:8443", []string{"https://nyc1.mfa.corp.example:8443"}
		}, true, mfa.OK},
		"another port": {func(_ *rig, a *passkeytest.Authenticator) { a.Origin = "https://mfa.corp.example:8443" }, true, mfa.OK},
		"a model that is denied since": {func(r *rig, _ *passkeytest.Authenticator) {
			r.set.PasskeyDeny = []string{"00000000-0000-0000-0000-000000000000"}
		}, false, mfa.PasskeyModelRefused},
		"denied, and a wrong signature": {func(r *rig, a *passkeytest.Authenticator) {
			r.set.PasskeyDeny, a.Damaged = []string{"00000000-0000-0000-0000-000000000000"}, true
		}, false, mfa.PasskeyInvalid},
		"another model is denied": {func(r *rig, _ *passkeytest.Authenticator) {
			r.set.PasskeyDeny = []string{"ee882879-721c-4913-9775-3dfcce97072a"}
		}, false, mfa.OK},
		"a model that is not among the allowed ones": {func(r *rig, _ *passkeytest.Authenticator) {
			r.set.PasskeyAllow = []string{"ee882879-721c-4913-9775-3dfcce97072a"}
		}, false, mfa.OK},
	} {
		r, a := newRig(t), key()
		c := r.enrolled(a)
		options := r.asks(7, c)
		x.spoil(r, a)
		answer, err := a.UseAny(options)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.finish(c, mfa.Floor{}, 7, x.alone, answer)
		if got := reason(err); got != x.want {
			t.Errorf("%s: %v, want %s", name, err, x.want)
		}
	}
}

func reason(err error) mfa.Reason {
	why := mfa.OK
	if err != nil {
		why = mfa.ReasonNone
	}
	errors.As(err, &why)
	return why
}

func TestAnswersOfOthers(t *testing.T) {
	r, a, b := newRig(t), key(), key()
	mine := r.enrolled(a)
	r.user = mfa.User{ID: "bbbbbbbbbbbbbbbb", Login: "bob"}
	theirs := r.enrolled(b)
	if _, err := r.finish(mine, mfa.Floor{}, 7, false, r.uses(b, 7, theirs)); reason(err) != mfa.PasskeyUnknown {
		t.Errorf("another user's passkey: %v", err)
	}
	// One that claims the id of another's passkey has not its key.
	forged := r.uses(b, 7, theirs)
	k, _ := mfa.ParsePasskey(mine)
	o, _ := mfa.ParsePasskey(theirs)
	forged = strings.ReplaceAll(forged, b64(o.ID), b64(k.ID))
	if _, err := r.finish(mine, mfa.Floor{}, 7, false, forged); reason(err) != mfa.PasskeyInvalid {
		t.Errorf("another passkey under that id: %v", err)
	}
	for name, answer := range map[string]string{"nothing": "", "a code": "123456", "a word": "other"} {
		if _, err := r.finish(mine, mfa.Floor{}, 7, false, answer); reason(err) != mfa.WrongCode {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, answer := range map[string]string{"no JSON": "{", "an empty one": "{}", "too long": "{" + strings.Repeat(" ", passkey.MaxAnswer), "null": `{"id":null}`} {
		if _, err := r.finish(mine, mfa.Floor{}, 7, false, answer); reason(err) != mfa.PasskeyInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Whose(secret.FromString(answer)); reason(err) != mfa.PasskeyInvalid {
			t.Errorf("whose is %s: %v", name, err)
		}
	}
	if _, err := r.finish(mine, mfa.Floor{}, 0, false, r.uses(a, 0, mine)); reason(err) != mfa.PasskeyOtherChallenge {
		t.Errorf("an answer to no challenge: %v", err)
	}
	if _, err := r.Finish(t.Context(), mine, mfa.Floor{}, mfa.Step{Attempt: mfa.AttemptID{9}, Nonce: 7}, secret.FromString(r.uses(a, 7, mine))); reason(err) != mfa.PasskeyOtherChallenge {
		t.Errorf("an answer to another attempt's challenge: %v", err)
	}
}

// A counter that goes back, or stands still, is a copy's.
func TestCounter(t *testing.T) {
	r, a := newRig(t), key()
	a.Counts, a.Count = true, 10
	c := r.enrolled(a)
	thief := a.Copy()
	var f mfa.Floor
	var err error
	for range 3 {
		if f, err = r.finish(c, f, 7, true, r.uses(a, 7, c)); err != nil {
			t.Fatal(err)
		}
	}
	if f.Next != 14 {
		t.Errorf("floor %+v after 13", f)
	}
	if _, err := r.finish(c, f, 7, true, r.uses(thief, 7, c)); reason(err) != mfa.PasskeyCounterBack || !strings.Contains(err.Error(), "it is 11, and was 13 before") {
		t.Errorf("a copy: %v", err)
	}
	thief.Count, thief.Counts = 13, false
	if _, err := r.finish(c, f, 7, true, r.uses(thief, 7, c)); reason(err) != mfa.PasskeyCounterBack {
		t.Errorf("a copy that stands still: %v", err)
	}
	thief.Count = 0
	if _, err := r.finish(c, mfa.Floor{}, 7, true, r.uses(thief, 7, c)); reason(err) != mfa.PasskeyCounterBack {
		t.Errorf("a copy that does not count: %v", err)
	}
	if _, err := r.finish(c, f, 7, true, r.uses(a, 7, c)); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestMaking(t *testing.T) {
	const model = "fa2b99dc-9e39-4257-8f92-4a30d23c4118"
	m, err := policy.ParseModel(model)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		spoil func(r *rig, a *passkeytest.Authenticator)
		want  mfa.Reason
	}{
		"another page":       {func(_ *rig, a *passkeytest.Authenticator) { a.Origin = "https://evil.example" }, mfa.PasskeyWrongSite},
		"of another site":    {func(_ *rig, a *passkeytest.Authenticator) { a.Site = "evil.example" }, mfa.PasskeyWrongSite},
		"another challenge":  {func(_ *rig, a *passkeytest.Authenticator) { a.Challenge = "AAAA" }, mfa.PasskeyOtherChallenge},
		"another ceremony":   {func(_ *rig, a *passkeytest.Authenticator) { a.Type = "webauthn.get" }, mfa.PasskeyInvalid},
		"nobody touched it":  {func(_ *rig, a *passkeytest.Authenticator) { a.Absent = true }, mfa.PasskeyInvalid},
		"no PIN":             {func(_ *rig, a *passkeytest.Authenticator) { a.Verified = false }, mfa.OK},
		"no PIN, the policy": {func(r *rig, a *passkeytest.Authenticator) { a.Verified, r.set.PasskeyVerify = false, "required" }, mfa.PasskeyUnverified},
		"a model": {func(r *rig, a *passkeytest.Authenticator) {
			a.Model, r.set.PasskeyAllow = m, []string{strings.ToUpper(model)}
		}, mfa.OK},
		"no model":       {func(r *rig, _ *passkeytest.Authenticator) { r.set.PasskeyAllow = []string{model} }, mfa.PasskeyModelRefused},
		"a denied model": {func(r *rig, a *passkeytest.Authenticator) { a.Model, r.set.PasskeyDeny = m, []string{model} }, mfa.PasskeyModelRefused},
		"no site":        {func(r *rig, _ *passkeytest.Authenticator) { r.set.PasskeySite = "" }, mfa.PasskeyNoSite},
		"copied":         {func(_ *rig, a *passkeytest.Authenticator) { a.Synced = true }, mfa.OK},
	} {
		r, a := newRig(t), key()
		x.spoil(r, a)
		if _, err := r.makes(a); reason(err) != x.want {
			t.Errorf("%s: %v, want %s", name, err, x.want)
		}
	}
}

// parts are the authenticator data and the signature of an answer, as they stand there.
func parts(answer string) (data, signature string) {
	var a struct {
		Response struct {
			Data      string `json:"authenticatorData"`
			Signature string `json:"signature"`
		} `json:"response"`
	}
	if json.Unmarshal([]byte(answer), &a) != nil {
		return "", ""
	}
	return a.Response.Data, a.Response.Signature
}
