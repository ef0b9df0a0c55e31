package group

import (
	"errors"
	"testing"

	"countersign/internal/secret"
)

func TestProven(t *testing.T) {
	a, b := secret.FromString("sixteen bytes 01"), secret.FromString("sixteen bytes 02")
	r := &Request{Code: "0123456789abcdef", Name: "n1"}
	r.Prove(a)
	other := &Request{Code: "0123456789abcdef", Name: "n2"}
	other.Prove(a)
	p, err := Prove(a, r, KindPreview, Preview{Group: "corp", Users: 7})
	if err != nil {
		t.Fatal(err)
	}
	var got Preview
	if err := p.Open(a, r, KindPreview, &got); err != nil || got.Users != 7 {
		t.Errorf("as given: %+v, %v", got, err)
	}
	changed := p
	changed.Answer = []byte(`{"group":"corp","users":8}`)
	for name, open := range map[string]func() error{
		"changed":              func() error { return changed.Open(a, r, KindPreview, &got) },
		"by another secret":    func() error { return p.Open(b, r, KindPreview, &got) },
		"without a secret":     func() error { return p.Open(secret.Text{}, r, KindPreview, &got) },
		"to another request":   func() error { return p.Open(a, other, KindPreview, &got) },
		"as another answer":    func() error { return p.Open(a, r, KindGrant, &got) },
		"the zero value":       func() error { return Proven{}.Open(a, r, KindPreview, &got) },
		"zero without secret":  func() error { return Proven{}.Open(secret.Text{}, r, KindPreview, &got) },
		"no secret, no secret": func() error { return Proven{Answer: p.Answer}.Open(secret.Text{}, r, KindPreview, &got) },
	} {
		if err := open(); !errors.Is(err, ErrUnproven) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
