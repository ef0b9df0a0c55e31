package passkey

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// maxID bounds an authenticator's id for a passkey, in bytes (Web Authentication §4).
const maxID = 1023

// algorithms are those of the keys that are taken, the best first: ES256, EdDSA, RS256.
var algorithms = []algorithm{
	{"public-key", int64(webauthncose.AlgES256)}, {"public-key", int64(webauthncose.AlgEdDSA)}, {"public-key", int64(webauthncose.AlgRS256)},
}

// Creation returns what a browser needs to make a passkey for a user, within life. has are the
// user's passkeys: an authenticator that holds one makes no other. nonce must not be 0.
func (m Method) Creation(u mfa.User, a mfa.AttemptID, nonce uint64, has []mfa.Credential, life time.Duration) ([]byte, error) {
	set := m.Settings()
	if set.PasskeySite == "" {
		return nil, mfa.PasskeyNoSite
	}
	o := creation{Challenge: m.challenge(a, nonce), Timeout: life.Milliseconds(), Site: entity{set.PasskeySite, m.Name},
		User: person{encoded(u.ID), u.Login, u.Name}, Algorithms: algorithms, Selection: selection{"preferred", set.PasskeyVerify},
		Attestation: "none", Extensions: extensions{true}}
	if o.User.Display == "" {
		o.User.Display = u.Login
	}
	if set.PasskeyModels() { // browsers leave out the model of a security key otherwise
		o.Attestation = "direct"
	}
	var err error
	if o.Exclude, err = describe(has); err != nil {
		return nil, err
	}
	return json.Marshal(o)
}

// Made reads what a browser returned that was asked to make a passkey. The error is a mfa.Reason
// if that is none that we take.
func (m Method) Made(a mfa.AttemptID, nonce uint64, answer secret.Text) (mfa.Passkey, error) {
	if nonce == 0 || answer.Empty() || answer.Len() > MaxAnswer {
		return mfa.Passkey{}, fmt.Errorf("%w: %d bytes", mfa.PasskeyInvalid, answer.Len())
	}
	p, err := protocol.ParseCredentialCreationResponseBytes(answer.Expose())
	if err != nil {
		return mfa.Passkey{}, invalid(err)
	}
	set, object := m.Settings(), p.Response.AttestationObject
	challenge := base64.RawURLEncoding.EncodeToString(m.challenge(a, nonce))
	if err := site(set, p.Response.CollectedClientData, object.AuthData.RPIDHash, protocol.CreateCeremony, challenge); err != nil {
		return mfa.Passkey{}, err
	}
	if err := attested(set, p, challenge); err != nil {
		return mfa.Passkey{}, err
	}
	return kept(set, p)
}

// kept takes from a new passkey what is kept of it, if the policy takes such.
func kept(set policy.Settings, p *protocol.ParsedCredentialCreationData) (mfa.Passkey, error) {
	object := p.Response.AttestationObject
	made, flags := object.AuthData.AttData, object.AuthData.Flags
	k := mfa.Passkey{ID: made.CredentialID, Key: made.CredentialPublicKey, Count: object.AuthData.Counter, Flags: byte(flags), Format: object.Format}
	var model policy.Model
	copy(model[:], made.AAGUID)
	k.Model = model.String()
	switch {
	case len(k.ID) == 0 || len(k.ID) > maxID || string(k.ID) != string(p.RawID):
		return mfa.Passkey{}, fmt.Errorf("%w: an id of %d bytes, or two of them", mfa.PasskeyInvalid, len(k.ID))
	case flags.HasBackupState() && !flags.HasBackupEligible():
		return mfa.Passkey{}, fmt.Errorf("%w: copied, and not to be copied", mfa.PasskeyInvalid)
	case set.PasskeyVerify == policy.VerifyRequired && !flags.HasUserVerified():
		return mfa.Passkey{}, mfa.PasskeyUnverified
	case !set.PasskeyModel(model):
		return mfa.Passkey{}, fmt.Errorf("%w: %s", mfa.PasskeyModelRefused, k.Model)
	}
	for _, t := range p.Response.Transports {
		if word(string(t)) && len(k.Transports) < 8 {
			k.Transports = append(k.Transports, string(t))
		}
	}
	if properties := p.ClientExtensionResults.CredProps; properties != nil && properties.RK != nil {
		k.Discoverable = *properties.RK
	}
	return k, nil
}

// attested checks the attestation, as far as it can be without knowing whom to trust: that it is
// of this passkey and ceremony, that somebody was there, and that the key is of a kind we take.
func attested(set policy.Settings, p *protocol.ParsedCredentialCreationData, challenge string) error {
	taken := make([]protocol.CredentialParameter, len(algorithms))
	for i, a := range algorithms {
		taken[i] = protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(a.ID)}
	}
	_, err := p.Verify(challenge, set.PasskeySite, []string{p.Response.CollectedClientData.Origin}, nil, nil, protocol.TopOriginExplicitVerificationMode,
		false, false, true, nil, taken, protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
	return invalid(err)
}

// word reports whether s is a short word, as transports are.
func word(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 16
}
