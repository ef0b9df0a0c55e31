package authn

// Which request a question belongs to. Whoever has a user's password could send a sign-in of their
// own while the user's is asked about, through the same client and with the same station: what is
// approved must not become theirs.
// Where a number is shown, each conversation has its own question and number, and only the very
// same request, at whatever server it arrives, joins it. Where nothing can be shown (a request
// that is held), the user could not tell two questions apart, so there is never a second: a new
// request takes the question over if the client itself says that it is of the same conversation
// (Session), or once the client of the request before has given that up.

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/mfa"
)

// goneLook is how often it is looked whether the client of a request that is held still waits.
const goneLook = time.Second

// leaveTimeout bounds how long it is tried to say that a request is held no longer.
const leaveTimeout = 2 * time.Second

// relation is how a request stands to the question that is there.
type relation int

const (
	unrelated    relation = iota // the question is over, or nobody's any more: this one is asked anew
	theSame                      // a repetition, or the client's next try: it gets the answer
	someoneElses                 // another conversation has it, or may: it keeps it
)

// intent names what a is about: the same on every server and in each repetition. Where a request is
// held it is what the user could be shown, and the password, so that nobody is asked two
// questions of one kind; everywhere else it is the request itself.
func (e *Engine) intent(a *attempt) mfa.WaitID {
	who := string(a.app.ID) + "\x00" + a.Peer.Addr().String() + "\x00" + string(a.acct.User.ID) + "\x00"
	if a.inside() {
		who += "from\x00" + a.Source + "\x00" + a.Text + "\x00" + string(expose(a.Password))
	} else {
		who += "leg\x00" + a.Leg.String()
	}
	d := e.Digest(waitPurpose, who)
	return mfa.WaitID(waitIDs.EncodeToString(d[:waitIDSize]))
}

// relation says how a, which would open w, stands to there, which has the same intent.
func (e *Engine) relation(a *attempt, w, there mfa.Wait) relation {
	same := there.Leg == a.Leg
	switch {
	case there.Epoch != w.Epoch || !there.Live(e.Now()) || a.acct.Record.Spent(there.Token()):
		return unrelated
	case there.Answer.Unreached && !same: // the user tries again
		return unrelated
	case same && there.Method == w.Method:
		return theSame
	case same:
		return unrelated // goes on to another way
	case there.Session != "" && there.Session == w.Session && there.Method == w.Method:
		return theSame
	case !there.Left:
		return someoneElses
	case a.Source != "" && there.Session == "" && w.Session == "" && there.Method == w.Method:
		return theSame // nothing tells them apart but that the client waits for the other no longer
	}
	return unrelated
}

// holds looks whether the client of a, a request that is held for w, still waits; the error wraps
// errHungUp if not. Then the answer waits for the client's next request.
func (e *Engine) holds(ctx context.Context, a *attempt, w mfa.Wait) error {
	if a.Gone == nil || a.handle != nil || !a.newest(w) {
		return nil
	}
	if unrefused := w.Answer.Reason == mfa.ReasonNone || w.Answer.Reason == mfa.OK; unrefused && a.Gone() {
		e.leave(ctx, a, w)
		return fmt.Errorf("%w: the client has given up, and what the user says waits for its next request", errHungUp)
	}
	if w.Left { // as another server has it, which the client has turned away from
		if err := e.Waits.HoldWait(ctx, w, a.Leg, false); err != nil {
			e.Log.Warn("it could not be kept that a request still waits for its user", "attempt", a.id, "user", w.User, "err", err)
		}
	}
	return nil
}

// leave says that the client of a waits for w no longer.
func (e *Engine) leave(ctx context.Context, a *attempt, w mfa.Wait) {
	if a.handle != nil || !a.newest(w) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := e.Waits.HoldWait(ctx, w, a.Leg, true); err != nil {
		e.Log.Warn("it could not be kept that a request waits no longer; the client's next is refused until the question is over", "attempt", a.id, "user", w.User, "err", err)
	}
}
