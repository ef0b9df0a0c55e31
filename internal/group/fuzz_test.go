package group

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"countersign/internal/mfa"
)

// What a server of the group signs is believed only within bounds: a key on record may be
// in the wrong hands, or its server's memory at fault.
func FuzzBelieve(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	sign := func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil }
	n2 := mfa.Member{Name: "n2", Peer: "n2:7443", Sign: key.Public().(ed25519.PublicKey)}
	for _, e := range []Epoch{
		{Group: "corp", Epoch: 3, ClusterID: "00000000deadbeef", Highest: 4, Name: "n2", Members: []mfa.Member{n2}},
		{Group: "corp", Epoch: 1 << 60, ClusterID: "00000000deadbeef", Highest: ^uint64(0), Name: "n2"},
	} {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint64(2))
	}
	f.Add([]byte(`{}`), uint64(0))
	f.Add([]byte(`{"group":"corp","epoch":1,"cluster_id":"0123456789abcdeX","name":"n2"}`), ^uint64(0))
	clusterID := regexp.MustCompile(`^[0-9a-f]{16}$`)
	within := func(epoch, known uint64) bool { return epoch <= known || epoch-known <= epochReach }
	f.Fuzz(func(t *testing.T, statement []byte, known uint64) {
		sig, _ := sign(append([]byte(epochContext), statement...))
		e, err := SignedEpoch{statement, sig}.Believe(n2, "corp", known)
		if err != nil {
			if !errors.Is(err, mfa.ErrInvalid) && !errors.Is(err, ErrAbsurdEpoch) {
				t.Errorf("refused as %v", err)
			}
			return
		}
		switch {
		case e.Name != "n2" || e.Group != "corp":
			t.Errorf("believed of %q, group %q", e.Name, e.Group)
		case e.Epoch == 0 || !within(e.Epoch, known) || e.Highest < e.Epoch || !within(e.Highest, max(known, e.Epoch)):
			t.Errorf("epoch %d, highest %d are believed where %d is known", e.Epoch, e.Highest, known)
		case !clusterID.MatchString(e.ClusterID):
			t.Errorf("cluster %q is believed", e.ClusterID)
		}
		sig[0] ^= 1
		if _, err := (SignedEpoch{statement, sig}).Believe(n2, "corp", known); err == nil {
			t.Error("another signature is believed")
		}
		s, err := e.Sign(sign)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Believe(n2, "corp", known)
		a, _ := json.Marshal(e)
		if b, _ := json.Marshal(again); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s came back as %s, %v", a, b, err)
		}
	})
}

// An answer is an answer only with status 200, and an error keeps its meaning when it is
// passed on.
func FuzzReadAnswer(f *testing.F) {
	f.Add(200, []byte(`{"group":"corp","epoch":3}`))
	f.Add(403, []byte(`{"kind":"not_member","detail":"not a member"}`))
	f.Add(500, []byte(`{"kind":"internal","detail":"x"}`))
	f.Add(502, []byte(`<html>`))
	known := map[string]error{}
	for _, k := range wireErrors {
		known[k.name] = k.err
	}
	request := httptest.NewRequest(http.MethodGet, "https://n1:7443/peer/v1/epoch", nil)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		answer := func(status int, body []byte) *http.Response {
			return &http.Response{StatusCode: status, Status: "of the test", Body: io.NopCloser(bytes.NewReader(body)), Request: request}
		}
		var e Epoch
		err := ReadAnswer(answer(status, body), &e)
		if status == http.StatusOK {
			if err == nil && !json.Valid(firstValue(body)) {
				t.Errorf("%q is taken for an answer", body)
			}
			return
		}
		if err == nil || err.Error() == "" {
			t.Fatalf("status %d with %q is no error", status, body)
		}
		w := httptest.NewRecorder()
		WriteAnswer(w, nil, err)
		again := ReadAnswer(answer(w.Code, w.Body.Bytes()), nil)
		if again == nil || again.Error() != err.Error() {
			t.Errorf("%v is passed on as %v", err, again)
		}
		for name, is := range known {
			if errors.Is(err, is) && !errors.Is(again, is) {
				t.Errorf("%v was %s, and is not when passed on", err, name)
			}
		}
	})
}

// firstValue is the first JSON value of b.
func firstValue(b []byte) (v json.RawMessage) {
	_ = json.NewDecoder(bytes.NewReader(b)).Decode(&v)
	return v
}
