package authenticator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server answers what the app asks, as docs/operations/portal.md says; it checks what a server has to.
type server struct {
	t     *testing.T
	vapid string

	mu      sync.Mutex
	changed chan struct{} // closed when something is new
	codes   map[string]bool
	devices map[string]*ecdsa.PublicKey
	names   []string
	nonces  map[string]bool
	pending []request
	answers []answer
	places  []place
	ahead   time.Duration // of this server's clock
	down    bool
	removed []string // by the app
	stays   string   // type of the problem that is in the way of that; "": none
	pin     string   // beside the last answer, as it was sent
	outcome string   // instead of what follows from the answer
}

type request struct {
	ID          string `json:"id"`
	Nonce       string `json:"nonce"`
	Application string `json:"application"`
	Source      string `json:"source"`
	Place       string `json:"place,omitempty"`
	Text        string `json:"text,omitempty"`
	Asked       int64  `json:"asked"`
	Expires     int64  `json:"expires"`
	Number      bool   `json:"number"`
	PIN         bool   `json:"pin,omitempty"`
}

type answer struct{ Device, ID, Nonce, Act, Number string }

type place struct{ Endpoint, P256DH, Auth string }

func newServer(t *testing.T) *server {
	return &server{t: t, changed: make(chan struct{}), codes: map[string]bool{}, devices: map[string]*ecdsa.PublicKey{}, nonces: map[string]bool{}}
}

// with changes something, which calls that wait see.
func (s *server) with(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// ask has the devices see a request that lives for a minute.
func (s *server) ask(r request) {
	s.with(func() {
		now := time.Now().Add(s.ahead)
		r.Nonce, r.Asked, r.Expires = "nonce of "+r.ID, now.Unix(), now.Add(time.Minute).Unix()
		s.pending = append(s.pending, r)
	})
}

func (s *server) answered() []answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]answer(nil), s.answers...)
}

func verify(key *ecdsa.PublicKey, signed, signature string) bool {
	b, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(b) != 64 || key == nil {
		return false
	}
	digest := sha256.Sum256([]byte(signed))
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:]))
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status": %d, "detail": %q}`, status, detail)
}

func (s *server) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /authenticator/api/activate", s.activate)
	for verb, do := range map[string]func(ctx context.Context, device string, body []byte) (any, error){"pending": s.list, "answer": s.take, "subscribe": s.subscribe, "remove": s.remove} {
		mux.HandleFunc("POST /authenticator/api/"+verb, func(w http.ResponseWriter, r *http.Request) { s.signed(w, r, do) })
	}
}

func (s *server) activate(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Code, Name, Proof string
		PublicKey         string `json:"public_key"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		problem(w, 400, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	point, err := base64.RawURLEncoding.DecodeString(body.PublicKey)
	key, err2 := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil || err2 != nil || !s.codes[body.Code] || !verify(key, "countersign-activate-v1\n"+body.Code, body.Proof) {
		problem(w, 422, "the code is not good")
		return
	}
	delete(s.codes, body.Code)
	id := fmt.Sprintf("device%d", len(s.names))
	s.devices[id] = key
	s.names = append(s.names, body.Name)
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]string{"device": id, "user": "ada" + strconv.Itoa(len(s.names)), "group": "acme", "vapid_key": s.vapid})
}

func (s *server) signed(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, device string, body []byte) (any, error)) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h := r.Header
	device, at, nonce := h.Get("Countersign-Device"), h.Get("Countersign-Time"), h.Get("Countersign-Nonce")
	s.mu.Lock()
	now, key, used, down := time.Now().Add(s.ahead), s.devices[device], s.nonces[nonce], s.down
	s.nonces[nonce] = true
	if pin := h.Get("Countersign-PIN"); pin != "" || strings.HasSuffix(r.URL.Path, "answer") {
		s.pin = pin
	}
	s.mu.Unlock()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	digest := sha256.Sum256(body)
	seconds, err := strconv.ParseInt(at, 10, 64)
	switch {
	case down:
		problem(w, 503, "no master")
	case key == nil:
		problem(w, http.StatusGone, "no such device")
	case err != nil || used || len(nonce) != 22 || !verify(key, "countersign-device-v1\n"+r.Method+"\n"+r.URL.Path+"\n"+at+"\n"+nonce+"\n"+base64.RawURLEncoding.EncodeToString(digest[:]), h.Get("Countersign-Signature")):
		problem(w, http.StatusUnauthorized, "the signature does not hold")
		s.t.Errorf("%s: not signed as it should be", r.URL.Path)
	case now.Sub(time.Unix(seconds, 0)).Abs() > 2*time.Minute:
		problem(w, http.StatusUnauthorized, "the clock is wrong")
	default:
		said, err := do(r.Context(), device, body)
		var stays kept
		switch {
		case errors.As(err, &stays):
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"type": %q, "status": 403}`, string(stays))
		case err != nil:
			problem(w, 422, err.Error())
		case said == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			json.NewEncoder(w).Encode(said)
		}
	}
}

func (s *server) list(ctx context.Context, device string, body []byte) (any, error) {
	var q struct {
		Wait  int
		Known []string
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	end := time.After(time.Duration(q.Wait) * time.Second)
	for {
		s.mu.Lock()
		all, changed, there := append([]request{}, s.pending...), s.changed, s.devices[device] != nil
		s.mu.Unlock()
		news := len(all) != len(q.Known)
		for _, r := range all {
			news = news || !slices.Contains(q.Known, r.Nonce)
		}
		if news || q.Wait == 0 || !there {
			return map[string]any{"requests": all}, nil
		}
		select {
		case <-changed:
		case <-end:
			return map[string]any{"requests": all}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *server) take(_ context.Context, device string, body []byte) (any, error) {
	a := answer{Device: device}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	outcome := "answered"
	s.with(func() {
		s.answers = append(s.answers, a)
		for i, r := range s.pending {
			if r.ID != a.ID || r.Nonce != a.Nonce {
				continue
			}
			s.pending = append(s.pending[:i:i], s.pending[i+1:]...)
			switch {
			case s.outcome != "":
				outcome = s.outcome
			case a.Act != "approve":
				outcome = "denied"
			case r.PIN && s.pin != base64.RawURLEncoding.EncodeToString([]byte("1379")):
				outcome = "wrong_pin"
			case r.Number && a.Number != "42":
				outcome = "wrong_number"
			default:
				outcome = "accepted"
			}
			return
		}
	})
	return map[string]string{"outcome": outcome}, nil
}

func (s *server) subscribe(_ context.Context, _ string, body []byte) (any, error) {
	var p place
	err := json.Unmarshal(body, &p)
	s.with(func() { s.places = append(s.places, p) })
	return nil, err
}

// kept is the type of the problem that a device is not removed for.
type kept string

func (k kept) Error() string { return string(k) }

func (s *server) remove(_ context.Context, device string, _ []byte) (any, error) {
	var kind string
	if s.with(func() { kind = s.stays }); kind != "" {
		return nil, kept(kind)
	}
	s.with(func() {
		s.removed = append(s.removed, device)
		delete(s.devices, device)
	})
	return nil, nil
}
