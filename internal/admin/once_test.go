package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// heldRequests keeps one request.
type heldRequests struct {
	there *mfa.KeptRequest
	left  map[[16]byte]int
}

func (h *heldRequests) BeginRequest(_ context.Context, r mfa.KeptRequest) (*mfa.KeptRequest, error) {
	if h.there == nil {
		h.there = &r
		return nil, nil
	}
	return h.there, nil
}
func (h *heldRequests) EndRequest(_ context.Context, r mfa.KeptRequest) error {
	h.there = &r
	return nil
}
func (h *heldRequests) DropRequest(context.Context, mfa.KeptRequest) error {
	h.there = nil
	return nil
}
func (h *heldRequests) SweepRequests(context.Context) (map[[16]byte]int, error) { return h.left, nil }
func (h *heldRequests) CountRequests(_ context.Context, caller [16]byte) (int, error) {
	return h.left[caller], nil
}

// plainDigests are digests without a key.
type plainDigests struct{}

func (plainDigests) DigestOf(purpose, value string) [32]byte {
	return sha256.Sum256([]byte(purpose + "\n" + value))
}

// What is said of a request that is there already: it runs, nobody knows, it is done, its answer
// is gone.
func TestBeginRequest(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	held := &heldRequests{}
	s := &Service{Server: "nyc1", Requests: held, Digests: plainDigests{}, Now: func() time.Time { return now }}
	begin := func() (mfa.KeptRequest, error) {
		return s.BeginRequest(t.Context(), "token:till", "POST /users", "k", []byte("body"))
	}
	r, err := begin()
	if err != nil || r.Done || !r.Expires.Equal(now.Add(KeepRequest)) {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := begin(); !errors.Is(err, mfa.ErrConflict) || !strings.Contains(err.Error(), "being carried out on server nyc1") {
		t.Errorf("while it runs: %v", err)
	}
	now = now.Add(requestTime)
	if _, err := begin(); !errors.Is(err, mfa.ErrConflict) || !strings.Contains(err.Error(), "how it ended is not known") {
		t.Errorf("when its server has stopped: %v", err)
	}
	if err := s.EndRequest(t.Context(), r, `"1"`, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := begin(); err != nil || !got.Done || got.ETag != `"1"` || string(got.Answer) != `{}` {
		t.Errorf("done: %+v, %v", got, err)
	}
	held.there.Answer = nil
	if _, err := begin(); !errors.Is(err, mfa.ErrConflict) || !strings.Contains(err.Error(), "answer is not kept") {
		t.Errorf("its answer cannot be opened: %v", err)
	}
	held.there.Body = [32]byte{}
	if _, err := begin(); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("another body: %v", err)
	}
}

// One caller cannot fill the database, by whatever servers the requests come; what has expired
// makes room, and others are not kept out.
func TestRequestsAreBounded(t *testing.T) {
	held := &heldRequests{left: map[[16]byte]int{}}
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	servers := []*Service{}
	for _, name := range []string{"nyc1", "nyc2", "nyc3"} {
		servers = append(servers, &Service{Server: name, Requests: held, Digests: plainDigests{}, Now: func() time.Time { return now }})
	}
	begin := func(s *Service, by string) error {
		held.there = nil
		r, err := s.BeginRequest(t.Context(), by, "POST /users", "k", nil)
		if err == nil {
			held.left[r.Caller]++
		}
		return err
	}
	made := 0
	for i := 0; ; i++ {
		err := begin(servers[i%len(servers)], "token:till")
		if err != nil && (!errors.Is(err, ErrTooManyRequests) || !errors.Is(err, mfa.ErrTooMany)) {
			t.Fatalf("request %d: %v", i, err)
		}
		if err != nil {
			break
		}
		made++
	}
	if made < MaxRequests || made > MaxRequests+len(servers)*recountAfter {
		t.Errorf("one caller has %d", made)
	}
	if err := begin(servers[0], "token:other"); err != nil {
		t.Errorf("another caller: %v", err)
	}
	clear(held.left) // all have expired, and no sweep has come yet
	now = now.Add(recountPause)
	for _, s := range servers {
		if err := begin(s, "token:till"); err != nil {
			t.Errorf("after they have expired, on %s: %v", s.Server, err)
		}
	}
}
