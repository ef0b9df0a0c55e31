package cli

import (
	"context"
	"errors"
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

type pinVerbs struct {
	Show       pinShow   `cmd:"" help:"Whether the user has one, and when it must be changed."`
	Set        pinSet    `cmd:"" help:"Set a PIN. The user changes it at the portal before it serves elsewhere."`
	MustChange pinMust   `cmd:"" name:"must-change" help:"Have the user change it at the portal before it serves elsewhere."`
	Remove     pinRemove `cmd:"" help:"Take it away."`
}

type pinShow struct{ loginArg }

func (v *pinShow) Run(ctx context.Context, e *env) error {
	return change[admin.PINState](ctx, e, http.MethodGet, path("users", v.Login, "pin"), nil)
}

type pinSet struct {
	loginArg
	PINStdin bool   `name:"pin-stdin" help:"Read it from standard input."`
	PINFile  string `name:"pin-file" help:"Read it from a file." type:"path" placeholder:"FILE"`
	Keep     bool   `help:"It need not be changed: the user has chosen it."`
}

func (v *pinSet) Run(ctx context.Context, e *env) error {
	pin, err := e.read(source{what: "pin", stdin: v.PINStdin, file: v.PINFile, ask: true, twice: true})
	if err != nil {
		return err
	}
	if pin.Empty() {
		return usage("the PIN is empty; user pin remove takes one away")
	}
	must := !v.Keep
	return change[admin.PINState](ctx, e, http.MethodPatch, path("users", v.Login, "pin"), admin.PINChange{PIN: pin, MustChange: &must})
}

type pinMust struct {
	loginArg
	No bool `help:"It need not be changed after all."`
}

func (v *pinMust) Run(ctx context.Context, e *env) error {
	must := !v.No
	return change[admin.PINState](ctx, e, http.MethodPatch, path("users", v.Login, "pin"), admin.PINChange{MustChange: &must})
}

type pinRemove struct{ loginArg }

func (v *pinRemove) Run(ctx context.Context, e *env) error {
	if err := e.confirm("Take the PIN of %s away?", v.Login); err != nil {
		return err
	}
	return change[admin.PINState](ctx, e, http.MethodDelete, path("users", v.Login, "pin"), nil)
}

type userVerify struct {
	loginArg
	Method    string `help:"push, sms, call or email; default: the first of these that the user has." placeholder:"METHOD" values:"push,sms,call,email"`
	CodeStdin bool   `help:"Read what the caller reads out from standard input."`
}

func (v *userVerify) Run(ctx context.Context, e *env) error {
	var sent enroll.CallerCheck
	if err := e.call(ctx, http.MethodPost, path("users", v.Login, "verify"), nil, map[string]string{"method": v.Method}, &sent); err != nil {
		return err
	}
	if sent.Number != "" {
		return v.asked(ctx, e, sent)
	}
	e.say("A code is on its way by %s to %s, good until %s. Have the caller read it out.", sent.Method, printable(sent.To), sent.Expires.In(e.Location).Format("15:04"))
	code, err := e.read(source{what: "code", stdin: v.CodeStdin, ask: true})
	if err != nil {
		return err
	}
	in := enroll.CallerAnswer{ID: sent.ID, Challenge: sent.Challenge, Code: *code}
	return change[enroll.CallerVerified](ctx, e, http.MethodPost, path("users", v.Login, "verify", "answer"), in)
}

// lookAgain is how often it is asked whether a caller has answered.
const lookAgain = time.Second

// asked tells the number that the caller has to type, and waits until they have.
func (v *userVerify) asked(ctx context.Context, e *env, q enroll.CallerCheck) error {
	where := map[mfa.MethodID]string{mfa.MethodPush: "in the app", mfa.MethodCall: "on the telephone, which rings"}[q.Method]
	e.say("Tell the caller to type %s %s (%s), until %s.", q.Number, where, printable(q.To), q.Expires.In(e.Location).Format("15:04:05"))
	for {
		err := change[enroll.CallerVerified](ctx, e, http.MethodPost, path("users", v.Login, "verify", "answer"), enroll.CallerAnswer{Challenge: q.Challenge})
		var said apiError
		if !errors.As(err, &said) || said.status != http.StatusConflict {
			return err
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
