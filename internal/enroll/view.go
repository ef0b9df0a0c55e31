package enroll

import (
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Credential is a credential as the API shows it; its secret never.
type Credential struct {
	ID        mfa.CredentialID `json:"id"`
	Method    mfa.MethodID     `json:"method"`
	Label     string           `json:"label"`
	Algorithm string           `json:"algorithm,omitempty"`
	Digits    int              `json:"digits,omitempty"`
	Period    int              `json:"period,omitempty" doc:"totp: seconds"`
	Drift     int              `json:"drift,omitempty" doc:"totp: steps by which the token's clock is ahead (+) or behind (-)"`
	Uses      int              `json:"uses,omitempty" doc:"recovery: codes; tap: how often it may be used"`
	Left      *int             `json:"left,omitempty" doc:"recovery, tap: how many of these are left"`
	Scope     []string         `json:"scope,omitempty" doc:"tap: applications; empty: every application"`
	Awaits    bool             `json:"awaits_approval,omitempty" doc:"tap: it serves nobody until another administrator has approved it"`
	Approver  string           `json:"approved_by,omitempty" doc:"tap: who approved it; its issuer, where nobody else has to"`
	Disabled  bool             `json:"disabled"`
	Hold      string           `json:"hold,omitempty" doc:"why it serves nobody until it is resynchronised"`
	Created   time.Time        `json:"created"`
	Confirmed *time.Time       `json:"confirmed,omitempty" doc:"absent: not proven yet"`
	Expires   *time.Time       `json:"expires,omitempty"`
	By        string           `json:"by"`
	Why       string           `json:"why,omitempty"`
	Passkey   *Passkey         `json:"passkey,omitempty"`
}

// Passkey is what there is to know of a passkey.
type Passkey struct {
	Model        string   `json:"model" doc:"AAGUID; zeros: it does not tell"`
	Count        uint64   `json:"count" doc:"signatures, as it counts them; 0: it does not"`
	Transports   []string `json:"transports" doc:"how a browser reaches it"`
	Synced       bool     `json:"synced" doc:"it may be on more than one device of its user"`
	BackedUp     bool     `json:"backed_up" doc:"it was, when it was made"`
	Discoverable bool     `json:"discoverable" doc:"it says by itself whose it is, so it can stand for both factors"`
	Attestation  string   `json:"attestation" doc:"format of what it said of its maker"`
}

// CredentialList is all credentials of one user.
type CredentialList struct {
	Credentials []Credential `json:"credentials"`
	Next        string       `json:"next,omitempty"`
}

// Request asks for a credential. Without Secret, totp and hotp get one that is made here.
type Request struct {
	Method    mfa.MethodID `json:"method" enum:"totp,hotp,sms,call,email,push,recovery,tap"`
	Label     string       `json:"label,omitempty" maxLength:"64"`
	Secret    *secret.Wire `json:"secret,omitempty" writeOnly:"true" doc:"totp, hotp: the key in Base32"`
	Algorithm string       `json:"algorithm,omitempty" enum:"SHA1,SHA256,SHA512" doc:"default SHA1"`
	Digits    int          `json:"digits,omitempty" minimum:"0" maximum:"8" doc:"6 to 8; default 6"`
	Period    int          `json:"period,omitempty" minimum:"0" maximum:"3600" doc:"seconds; default 30"`
	Counter   uint64       `json:"counter,omitempty" doc:"hotp: first counter that is good"`
	Codes     int          `json:"codes,omitempty" minimum:"0" maximum:"50" doc:"recovery: how many; default 10"`
	Seconds   int64        `json:"seconds,omitempty" minimum:"0" maximum:"2592000" doc:"tap: until it expires; default one hour"`
	Uses      int          `json:"uses,omitempty" minimum:"0" maximum:"60" doc:"tap: how often it may be used; default once"`
	Scope     []string     `json:"scope,omitempty" maxItems:"32" doc:"tap: applications that it is good for"`
	Why       string       `json:"why,omitempty" maxLength:"256" doc:"tap: the reason"`
	To        string       `json:"to,omitempty" maxLength:"254" doc:"sms: number; email: address; default: the one in the user's profile"`
	Trusted   bool         `json:"trusted,omitempty" doc:"sms, email: it comes from where only its owner can have it from, so nothing has to be proven"`
}

// Created is a new credential. The secret fields are set only when they were made here,
// and only this once.
type Created struct {
	Credential
	Secret     *secret.Wire  `json:"secret,omitempty"`
	OTPAuthURL *secret.Wire  `json:"otpauth_url,omitempty"`
	Codes      []secret.Wire `json:"codes,omitempty"`
	Challenge  string        `json:"challenge,omitempty" doc:"sms, email: a code was sent; this goes back with it to confirm"`
	Activation *secret.Wire  `json:"activation_code,omitempty" doc:"push: brought by the device, once, before the credential expires"`
	URL        *secret.Wire  `json:"activation_url,omitempty" doc:"push: where the device is activated; the code is in it"`
}

// Sent says that a code was sent.
type Sent struct {
	ID        mfa.CredentialID `json:"id"`
	To        string           `json:"to" doc:"masked"`
	Challenge string           `json:"challenge" doc:"goes back with the code to confirm"`
	Expires   time.Time        `json:"expires"`
}

// Codes are what a user reads off the token: one to confirm it, two consecutive ones to
// resynchronise it.
type Codes struct {
	Codes     []secret.Wire `json:"codes" minItems:"1" maxItems:"2" writeOnly:"true"`
	Challenge string        `json:"challenge,omitempty" maxLength:"512" doc:"sms, email: as it came when the code was sent"`
}
