package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/qr"
	"countersign/internal/secret"
)

type credentialVerbs struct {
	Add     credentialAdd     `cmd:"" help:"Give a user a credential."`
	List    credentialList    `cmd:"" help:"List a user's credentials."`
	Send    credentialSend    `cmd:"" help:"Send a code that proves a number or an address."`
	Confirm credentialConfirm `cmd:"" help:"Prove a credential with one code, which is spent by that."`
	Resync  credentialResync  `cmd:"" help:"Bring a token back into step with two consecutive codes."`
	Disable credentialDisable `cmd:"" help:"Switch a credential off."`
	Enable  credentialEnable  `cmd:"" help:"Switch a credential on."`
	Waiting credentialWaiting `cmd:"" help:"List the temporary passes that await their approval."`
	Approve credentialApprove `cmd:"" help:"Approve a temporary pass that somebody else has issued."`
	Remove  credentialRemove  `cmd:"" help:"Remove a credential."`
}

// credentials is the path of a user's credentials.
func credentials(login string, more ...string) string {
	return path(append([]string{"users", login, "credentials"}, more...)...)
}

type credentialAdd struct {
	loginArg
	Method      string   `required:"" help:"totp, hotp, sms, call, email, push, recovery or tap. A passkey is made by its user's browser, in the portal." placeholder:"METHOD" values:"totp,hotp,sms,call,email,push,recovery,tap"`
	Label       string   `help:"Serial number or name of the device."`
	SecretStdin bool     `help:"totp, hotp: read the secret (Base32, or hex:...) from standard input. Without it one is made."`
	SecretFile  string   `help:"The same from a file." type:"path" placeholder:"FILE"`
	Digits      int      `help:"totp, hotp: 6 to 8."`
	Period      int      `help:"totp: seconds."`
	Algorithm   string   `help:"totp, hotp: SHA1, SHA256 or SHA512." values:"SHA1,SHA256,SHA512"`
	Counter     uint64   `help:"hotp: first counter that is good."`
	Codes       int      `help:"recovery: how many codes."`
	TTL         span     `name:"ttl" help:"tap: how long it lives, an hour unless told otherwise." placeholder:"DURATION"`
	Uses        int      `help:"tap: how often it may be used, once unless told otherwise."`
	Application []string `help:"tap: application that it is good for; absent: every one."`
	Why         string   `help:"tap: the reason, for the trail."`
	To          string   `help:"sms: number (+E164); call: the same, or with an extension that is dialled, +493012345x,417 (a comma is a second's pause); email: address; the profile's own unless told otherwise."`
	Trusted     bool     `help:"sms, call, email: it comes from where only its owner can have it from, so nothing has to be proven."`
}

func (v *credentialAdd) Run(ctx context.Context, e *env) error {
	r := enroll.Request{Method: mfa.MethodID(v.Method), Label: v.Label, Algorithm: v.Algorithm, Digits: v.Digits, Period: v.Period,
		Counter: v.Counter, Codes: v.Codes, Seconds: v.TTL.seconds(), Uses: v.Uses, Scope: v.Application, Why: v.Why, To: v.To, Trusted: v.Trusted}
	var err error
	if r.Secret, err = e.read(source{what: "secret", stdin: v.SecretStdin, file: v.SecretFile}); err != nil {
		return err
	}
	var made enroll.Created
	if err := e.call(ctx, http.MethodPost, credentials(v.Login), nil, r, &made); err != nil {
		return err
	}
	if e.JSON {
		return e.document(made)
	}
	return v.tell(ctx, e, made)
}

// tell shows the new credential to a person, its secrets for the only time.
func (v *credentialAdd) tell(ctx context.Context, e *env, made enroll.Created) error {
	codes, url, activation := made.Codes, made.URL, made.Activation
	made.Codes, made.URL, made.Activation = nil, nil, nil
	if err := e.show(made); err != nil {
		return err
	}
	for _, c := range codes {
		fmt.Fprintf(e.Stdout, "%s\n", c.Expose())
	}
	if len(codes) > 0 {
		e.say("These codes are not shown again.")
	}
	if made.Awaits {
		e.say("Nobody is let in by it until another administrator has approved it: `countersign credential approve %s %s`, or the console.", v.Login, made.ID)
	}
	if url != nil && activation != nil {
		return tellActivation(e, *url, *activation, made.Expires)
	}
	if made.Challenge != "" {
		return v.askSent(ctx, e, made)
	}
	if made.OTPAuthURL == nil {
		return nil
	}
	e.say("The secret is not shown again.")
	if e.Terminal {
		if err := qr.Terminal(e.Stdout, string(made.OTPAuthURL.Expose())); err != nil {
			return err
		}
	}
	if e.Prompt == nil {
		e.say("Prove it with `countersign credential confirm %s %s`.", v.Login, made.ID)
		return nil
	}
	code, err := e.Prompt("Code that the app shows now (empty: later): ", true)
	if err != nil || code == "" {
		return err
	}
	return v.confirm(ctx, e, made.ID, "", code)
}

// tellActivation shows what a device needs to become one.
func tellActivation(e *env, url, code secret.Wire, until *time.Time) error {
	if e.Terminal {
		if err := qr.Terminal(e.Stdout, string(url.Expose())); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.Stdout, "%s\n", url.Expose())
	when := ""
	if until != nil {
		when = " until " + until.In(e.Location).Format("15:04")
	}
	e.say("Open this on the device, once%s; or open its page there and type %s. Neither is shown again.", when, code.Expose())
	return nil
}

// askSent asks for the code that was sent.
func (v *credentialAdd) askSent(ctx context.Context, e *env, made enroll.Created) error {
	if e.Prompt == nil {
		e.say("A code was sent to %s. Prove it with `countersign credential confirm %s %s --challenge %s`.", made.Label, v.Login, made.ID, made.Challenge)
		return nil
	}
	code, err := e.Prompt("Code that was sent to "+made.Label+" (empty: later): ", true)
	if err != nil || code == "" {
		return err
	}
	return v.confirm(ctx, e, made.ID, made.Challenge, code)
}

func (v *credentialAdd) confirm(ctx context.Context, e *env, id mfa.CredentialID, challenge, code string) error {
	in := enroll.Codes{Codes: []secret.Wire{*secret.NewWire(code)}, Challenge: challenge}
	if err := e.call(ctx, http.MethodPost, credentials(v.Login, string(id), "confirm"), nil, in, nil); err != nil {
		return fmt.Errorf("the credential is there, but not proven: %w; try `countersign credential confirm %s %s`", err, v.Login, id)
	}
	e.say("Proven.")
	return nil
}

type credentialList struct{ loginArg }

func (v *credentialList) Run(ctx context.Context, e *env) error {
	var doc enroll.CredentialList
	if err := e.call(ctx, http.MethodGet, credentials(v.Login), nil, nil, &doc); err != nil {
		return err
	}
	return e.table(doc, doc.Credentials, "id", "method", "label", "digits", "left", "disabled", "confirmed", "expires", "created")
}

// credentialArgs name one credential.
type credentialArgs struct {
	loginArg
	ID string `arg:"" name:"credential" help:"Its id, the beginning of it, or its method if there is only one such."`
}

func (v *credentialArgs) path(more ...string) string {
	return credentials(v.Login, append([]string{v.ID}, more...)...)
}

// prove asks for codes, one a line, and sends them.
func (v *credentialArgs) prove(ctx context.Context, e *env, stdin bool, verb, challenge string, whats ...string) error {
	in := enroll.Codes{Challenge: challenge}
	for _, what := range whats {
		if !stdin && e.Prompt == nil {
			return usage("the %s is missing: give --code-stdin (no terminal to ask on)", what)
		}
		c, err := e.read(source{what: what, stdin: stdin, ask: true})
		if err != nil {
			return err
		}
		in.Codes = append(in.Codes, *c)
	}
	return change[enroll.Credential](ctx, e, http.MethodPost, v.path(verb), in)
}

type credentialSend struct{ credentialArgs }

func (v *credentialSend) Run(ctx context.Context, e *env) error {
	return change[enroll.Sent](ctx, e, http.MethodPost, v.path("send"), nil)
}

type credentialConfirm struct {
	credentialArgs
	CodeStdin bool   `help:"Read the code from standard input."`
	Challenge string `help:"sms, call, email: what was told when the code was sent." placeholder:"TEXT"`
}

func (v *credentialConfirm) Run(ctx context.Context, e *env) error {
	return v.prove(ctx, e, v.CodeStdin, "confirm", v.Challenge, "code")
}

type credentialResync struct {
	credentialArgs
	CodeStdin bool `help:"Read the two codes from standard input, one a line."`
}

func (v *credentialResync) Run(ctx context.Context, e *env) error {
	return v.prove(ctx, e, v.CodeStdin, "resync", "", "first code", "next code")
}

type credentialDisable struct{ credentialArgs }

func (v *credentialDisable) Run(ctx context.Context, e *env) error {
	return change[enroll.Credential](ctx, e, http.MethodPost, v.path("disable"), nil)
}

type credentialEnable struct{ credentialArgs }

func (v *credentialEnable) Run(ctx context.Context, e *env) error {
	return change[enroll.Credential](ctx, e, http.MethodPost, v.path("enable"), nil)
}

type credentialWaiting struct{}

func (v *credentialWaiting) Run(ctx context.Context, e *env) error {
	var doc enroll.WaitingPasses
	if err := e.call(ctx, http.MethodGet, "/passes", nil, nil, &doc); err != nil {
		return err
	}
	return e.table(doc, doc.Passes, "login", "id", "by", "why", "left", "scope", "created", "expires", "own")
}

type credentialApprove struct{ credentialArgs }

func (v *credentialApprove) Run(ctx context.Context, e *env) error {
	var c enroll.Credential
	if err := e.call(ctx, http.MethodPost, v.path("approve"), nil, nil, &c); err != nil {
		return err
	}
	return e.show(c)
}

type credentialRemove struct{ credentialArgs }

func (v *credentialRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "credential "+v.ID+" of", v.Login, v.path())
}
