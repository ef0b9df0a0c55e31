package push_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/device"
	"countersign/internal/method/push"
	"countersign/internal/mfa"
)

// service is a push service that fails in one way, for the device of the endpoint "bad".
type service struct {
	fail      func(ctx context.Context) error
	mu        sync.Mutex
	sent      []string
	forgotten []mfa.CredentialID
	took      time.Duration // of the last failure
}

func (s *service) Send(ctx context.Context, to device.Device, payload []byte, _ time.Duration, topic string) error {
	if to.Endpoint == "bad" {
		began := time.Now()
		err := s.fail(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.took = time.Since(began)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, string(payload)+" "+topic)
	return nil
}

func (s *service) Forget(_ context.Context, _ mfa.UserID, id mfa.CredentialID, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = append(s.forgotten, id)
	return nil
}

func credential(t *testing.T, id mfa.CredentialID, endpoint string) mfa.Credential {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return mfa.Credential{ID: id, User: "u1", Method: mfa.MethodPush, Secret: device.Device{Key: public, Endpoint: endpoint}.Secret()}
}

// Whatever is wrong with a push service, the question stands, the user's other devices are reached,
// and the log says which device it was.
func TestPushServiceFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fail   func(context.Context) error
		forget bool
		logs   bool
		within time.Duration
	}{
		{"down", func(context.Context) error { return errors.New("connection refused") }, false, true, 0},
		{"slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, false, true, 10 * time.Second},
		{"throttled or out of credit", func(context.Context) error { return errors.New("refused: Too Many Requests") }, false, true, 0},
		{"wrong key", func(context.Context) error { return errors.New("refused: it answers 403") }, false, true, 0},
		{"knows the device no longer", func(context.Context) error { return fmt.Errorf("410: %w", push.ErrGone) }, true, true, 0},
		{"takes it and delivers nothing", func(context.Context) error { return nil }, false, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				s := &service{fail: tt.fail}
				m := push.New(push.Options{Sender: s, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- m.Run(ctx) }()
				w := mfa.Wait{ID: "w1", User: "u1", Method: mfa.MethodPush, Expires: time.Now().Add(time.Minute)}
				if err := m.Reach(ctx, w, []mfa.Credential{credential(t, "c1", "bad"), credential(t, "c2", "good"), credential(t, "c3", "")}); err != nil {
					t.Errorf("the question ends with %v", err)
				}
				synctest.Wait()
				if len(s.sent) != 1 || s.sent[0] != `{"id":"w1"} w1` {
					t.Errorf("the other device got %q", s.sent)
				}
				time.Sleep(time.Minute) // of the bubble
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if s.took != tt.within {
					t.Errorf("the try took %s, want %s", s.took, tt.within)
				}
				if forgot := len(s.forgotten) == 1 && s.forgotten[0] == "c1"; forgot != tt.forget {
					t.Errorf("forgotten: %v", s.forgotten)
				}
				if logged := strings.Contains(log.String(), "credential=c1"); logged != tt.logs {
					t.Errorf("the log has\n%s", &log)
				}
			})
		})
	}
}
