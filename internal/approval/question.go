package approval

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/device"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Question is what a device is shown. The number to match is not in it.
type Question struct {
	ID          mfa.WaitID `json:"id"`
	Nonce       string     `json:"nonce" doc:"goes back with the answer: it stands for these very words"`
	Application string     `json:"application"`
	Source      string     `json:"source"`
	Place       string     `json:"place,omitempty"`
	Text        string     `json:"text,omitempty" doc:"what is approved"`
	Asked       int64      `json:"asked"`
	Expires     int64      `json:"expires"`
	Number      bool       `json:"number" doc:"two digits are to be typed that the sign-in shows"`
	PIN         bool       `json:"pin,omitempty" doc:"the user's PIN is to be typed, and sent beside what is signed"`
}

// Pending are the questions that wait for a device.
type Pending struct {
	Requests []Question `json:"requests"`
}

// Poll is a look at them.
type Poll struct {
	Wait  int      `json:"wait"`  // seconds that it may take if there is nothing new
	Known []string `json:"known"` // nonces of those that the device shows already: they are nothing new
}

// Pending returns the questions that wait for a device, oldest first. It waits for what is new,
// as long as the device wants and until ctx ends.
func (s *Service) Pending(ctx context.Context, d Device, p Poll) (Pending, error) {
	end := time.NewTimer(min(max(time.Duration(p.Wait)*time.Second, 0), LongestPoll))
	defer end.Stop()
	for {
		change := s.Store.WaitChange(d.user.ID)
		list, next, err := s.open(ctx, &d)
		if err != nil {
			return Pending{}, err
		}
		if p.Wait <= 0 || isNew(list, p.Known) {
			return Pending{list}, nil
		}
		over := time.NewTimer(next) // the first that ends is news too
		select {
		case <-change:
		case <-over.C:
		case <-end.C:
			over.Stop()
			return Pending{list}, nil
		case <-ctx.Done():
			over.Stop()
			return Pending{}, context.Cause(ctx)
		}
		over.Stop()
	}
}

// isNew reports whether the questions are others than those that the device knows.
func isNew(list []Question, known []string) bool {
	if len(list) != len(known) {
		return true
	}
	return slices.ContainsFunc(list, func(q Question) bool { return !slices.Contains(known, q.Nonce) })
}

// open returns what can be answered by a device now, and when the first of that is over.
func (s *Service) open(ctx context.Context, d *Device) (list []Question, next time.Duration, err error) {
	now, next := s.Now(), LongestPoll
	list = []Question{}
	waits := s.Store.Waits(d.user.ID)
	if len(waits) > 0 { // the account is read only if there is something to hold against it
		if *d, err = s.find(ctx, d.user.ID, d.cred.ID, false); err != nil {
			return nil, 0, err
		}
	}
	for _, w := range waits {
		if w.Method != mfa.MethodPush || !w.Open(now) || d.spent(w) || d.cred.Disabled || d.user.BlockedAt(now) {
			continue
		}
		next = min(next, w.Expires.Sub(now))
		list = append(list, Question{ID: w.ID, Nonce: device.Token(w), Application: w.Application, Source: w.Source, Place: w.Place, Text: w.Text,
			Asked: w.Asked.Unix(), Expires: w.Expires.Unix(), Number: w.Number != "", PIN: w.PIN})
	}
	return list, next, nil
}

// Answer is what a user says on a device.
type Answer struct {
	ID     mfa.WaitID `json:"id"`
	Nonce  string     `json:"nonce"`
	Act    string     `json:"act"`
	Number string     `json:"number"`
}

// The acts.
const (
	Approve = "approve"
	Deny    = "deny"
	Fraud   = "fraud" // this was not me
)

// Outcome is what became of an answer.
type Outcome struct {
	Outcome string `json:"outcome"`
}

// The outcomes.
const (
	Accepted    = "accepted"
	Denied      = "denied"
	WrongNumber = "wrong_number"
	WrongPIN    = "wrong_pin"
	Expired     = "expired"
	Answered    = "answered" // before, by this device or another
)

// Answer takes a user's answer. A wrong number, and a wrong PIN, ends the question at once: it was
// guessed.
func (s *Service) Answer(ctx context.Context, d Device, signed Signed, a Answer) (Outcome, error) {
	if a.Act != Approve && a.Act != Deny && a.Act != Fraud {
		return Outcome{}, fmt.Errorf("act %q: want approve, deny or fraud: %w", a.Act, mfa.ErrInvalid)
	}
	w, err := s.Store.Wait(ctx, d.user.ID, a.ID, false)
	if errors.Is(err, mfa.ErrNotFound) || err == nil && device.Token(w) != a.Nonce { // asked elsewhere a moment ago
		w, err = s.Store.Wait(ctx, d.user.ID, a.ID, true)
	}
	switch {
	case errors.Is(err, mfa.ErrNotFound) || errors.Is(err, mfa.ErrInvalid) || err == nil && (device.Token(w) != a.Nonce || w.Method != mfa.MethodPush):
		return Outcome{Expired}, nil
	case err != nil:
		return Outcome{}, err
	}
	why := mfa.OK
	switch {
	case a.Act == Deny:
		why = mfa.RefusedByUser
	case a.Act == Fraud:
		why = mfa.FraudReported
	case w.Number != "" && subtle.ConstantTimeCompare([]byte(a.Number), []byte(w.Number)) != 1:
		why = mfa.WrongNumber
	}
	if why == mfa.OK && (d.cred.Disabled || d.user.BlockedAt(s.Now()) || d.spent(w)) {
		return Outcome{Answered}, nil
	}
	if why == mfa.OK && w.PIN {
		if !w.Open(s.Now()) {
			return Outcome{map[bool]string{true: Expired, false: Answered}[w.Answer.Reason == mfa.ReasonNone]}, nil
		}
		if why, err = s.judge(ctx, d, signed.PIN); err != nil {
			return Outcome{}, err
		}
	}
	if why == mfa.WrongNumber && w.OfCaller() && w.Open(s.Now()) { // before it is told: no guess is free
		if err := s.Guessed(ctx, d.user.ID); err != nil {
			return Outcome{}, err
		}
	}
	was := ""
	if why == mfa.FraudReported {
		was = s.verdict(ctx, d, w)
	}
	now, taken, err := s.Store.AnswerWait(ctx, d.user.ID, w.ID, w.Nonce, mfa.WaitAnswer{Reason: why, Credential: d.cred.ID, At: s.Now(), PIN: why == mfa.OK && w.PIN})
	if errors.Is(err, mfa.ErrNotFound) {
		return Outcome{Expired}, nil
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("the answer could not be kept: %w", err)
	}
	if err := s.answered(ctx, d, signed, now, why, taken, was); err != nil {
		return Outcome{}, err
	}
	switch {
	case !taken && now.Answer.Reason == mfa.ReasonNone:
		return Outcome{Expired}, nil
	case !taken:
		return Outcome{Answered}, nil
	}
	return Outcome{map[mfa.Reason]string{mfa.OK: Accepted, mfa.WrongNumber: WrongNumber, mfa.WrongPIN: WrongPIN}[why]}.or(Denied), nil
}

// verdict is what had become of a sign-in before its user says that it was not theirs; "": it has
// none yet, or went on by another way, or nobody can say.
func (s *Service) verdict(ctx context.Context, d Device, w mfa.Wait) string {
	if now, err := s.Store.Wait(ctx, w.User, w.ID, true); err == nil && now.Nonce == w.Nonce {
		w = now
	}
	if now, err := s.find(ctx, d.user.ID, d.cred.ID, true); err == nil {
		d = now
	}
	switch was := w.Answer.Reason; {
	case was == mfa.OK && d.spent(w): // what is approved is spent by what it let in
		return mfa.Accept.String()
	case was != mfa.OK && was != mfa.ReasonNone && was != mfa.FraudReported:
		return mfa.Reject.String()
	}
	return ""
}

// judge says what a PIN that was typed on a device makes of its answer.
func (s *Service) judge(ctx context.Context, d Device, typed secret.Text) (mfa.Reason, error) {
	if typed.Empty() {
		return mfa.WrongPIN, fmt.Errorf("pin: this question wants the user's PIN (load the page of the app anew): %w", mfa.ErrInvalid)
	}
	if s.PIN == nil {
		return mfa.WrongPIN, errors.New("this server judges no PINs")
	}
	err := s.PIN(ctx, d.user.ID, typed)
	var why mfa.Reason
	switch {
	case err == nil:
		return mfa.OK, nil
	case errors.As(err, &why):
		return why, nil
	}
	return mfa.WrongPIN, fmt.Errorf("the PIN could not be judged: %w", err)
}

func (o Outcome) or(other string) Outcome {
	if o.Outcome == "" {
		o.Outcome = other
	}
	return o
}

// answered records an answer that has to be known also if no request comes for it any more, and
// what was signed of a text. Fraud is reported also if it was too late to stop the sign-in: was is
// what had become of that.
func (s *Service) answered(ctx context.Context, d Device, signed Signed, w mfa.Wait, why mfa.Reason, taken bool, was string) error {
	what := fmt.Sprintf("attempt %s, %s, from %q", w.Attempt, w.Application, w.Source)
	if w.Text != "" && taken {
		what += fmt.Sprintf(", text %q, signed: time %s, nonce %s, body %s, signature %s", w.Text, signed.Time, signed.Nonce, signed.Body, signed.Signature)
	}
	if why == mfa.FraudReported && !taken && w.Answer.Reason == why {
		return nil // said before
	}
	if why == mfa.FraudReported {
		return s.Fraud(ctx, mfa.Fraud{User: d.user.ID, Attempt: w.Attempt, Channel: mfa.FraudPush, Time: w.Asked, Server: w.Server, Application: w.Application,
			Source: w.Source, Verdict: was, Reason: mfa.FraudReported.String()})
	}
	if !taken || why == mfa.OK && w.Text == "" {
		return nil
	}
	verb := map[mfa.Reason]string{mfa.OK: "device approve", mfa.RefusedByUser: "device refuse", mfa.WrongNumber: "device wrong number",
		mfa.WrongPIN: "device wrong pin", mfa.Locked: "device locked out"}[why]
	return s.record(ctx, by(d.user, d.cred), verb, d.user.Login, what)
}
