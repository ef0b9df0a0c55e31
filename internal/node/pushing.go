package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/approval"
	"countersign/internal/device"
	"countersign/internal/method/push"
	"countersign/internal/mfa"
	"countersign/internal/webpush"
)

// pushing is what devices and push services want of the database.
type pushing struct{ s *server }

// Send implements push.Sender.
func (p pushing) Send(ctx context.Context, to device.Device, payload []byte, ttl time.Duration, topic string) error {
	s, err := webpush.Parse(to.Endpoint, to.P256DH, to.Auth)
	if err == nil {
		err = p.s.pushes.Send(ctx, s, payload, ttl, topic)
	}
	if errors.Is(err, webpush.ErrGone) {
		err = fmt.Errorf("%w: %w", push.ErrGone, err)
	}
	return err
}

// Forget implements push.Sender.
func (p pushing) Forget(ctx context.Context, user mfa.UserID, id mfa.CredentialID, endpoint string) error {
	return p.s.store.UpdateDevice(ctx, user, id, func(c *mfa.Credential) error {
		d, err := device.Parse(c.Secret)
		if err != nil || d.Endpoint != endpoint {
			return err
		}
		d.Endpoint, d.P256DH, d.Auth = "", "", ""
		c.Secret = d.Secret()
		return nil
	})
}

// judge says what is wrong with where a device says that it is reached.
func (pushing) judge(to approval.Subscription) error {
	if _, err := webpush.Parse(to.Endpoint, to.P256DH, to.Auth); err != nil {
		return fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	return nil
}

// vapidKey is what the group sends with, as this server has read it; the zero value: not yet.
type vapidKey struct {
	mu  sync.Mutex
	key *ecdsa.PrivateKey
}

// vapidBlob is the name of the sealed key in the database.
const vapidBlob = "vapid"

// private returns the key that the group sends with (RFC 8292). The first server that needs it
// makes it; it stays for ever, because devices subscribe for it.
func (p pushing) private(ctx context.Context) (*ecdsa.PrivateKey, error) {
	v := &p.s.vapid
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key != nil {
		return v.key, nil
	}
	blob, err := p.s.store.ReadSealed(ctx, vapidBlob)
	if errors.Is(err, mfa.ErrNotFound) { // here, or anywhere
		if err = p.make(ctx); err == nil {
			blob, _, err = p.s.store.GetSealed(ctx, vapidBlob)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key for push services: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(blob.Expose())
	if err != nil {
		return nil, fmt.Errorf("key for push services: %w", err)
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("key for push services: not of the kind that they want")
	}
	v.key = own
	return own, nil
}

// make makes the key, unless there is one.
func (p pushing) make(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		_, err = p.s.store.PutSealed(ctx, vapidBlob, 0, der)
	}
	if errors.Is(err, mfa.ErrConflict) { // another server was faster
		return nil
	}
	return err
}

// public returns the public half as a browser wants it.
func (p pushing) public(ctx context.Context) (string, error) {
	key, err := p.private(ctx)
	if err != nil {
		return "", err
	}
	b, err := key.PublicKey.Bytes()
	return base64.RawURLEncoding.EncodeToString(b), err
}

const tidyEvery = time.Minute

// tidyWaits deletes questions and activation codes that are over, on the master, until ctx is
// done.
func (s *server) tidyWaits(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !s.leads() {
			continue
		}
		if err := errors.Join(s.store.SweepWaits(ctx), s.store.SweepActivations(ctx)); err != nil && ctx.Err() == nil {
			s.own.Debug("questions that are over could not be tidied away; trying again in a minute", "error", err)
		}
	}
}

// checkPatience tells the doctor of RADIUS clients that give up before a person can answer.
func (s *server) checkPatience() []admin.Check {
	need := s.store.Settings().Wait.Duration()
	var list []admin.Check
	for _, n := range s.store.NASes() {
		a, err := s.store.Application(n.Application)
		if err != nil || !admin.TooShort(n.Patience, need) {
			continue
		}
		every := "without repeating its request"
		if n.Patience.Every > 0 {
			every = fmt.Sprintf("repeating its request every %s", n.Patience.Every.Round(100*time.Millisecond))
		}
		list = append(list, admin.Check{Name: "RADIUS time-out", Target: n.Address.String() + " (" + a.Name + ")", Layer: "client", OK: true, Warning: true,
			Detail:   fmt.Sprintf("it gave up after %s, %s, at %s; a person has %s to answer", n.Patience.GivesUp, every, n.Patience.Seen.UTC().Format(time.RFC3339), need),
			NextStep: admin.PatienceAdvice(need)})
	}
	return list
}
