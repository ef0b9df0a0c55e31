// Package passkey is the method for passkeys and security keys (Web Authentication). A passkey
// signs a challenge and the name of the page that it was used on, so its answer is good for one
// attempt at one site. The challenge is a keyed digest of what the sealed handle names, so any
// server of the group can check the answer, and the engine spends the handle with it. It knows
// no browser: what one needs and what it returns is JSON.
package passkey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// MaxAnswer bounds what a browser returns, in bytes: an attestation with its certificates takes some thousands.
const MaxAnswer = 16 << 10

// purpose of the digest that a challenge is.
const purpose = "passkey challenge"

// userSize is how long a user id is.
const userSize = 16

// Method is the method for passkeys. All fields must be set.
type Method struct {
	Name     string // of the group, as a browser shows it
	Settings func() policy.Settings
	Digest   func(purpose, value string) [32]byte // under a key that the group shares and never changes
}

// ID returns mfa.MethodPasskey.
func (Method) ID() mfa.MethodID { return mfa.MethodPasskey }

// Needs returns mfa.CanPrompt and mfa.CanPasskey.
func (Method) Needs() mfa.Caps { return mfa.CanPrompt | mfa.CanPasskey }

// Begin returns what a browser needs to answer with one of a.Alike or, if there are none, with a
// passkey that says by itself whose it is. It returns mfa.PasskeyNoSite if the policy names no
// site.
func (m Method) Begin(_ context.Context, a mfa.Ask, _ mfa.Credential) (mfa.Step, error) {
	set := m.Settings()
	if set.PasskeySite == "" {
		return mfa.Step{}, mfa.PasskeyNoSite
	}
	o := request{Challenge: m.challenge(a.Attempt, a.Nonce), Timeout: set.Handle.Duration().Milliseconds(), Site: set.PasskeySite,
		Verification: set.PasskeyVerify, Allow: []descriptor{}}
	if len(a.Alike) == 0 {
		o.Verification = policy.VerifyRequired
	}
	var err error
	if o.Allow, err = describe(a.Alike); err != nil {
		return mfa.Step{}, err
	}
	options, err := o.encode()
	return mfa.Step{Prompt: "Use your passkey", Options: options}, err
}

// challenge is what the passkey signs, for one handle.
func (m Method) challenge(a mfa.AttemptID, nonce uint64) []byte {
	d := m.Digest(purpose, string(binary.BigEndian.AppendUint64(a[:len(a):len(a)], nonce)))
	return d[:]
}

// Whose returns the user whom an answer names, unproven; mfa.PasskeyInvalid if it names none.
func (Method) Whose(answer secret.Text) (mfa.UserID, error) {
	p, err := parse(answer)
	if err != nil {
		return "", err
	}
	if !isUser(p.Response.UserHandle) {
		return "", fmt.Errorf("%w: it does not say whose it is", mfa.PasskeyInvalid)
	}
	return mfa.UserID(p.Response.UserHandle), nil
}

// isUser reports whether a user handle has the form of our ids.
func isUser(handle []byte) bool {
	for _, c := range handle {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(handle) == userSize
}

// parse reads what a browser returned of a passkey that was used.
func parse(answer secret.Text) (*protocol.ParsedCredentialAssertionData, error) {
	if answer.Empty() || answer.Len() > MaxAnswer {
		return nil, fmt.Errorf("%w: %d bytes", mfa.PasskeyInvalid, answer.Len())
	}
	p, err := protocol.ParseCredentialRequestResponseBytes(answer.Expose())
	if err != nil {
		return nil, invalid(err)
	}
	return p, nil
}

// Finish returns a proof if the answer is c's to the challenge that s names, with a counter above
// f. Whoever has no passkey can make no answer, so nothing is to be learnt from how long it takes.
// What is typed is mfa.WrongCode. The signature comes first: what is judged after it has c
// behind it.
func (m Method) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, s mfa.Step, answer secret.Text) (mfa.Proof, error) {
	if answer.Empty() || answer.Expose()[0] != '{' {
		return mfa.Proof{}, mfa.WrongCode
	}
	k, err := mfa.ParsePasskey(c)
	if err != nil {
		return mfa.Proof{}, err
	}
	p, err := parse(answer)
	if err != nil {
		return mfa.Proof{}, err
	}
	if string(p.RawID) != string(k.ID) {
		return mfa.Proof{}, mfa.PasskeyUnknown
	}
	set := m.Settings()
	if err := m.signed(set, k, s, p); err != nil {
		return mfa.Proof{}, err
	}
	if h := p.Response.UserHandle; len(h) > 0 && string(h) != string(c.User) {
		return mfa.Proof{}, fmt.Errorf("%w: it says that it is another user's", mfa.PasskeyUnknown)
	}
	flags := p.Response.AuthenticatorData.Flags
	if flags.HasBackupEligible() != k.Synced() || flags.HasBackupState() && !flags.HasBackupEligible() {
		return mfa.Proof{}, fmt.Errorf("%w: it says of itself now that it can be copied, and did not when it was made, or the other way round", mfa.PasskeyInvalid)
	}
	if !flags.HasUserVerified() && (s.Alone || set.PasskeyVerify == policy.VerifyRequired) {
		return mfa.Proof{}, mfa.PasskeyUnverified
	}
	if set.PasskeyDenied(k.Model) {
		return mfa.Proof{}, fmt.Errorf("%w: %s is in passkey_models_deny", mfa.PasskeyModelRefused, k.Model)
	}
	return counted(k, f, p.Response.AuthenticatorData.Counter)
}

// signed checks that k made the answer, for this challenge and on a page of ours.
func (m Method) signed(set policy.Settings, k mfa.Passkey, s mfa.Step, p *protocol.ParsedCredentialAssertionData) error {
	if s.Nonce == 0 { // nothing was asked
		return mfa.PasskeyOtherChallenge
	}
	said, data := p.Response.CollectedClientData, p.Response.AuthenticatorData
	challenge := base64.RawURLEncoding.EncodeToString(m.challenge(s.Attempt, s.Nonce))
	if err := site(set, said, data.RPIDHash, protocol.AssertCeremony, challenge); err != nil {
		return err
	}
	err := p.Verify(challenge, set.PasskeySite, "", []string{said.Origin}, nil, nil, protocol.TopOriginExplicitVerificationMode, false, false, true, k.Key, protocol.SignaturePolicy{})
	return invalid(err)
}

// site says what of the client data does not fit: the ceremony, the challenge, the page.
func site(set policy.Settings, said protocol.CollectedClientData, hash []byte, ceremony protocol.CeremonyType, challenge string) error {
	want := sha256.Sum256([]byte(set.PasskeySite))
	switch {
	case set.PasskeySite == "":
		return mfa.PasskeyNoSite
	case said.Type != ceremony:
		return fmt.Errorf("%w: the browser says %q, want %q", mfa.PasskeyInvalid, said.Type, ceremony)
	case said.Challenge != challenge:
		return mfa.PasskeyOtherChallenge
	case !set.PasskeyOrigin(said.Origin):
		return fmt.Errorf("%w: the page was %.80q, which policy passkey_site and passkey_origins do not name", mfa.PasskeyWrongSite, said.Origin)
	case said.CrossOrigin || said.TopOrigin != "":
		return fmt.Errorf("%w: the page was a frame in another one", mfa.PasskeyWrongSite)
	case string(hash) != string(want[:]):
		return fmt.Errorf("%w: the passkey is not one of %s", mfa.PasskeyWrongSite, set.PasskeySite)
	}
	return nil
}

// counted returns the floor that a passkey's counter raises. One that has ever counted must go
// on counting: where it does not, there may be two of it (Web Authentication §6.1.1).
func counted(k mfa.Passkey, f mfa.Floor, count uint32) (mfa.Proof, error) {
	if k.Count > 0 {
		f.Next = max(f.Next, uint64(k.Count)+1)
	}
	if f.Next > 0 && uint64(count) < f.Next {
		return mfa.Proof{}, fmt.Errorf("%w: it is %d, and was %d before", mfa.PasskeyCounterBack, count, f.Next-1)
	}
	if count > 0 {
		f.Next = uint64(count) + 1
	}
	return mfa.Proof{Floor: f}, nil
}

// invalid is mfa.PasskeyInvalid with what the library says.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	detail := err.Error()
	if e, ok := err.(*protocol.Error); ok && e.DevInfo != "" { //nolint:errorlint // the library wraps none
		detail += ": " + e.DevInfo
	}
	if len(detail) > 200 {
		detail = detail[:200]
	}
	return fmt.Errorf("%w: %q", mfa.PasskeyInvalid, detail)
}
