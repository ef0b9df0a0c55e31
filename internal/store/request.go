package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// requestRecord is i/CALLER/KEY: a request that its caller has named. The answer may hold names
// and numbers.
type requestRecord struct {
	V       int       `json:"v"`
	Body    []byte    `json:"body"`
	Server  string    `json:"server"`
	Begun   time.Time `json:"begun"`
	Expires time.Time `json:"expires"`
	Done    bool      `json:"done,omitempty"`
	Sealed  []byte    `json:"sealed,omitempty"`
}

// sealedAnswer is what is sealed in it.
type sealedAnswer struct {
	ETag   string          `json:"etag,omitempty"`
	Answer json.RawMessage `json:"answer"`
}

func requestKey(r mfa.KeptRequest) string {
	return prefixRequest + rawDigestText(r.Caller) + "/" + rawDigestText(r.Key)
}

func rawDigestText(d [16]byte) string { return idEncoding.EncodeToString(d[:]) }

// BeginRequest stores r, if there is none of its caller and key, or an expired one, and returns
// nil; otherwise it returns the one that there is. What of that cannot be opened any more (the
// key that sealed it is gone) has no Answer.
func (s *Store) BeginRequest(ctx context.Context, r mfa.KeptRequest) (there *mfa.KeptRequest, err error) {
	key := requestKey(r)
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		there = nil
		b, err := t.get(ctx, key)
		if err != nil {
			return err
		}
		if b != nil {
			old, err := s.parseRequest(key, r, b)
			if err != nil {
				return err
			}
			if s.now().Before(old.Expires) {
				there = &old
				return nil
			}
		}
		t.put(key, requestRecord{V: schema, Body: slices.Clone(r.Body[:]), Server: r.Server, Begun: r.Begun.UTC(), Expires: r.Expires.UTC()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("begin a request with an idempotency key: %w", err)
	}
	return there, nil
}

func (s *Store) parseRequest(key string, r mfa.KeptRequest, b []byte) (mfa.KeptRequest, error) {
	var rec requestRecord
	if err := parse(key, b, &rec, &rec.V); err != nil {
		return r, err
	}
	r = mfa.KeptRequest{Caller: r.Caller, Key: r.Key, Server: rec.Server, Begun: rec.Begun, Expires: rec.Expires, Done: rec.Done}
	copy(r.Body[:], rec.Body)
	if !rec.Done {
		return r, nil
	}
	text, err := s.ring.Open("request", "", key, rec.Sealed)
	var a sealedAnswer
	if err == nil && json.Unmarshal(text.Expose(), &a) == nil {
		r.ETag, r.Answer = a.ETag, a.Answer
	}
	return r, nil
}

// EndRequest stores the answer of a request that BeginRequest has stored.
func (s *Store) EndRequest(ctx context.Context, r mfa.KeptRequest) error {
	key := requestKey(r)
	plain, err := json.Marshal(sealedAnswer{r.ETag, r.Answer})
	if err != nil {
		return err
	}
	err = s.write(ctx, func(_ context.Context, t *tx) error {
		sealed, err := s.ring.Seal("request", "", key, plain)
		if err != nil {
			return err
		}
		t.put(key, requestRecord{V: schema, Body: slices.Clone(r.Body[:]), Server: r.Server, Begun: r.Begun.UTC(), Expires: r.Expires.UTC(), Done: true, Sealed: sealed})
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the answer of a request with an idempotency key: %w", err)
	}
	return nil
}

// DropRequest forgets a request that came to nothing: sent again, it is carried out.
func (s *Store) DropRequest(ctx context.Context, r mfa.KeptRequest) error {
	return s.write(ctx, func(_ context.Context, t *tx) error {
		t.del(requestKey(r))
		return nil
	})
}

// SweepRequests removes requests that have expired and returns how many each caller still has.
func (s *Store) SweepRequests(ctx context.Context) (map[[16]byte]int, error) {
	var old []string
	left := map[[16]byte]int{}
	_, err := s.kv.Scan(ctx, prefixRequest, func(key string, value []byte, _ int64) bool {
		caller, _, _ := strings.Cut(strings.TrimPrefix(key, prefixRequest), "/")
		if who, ok := parseDigest(caller); ok && !s.expired(value) {
			left[who]++
		} else {
			old = append(old, key)
		}
		return true
	})
	for chunk := range slices.Chunk(old, 64) {
		if err == nil {
			err = s.write(ctx, func(ctx context.Context, t *tx) error {
				for _, key := range chunk {
					if b, err := t.get(ctx, key); err != nil {
						return err
					} else if b != nil && s.expired(b) { // and nobody began it anew meanwhile
						t.del(key)
					}
				}
				return nil
			})
		}
	}
	return left, err
}

// CountRequests counts the requests of a caller that have not expired.
func (s *Store) CountRequests(ctx context.Context, caller [16]byte) (n int, err error) {
	_, err = s.kv.Scan(ctx, prefixRequest+rawDigestText(caller)+"/", func(_ string, value []byte, _ int64) bool {
		if !s.expired(value) {
			n++
		}
		return true
	})
	return n, err
}

// expired reports whether a request's record is nobody's any more; one that cannot be read is.
func (s *Store) expired(b []byte) bool {
	var r requestRecord
	return json.Unmarshal(b, &r) != nil || !s.now().Before(r.Expires)
}
