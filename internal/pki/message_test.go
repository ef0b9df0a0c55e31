package pki

import (
	"errors"
	"testing"
)

func TestMessage(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	sig, err := ca.SignMessage("standing", []byte("epoch 3"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := issue(t, ca, now).Certificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, purpose, message string
		by                     CA
		ok                     bool
	}{
		{"as signed", "standing", "epoch 3", ca, true},
		{"another message", "standing", "epoch 4", ca, false},
		{"another purpose", "grant", "epoch 3", ca, false},
		{"a boundary moved", "standingepoch", " 3", ca, false},
		{"another CA", "standing", "epoch 3", other, false},
		{"no CA", "standing", "epoch 3", CA{}, false},
	} {
		if err := VerifyMessage(c.by.Certificate(), c.purpose, []byte(c.message), sig); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want ok=%v", c.name, err, c.ok)
		}
	}
	if VerifyMessage(leaf, "standing", []byte("epoch 3"), sig) == nil {
		t.Error("a server's certificate verifies it")
	}
	if _, err := (CA{}).SignMessage("standing", nil); err == nil {
		t.Error("no CA signs")
	}
}
