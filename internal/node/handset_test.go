package node

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"countersign/internal/device"
	"countersign/internal/deviceapi"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

// handset is the device of a user: a key, and what the app does with it at a server's address.
type handset struct {
	t   *testing.T
	b   *browser
	key *ecdsa.PrivateKey
	id  string
}

// activate makes a device of a user's.
func (x *matrix) activate(t *testing.T, login string) *handset {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	public, err := key.PublicKey.Bytes()
	must(t, err)
	p := &handset{t: t, b: newBrowser(t, x.at.HTTPS), key: key}
	code := string(x.gives(t, login, enroll.Request{Method: mfa.MethodPush}).Activation.Expose())
	var made struct{ Device string }
	p.call("activate", "", map[string]any{"code": code, "name": "Phone", "public_key": base64.RawURLEncoding.EncodeToString(public), "proof": p.sign(device.Activation(code))}, &made)
	p.id = made.Device
	return p
}

func (p *handset) sign(message []byte) string {
	digest := sha256.Sum256(message)
	x, y, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	must(p.t, err)
	b := make([]byte, 64)
	x.FillBytes(b[:32])
	y.FillBytes(b[32:])
	return base64.RawURLEncoding.EncodeToString(b)
}

// call sends one signed request, with a PIN beside it if there is one.
func (p *handset) call(path, pin string, body, out any) {
	p.t.Helper()
	raw, err := json.Marshal(body)
	must(p.t, err)
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.b.at+deviceapi.Prefix+path, bytes.NewReader(raw))
	must(p.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if p.id != "" {
		var nonce [16]byte
		_, _ = rand.Read(nonce[:])
		m := device.Request{Method: http.MethodPost, Path: deviceapi.Prefix + path, Time: fmt.Sprint(time.Now().Unix()), Nonce: base64.RawURLEncoding.EncodeToString(nonce[:]), Body: raw}
		r.Header.Set("Countersign-Device", p.id)
		r.Header.Set("Countersign-Time", m.Time)
		r.Header.Set("Countersign-Nonce", m.Nonce)
		r.Header.Set("Countersign-Signature", p.sign(m.Message()))
		r.Header.Set("Countersign-PIN", base64.RawURLEncoding.EncodeToString([]byte(pin)))
	}
	if status := p.b.do(r); status != http.StatusOK && status != http.StatusCreated {
		p.t.Fatalf("%s: %d %s", path, status, p.b.last)
	}
	must(p.t, json.Unmarshal([]byte(p.b.last), out))
}

// approves waits for the question that the device is shown, and answers it with a number.
func (p *handset) approves(number, pin string) {
	p.t.Helper()
	var list struct{ Requests []struct{ ID, Nonce string } }
	await(p.t, "the question on the device", func() bool {
		p.call("pending", "", map[string]any{"wait": 0}, &list)
		return len(list.Requests) == 1
	})
	var got struct{ Outcome string }
	p.call("answer", pin, map[string]any{"id": list.Requests[0].ID, "nonce": list.Requests[0].Nonce, "act": "approve", "number": number}, &got)
	if got.Outcome != "accepted" {
		p.t.Errorf("the answer of the device: %s", got.Outcome)
	}
}
