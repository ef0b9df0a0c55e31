package mfa

import "fmt"

// Reason says exactly why an attempt ended as it did. It goes to trail, metrics and
// console, never to the user. Its number is kept on disk: add at the end, change none.
// A Reason is an error, so that a method or a directory returns it as one; an error that
// holds no Reason is a fault of ours (DESIGN law 6).
type Reason uint16

// The reasons. Verdict is Accept for those marked accept and Reject for the others.
const (
	ReasonNone                Reason = iota // undecided; refuses
	OK                                      // accept: both factors
	ExemptUser                              // accept: the user's state is exempt
	ExemptNetwork                           // accept: the source lies in an exempt network of the application
	UnknownUserPassed                       // accept: unknown user of an application that lets these pass on the first factor
	FirstFactorOnly                         // accept: the application asks no second factor
	WrongPassword                           // first factor: mismatch
	EmptyPassword                           // first factor: nothing was sent
	PasswordExpired                         // first factor: the directory says expired (AD 532)
	PasswordMustChange                      // first factor: must be changed first (AD 773)
	AccountDisabled                         // first factor: disabled in the directory (AD 533)
	AccountExpired                          // first factor: account expired in the directory (AD 701)
	AccountLockedInDirectory                // first factor: locked in the directory (AD 775)
	LogonNotAllowed                         // first factor: hours or workstation (AD 530, 531)
	NotInDirectory                          // first factor: the directory does not know the user
	AmbiguousInDirectory                    // first factor: more than one entry matches
	NoLocalPassword                         // first factor: the user has no local password
	UnknownUser                             // the login resolves to nobody
	AmbiguousUser                           // the login resolves to more than one user
	InvalidLogin                            // empty, oversized, NUL, not UTF-8, not a PRECIS user name
	Denied                                  // the user's state is denied (or unclear)
	Blocked                                 // blocked by an administrator
	Locked                                  // too many wrong second factors
	FirstFactorLocked                       // too many wrong passwords
	SourceThrottled                         // too many failures from this source
	TooManyAttempts                         // the settlement record is full of unexpired entries
	ApplicationUnknown                      // no such application
	ApplicationDisabled                     // switched off
	NoCredential                            // no usable second factor that policy allows here
	PromptImpossible                        // a code is needed and this client cannot be asked for one
	WrongCode                               // no credential matches
	ReplayedCode                            // the code was used before
	CodeOutsideWindow                       // right code of a time step or counter outside the window
	RepeatedWrongPassword                   // the same wrong password within a minute: not evaluated, not counted
	EmptyCode                               // an answer without a code
	RepeatedWrongCode                       // the same wrong answer within a minute: not evaluated, not counted
	CredentialExpired                       // the credential is past its expiry
	CredentialDisabled                      // the credential is disabled
	ResyncRequired                          // the credential is held until it is resynchronised
	HeldAfterPromotion                      // the credential is held until a lost trail is merged
	ChallengeInvalid                        // the handle is forged or damaged
	ChallengeExpired                        // the handle is too old
	ChallengeReplayed                       // the handle was answered before
	ChallengeOtherClient                    // the handle belongs to another application
	ChallengeOtherUser                      // the handle belongs to another user than the login given with it
	ChallengeUnanswered                     // the user was asked for a code and none came
	Interrupted                             // settled, but the server stopped before it was recorded
	PasswordTooLong                         // first factor: over the limit
	MalformedRequest                        // a field that cannot be used: bad password padding and the like
	WrongScope                              // the pass is not valid for this application
	DegradedRefused                         // no master, and the application refuses to go on without one
	UnsupportedAuthentication               // the client asked for CHAP, MS-CHAP, EAP or nothing that we can check; PAP is needed
	HeldWhileIsolated                       // right, but started without a master: it may have been used elsewhere meanwhile
	KnownByAnotherName                      // unknown by the name typed, but the directory has another for the same person that is a user's here
	BeforePromotion                         // right, but of a time step that the lost master may have accepted it in
	NoGateway                               // nothing is set up to carry the message
	GatewayDown                             // no gateway can be reached: name, connection, certificate
	GatewaySlow                             // the gateway did not answer in time
	GatewayRefused                          // the gateway refuses us: login, sender, form of the request
	GatewayNoCredit                         // the account at the gateway is used up
	RecipientRefused                        // the gateway says that the number or address cannot be reached
	CountryNotAllowed                       // no gateway may send to the number's country
	SpendCapReached                         // every gateway has sent as much as it may in a day or month
	TooManyMessages                         // the user, the number or its country has been sent too many
	MessageUndelivered                      // the gateway took the message and says that it never arrived
	CredentialUnproven                      // nobody has proven yet that the token, number or address is the user's
	AnotherCodeAsked                        // the user asked for the code to be sent again
	OtherMethodAsked                        // the user asked for another way
	PasskeyUnknown                          // the passkey is none of the user's
	PasskeyInvalid                          // what the browser sent is no answer of that passkey: form, signature
	PasskeyOtherChallenge                   // the passkey answered another challenge: an answer that was used or came late
	PasskeyWrongSite                        // the passkey was used on a page of another name, or made for one
	PasskeyUnverified                       // the passkey did not ask its user for PIN, finger or face, which the policy wants
	PasskeyCounterBack                      // the passkey's counter went back or stood still: there may be a copy of it
	PasskeyModelRefused                     // the policy does not allow passkeys of that model (any more)
	PasskeyNotAlone                         // the policy does not take a passkey in place of the password here
	PasskeyNoSite                           // the policy names no site that passkeys belong to
	FraudReported                           // the user says that it was not them who asks
	PolicyDenied                            // a policy rule refuses it here, from there or at that time
	ExemptPolicy                            // accept: a policy rule asks no second factor
	Remembered                              // accept: both factors were right here, from the same address, some minutes ago
	TooManyPrompts                          // the user was asked by message, push or call as often as the policy lets anybody be in an hour
	WrongPIN                                // right code, wrong PIN
	PINExpired                              // right, but the PIN is too old and has to be changed first
	PINMustChange                           // right, but the PIN was given by somebody else and has to be changed first
	NoPIN                                   // policy wants a PIN and the user has none
	CallBusy                                // call: the telephone is in use
	CallNoAnswer                            // call: it rang, or could not be reached, and nobody picked up
	CallRejected                            // call: it was turned away
	CallHungUp                              // call: they hung up before they had heard what to press
	CallNotPressed                          // call: they heard what to press and pressed nothing
	CallWrongKey                            // call: they pressed something else
	CallVoicemail                           // call: a mailbox picked up
	CallTimedOut                            // call: the attempt's time was over before it came to an end
	RefusedByUser                           // the user refused it on their device or phone
	WrongNumber                             // the number typed on the device or phone is not the one that was shown
	NotAnsweredInTime                       // nobody answered on a device or phone
	Superseded                              // a newer request of the same sign-in took its place
	PromptTooSoon                           // the user was asked a moment ago
	PasskeyAlone                            // accept: a passkey stood for both factors, without a password
	MessageUnconfirmed                      // the gateway took the message, nobody answered, and no receipt says that it arrived
	AlreadyAsked                            // a question waits that the user could not tell from this one, and another conversation has it
	PassNotApproved                         // the pass waits for somebody else to approve it
	NoRole                                  // both factors were right, and the user holds no role that the page asks for
	reasonEnd
)

var reasonNames = [reasonEnd]string{
	"none", "ok", "exempt_user", "exempt_network", "unknown_user_passed", "first_factor_only",
	"wrong_password", "empty_password", "password_expired", "password_must_change", "account_disabled",
	"account_expired", "account_locked_in_directory", "logon_not_allowed", "not_in_directory",
	"ambiguous_in_directory", "no_local_password", "unknown_user", "ambiguous_user", "invalid_login",
	"denied", "blocked", "locked", "first_factor_locked", "source_throttled", "too_many_attempts",
	"application_unknown", "application_disabled", "no_credential", "prompt_impossible", "wrong_code",
	"replayed_code", "code_outside_window", "repeated_wrong_password", "empty_code", "repeated_wrong_code",
	"credential_expired", "credential_disabled", "resync_required", "held_after_promotion",
	"challenge_invalid", "challenge_expired", "challenge_replayed", "challenge_other_client",
	"challenge_other_user", "challenge_unanswered", "interrupted", "password_too_long",
	"malformed_request", "wrong_scope", "degraded_refused",
	"unsupported_authentication", "held_while_isolated", "known_by_another_name",
	"before_promotion", "no_gateway", "gateway_down", "gateway_slow", "gateway_refused", "gateway_no_credit", "recipient_refused",
	"country_not_allowed", "spend_cap_reached", "too_many_messages", "message_undelivered", "credential_unproven",
	"another_code_asked", "other_method_asked",
	"passkey_unknown", "passkey_invalid", "passkey_other_challenge", "passkey_wrong_site", "passkey_unverified", "passkey_counter_back",
	"passkey_model_refused", "passkey_not_alone", "passkey_no_site",
	"fraud_reported", "policy_denied", "exempt_policy", "remembered", "too_many_prompts", "wrong_pin", "pin_expired", "pin_must_change", "no_pin",
	"call_busy", "call_no_answer", "call_rejected", "call_hung_up", "call_not_pressed", "call_wrong_key", "call_voicemail", "call_timed_out",
	"refused_by_user", "wrong_number", "not_answered_in_time", "superseded", "prompt_too_soon",
	"passkey_alone",
	"message_unconfirmed", "already_asked", "pass_not_approved", "no_role",
}

// String returns the name used in trail, metrics and JSON.
func (r Reason) String() string {
	if r < reasonEnd {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason_%d", uint16(r))
}

// Error makes a Reason an error: the user's fault, not ours.
func (r Reason) Error() string { return r.String() }

// Accepts reports whether r is a reason to accept.
func (r Reason) Accepts() bool {
	return r >= OK && r <= FirstFactorOnly || r == ExemptPolicy || r == Remembered || r == PasskeyAlone
}

// Both reports whether r says that both factors were proven.
func (r Reason) Both() bool { return r == OK || r == PasskeyAlone }

// Reasons returns every reason, for lists and completions.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonEnd)
	for r := ReasonNone; r < reasonEnd; r++ {
		all = append(all, r)
	}
	return all
}

// MarshalText implements encoding.TextMarshaler.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. An unknown name is an error.
func (r *Reason) UnmarshalText(b []byte) error {
	for i, name := range reasonNames {
		if name == string(b) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("reason %q is not known", b)
}

// Verdict is the outcome of one leg. The zero value rejects.
type Verdict uint8

// The verdicts.
const (
	Reject Verdict = iota
	Accept
	Challenge
)

// String returns "reject", "accept" or "challenge".
func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Challenge:
		return "challenge"
	}
	return "reject"
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; what it does not know is Reject.
func (v *Verdict) UnmarshalText(b []byte) error {
	switch string(b) {
	case "accept":
		*v = Accept
	case "challenge":
		*v = Challenge
	case "reject":
		*v = Reject
	default:
		*v = Reject
		return fmt.Errorf("verdict %q is not known", b)
	}
	return nil
}
