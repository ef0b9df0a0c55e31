package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"countersign/internal/challenge"
	"countersign/internal/enroll"
	"countersign/internal/gateway"
	"countersign/internal/message"
	"countersign/internal/method/sent"
	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// sending carries codes: what package method/sent wants of gateways, texts and limits.
type sending struct{ s *server }

// SendCode implements sent.Sender. What may be sent is counted before it is sent.
func (p sending) SendCode(ctx context.Context, c sent.Code) (sent.Handed, error) {
	if c.Method == mfa.MethodCall {
		name, err := calling(p).say(ctx, c)
		return sent.Handed{Gateway: name}, err
	}
	set := p.s.store.Settings()
	m := gateway.Message{ID: mfa.NewID(nil), Kind: mfa.GatewayMail, User: c.User, To: c.To, For: c.Attempt.String(), Until: p.s.Now().Add(set.Handle.Duration())}
	if c.Method == mfa.MethodSMS {
		m.Kind = mfa.GatewaySMS
	}
	if err := p.s.carrier.May(m); err != nil { // what cannot be sent anyway uses nothing up
		return sent.Handed{}, err
	}
	if err := p.s.store.Take(ctx, p.limits(m.Kind, c.User, c.To)...); err != nil {
		return sent.Handed{}, fmt.Errorf("codes sent to user %s: %w", c.User, err)
	}
	values := map[string]string{"code": string(c.Code.Expose()), "application": c.Application,
		"minutes": fmt.Sprint(int((set.Handle.Duration() + time.Minute - 1) / time.Minute))}
	language := p.language(ctx, c.User)
	text, mail, subject := message.SMS, message.Mail, message.MailSubject
	if c.Application == "" {
		text, mail, subject = message.Caller, message.CallerMail, message.CallerMailSubject
		values["application"], values["minutes"] = p.s.node.Group(), fmt.Sprint(int(enroll.ProofLife/time.Minute))
	}
	if m.Kind == mfa.GatewaySMS {
		m.Text = secret.FromString(message.Fill(set.Texts, text, language, values))
	} else {
		m.Subject = message.Fill(set.Texts, subject, language, values)
		m.Text = secret.FromString(message.Fill(set.Texts, mail, language, values))
	}
	for _, g := range p.s.store.Gateways() {
		if c.Instead != 0 && sent.GatewayTag(g.Name) == c.Instead {
			m.Instead = g.Name
		}
	}
	r, err := p.s.carrier.Send(ctx, m)
	h := sent.Handed{Gateway: r.Gateway}
	if err == nil && r.Followed() {
		h.Message = r.Tag()
	}
	return h, err
}

// limits are those that a code counts against.
func (p sending) limits(kind string, user mfa.UserID, to string) []mfa.Quota {
	set := p.s.store.Settings()
	limits := []mfa.Quota{{Name: "user/" + string(user), Window: time.Hour, Most: set.PerUser, N: 1, Full: mfa.TooManyMessages},
		{Name: "to/" + to, Window: time.Hour, Most: set.PerNumber, N: 1, Full: mfa.TooManyMessages}}
	if kind == mfa.GatewaySMS {
		limits = append(limits, mfa.Quota{Name: "country/" + phone.Country(to), Window: time.Hour, Most: set.PerCountry, N: 1, Full: mfa.TooManyMessages})
	}
	return limits
}

// language is that of a user's messages.
func (p sending) language(ctx context.Context, user mfa.UserID) string {
	if a, err := p.s.store.Standing(ctx, user, false); err == nil && a.User.Language != "" {
		return a.User.Language
	}
	return p.s.store.Settings().Language
}

// spend counts what a gateway sends against its caps.
func (p sending) spend(ctx context.Context, g mfa.Gateway, parts int) error {
	var caps []mfa.Quota
	now := p.s.Now().UTC()
	for _, c := range []struct {
		most int
		when string
	}{{g.CapDay, now.Format(time.DateOnly)}, {g.CapMonth, now.Format("2006-01")}} {
		if c.most > 0 {
			caps = append(caps, mfa.Quota{Name: "gateway/" + g.Name + "/" + c.when, Most: c.most, N: parts, Full: mfa.SpendCapReached})
		}
	}
	return p.s.store.Take(ctx, caps...)
}

// mask is what of a number or an address may be shown.
func mask(way mfa.MethodID) func(string) string {
	if way != mfa.MethodEmail {
		return phone.Mask
	}
	return enroll.MaskAddress
}

// method is the method for one way of sending.
func (p sending) method(way mfa.MethodID) sent.Method {
	return sent.Method{Way: way, Sender: p, Digest: p.s.ring.DigestOf, Mask: mask(way)}
}

// SendProof implements enroll.Prover.
func (p sending) SendProof(ctx context.Context, c mfa.Credential, application string, life time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.s.store.Settings().Attempt.Duration())
	defer cancel()
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return "", err
	}
	h := mfa.Handle{Attempt: mfa.NewAttemptID(nil), Application: proofOf(application), User: c.User, Credential: c.ID, Nonce: binary.BigEndian.Uint64(nonce[:]) | 1,
		Started: p.s.Now(), Expires: p.s.Now().Add(life), Epoch: p.s.store.Epoch()}
	step, err := p.method(c.Method).Begin(ctx, mfa.Ask{Application: application, Attempt: h.Attempt}, c)
	if err != nil {
		return "", err
	}
	h.State = step.State
	b, err := challenge.Sealer{Keys: p.s.ring}.Seal(h)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// Carries implements enroll.Prover.
func (p sending) Carries(m mfa.MethodID) bool {
	kind, ok := map[mfa.MethodID]string{mfa.MethodCall: mfa.GatewayCall, mfa.MethodSMS: mfa.GatewaySMS, mfa.MethodEmail: mfa.GatewayMail}[m]
	return ok && !errors.Is(p.s.carrier.May(gateway.Message{Kind: kind}), mfa.NoGateway)
}

// proofOf is what the challenge of a proof has as its application, which is none's id: that of a
// sign-in is no proof, and a code that proves a number verifies no caller.
func proofOf(application string) mfa.ApplicationID {
	if application == "" {
		return "caller"
	}
	return ""
}

// CheckProof implements enroll.Prover.
func (p sending) CheckProof(ctx context.Context, c mfa.Credential, application, text string, code secret.Text) (settlement.Nonce, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return settlement.Nonce{}, mfa.ChallengeInvalid
	}
	h, err := challenge.Sealer{Keys: p.s.ring}.Open(b)
	switch {
	case err != nil:
		return settlement.Nonce{}, err
	case h.Application != proofOf(application) || h.User != c.User || h.Credential != c.ID:
		return settlement.Nonce{}, mfa.ChallengeInvalid
	case !p.s.Now().Before(h.Expires) || h.Epoch != p.s.store.Epoch():
		return settlement.Nonce{}, mfa.ChallengeExpired
	}
	_, err = p.method(c.Method).Finish(ctx, c, mfa.Floor{}, mfa.Step{State: h.State, Attempt: h.Attempt}, code)
	if why := p.method(c.Method).Fate(ctx, h.State); err != nil && why == mfa.MessageUndelivered {
		err = why
	}
	return settlement.Nonce{ID: h.Nonce, Until: h.Expires}, err
}
