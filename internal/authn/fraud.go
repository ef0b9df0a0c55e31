package authn

import (
	"context"

	"countersign/internal/mfa"
)

// reportFraud has done what is done about an attempt that its user says is not theirs. The
// attempt is refused already; what cannot be done is told, and refuses nothing more.
func (e *Engine) reportFraud(ctx context.Context, a *attempt) {
	if e.Fraud == nil || a.theirs {
		return
	}
	f := mfa.Fraud{User: a.acct.User.ID, Attempt: a.id, Channel: string(a.method), Time: a.begun, Server: e.Server, Application: a.app.Name,
		Source: printable(a.Source), Verdict: mfa.Reject.String(), Reason: mfa.FraudReported.String()}
	if f.Source == "" && a.Peer.IsValid() {
		f.Source = a.Peer.String()
	}
	if err := e.Fraud(context.WithoutCancel(ctx), f); err != nil {
		e.Log.Error("a report of fraud was not acted on: keep the user out by hand (countersign user block)", "attempt", a.id, "user", f.User, "err", err)
	}
}
