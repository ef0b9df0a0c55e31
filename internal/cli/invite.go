package cli

import (
	"context"
	"net/http"

	"countersign/internal/enroll"
)

type userInvite struct {
	loginArg
	Code bool   `help:"A code to read out, good for minutes, in place of a link."`
	For  span   `help:"How long it is good: a link up to 7d (default 24h), a code up to 1h (default 15m)." placeholder:"DURATION"`
	Why  string `help:"Why; kept in the trail."`
}

func (v *userInvite) Run(ctx context.Context, e *env) error {
	var made enroll.Invitation
	in := enroll.InviteRequest{Code: v.Code, Seconds: v.For.seconds(), Why: v.Why}
	if err := e.call(ctx, http.MethodPost, path("users", v.Login, "invitation"), nil, in, &made); err != nil {
		return err
	}
	if err := e.show(made); err != nil || e.JSON {
		return err
	}
	e.say("It is good once, and not shown again. An invitation before this one is good no more.")
	if made.Awaits {
		e.say("It lets nobody in until another administrator has approved it (countersign credential waiting).")
	}
	return nil
}
