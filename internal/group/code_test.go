package group

import (
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func activation(t testing.TB) Activation {
	t.Helper()
	a, err := NewActivation()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = rand.Read(a.CA[:])
	a.Group, a.Role, a.Coordinators = "corp", mfa.RoleServer, []string{"n1.example.net:7444", "[2001:db8::2]:7444"}
	return a
}

func same(a, b Activation) bool {
	x, y := a.Secret.Expose(), b.Secret.Expose()
	a.Secret, b.Secret = secret.Text{}, secret.Text{}
	return string(x) == string(y) && reflect.DeepEqual(a, b)
}

func TestActivationRoundTrip(t *testing.T) {
	a := activation(t)
	text := a.String()
	for name, typed := range map[string]string{
		"as printed": text, "without hyphens": strings.ReplaceAll(text, "-", ""), "lower case": strings.ToLower(text),
		"over two lines": text[:40] + "\r\n  " + text[40:] + "\n",
	} {
		if got, err := ParseActivation(typed); err != nil || !same(got, a) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if strings.ContainsAny(text, "01IO") {
		t.Errorf("%s has letters that are mistaken for others", text)
	}
}

// Any one character changed, left out or doubled is found.
func TestActivationMistakes(t *testing.T) {
	text := strings.ReplaceAll(activation(t).String(), "-", "")
	for i := range text {
		other := "A"
		if text[i] == 'A' {
			other = "B"
		}
		for _, typed := range []string{text[:i] + other + text[i+1:], text[:i] + text[i+1:], text[:i] + text[i:i+1] + text[i:], text[:i]} {
			if _, err := ParseActivation(typed); typed != text && !errors.Is(err, ErrCode) && err == nil {
				t.Fatalf("position %d: taken", i)
			}
		}
	}
}

func FuzzParseActivation(f *testing.F) {
	f.Add(activation(f).String())
	f.Add("")
	f.Add("AEEPC-9E7WY")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseActivation(s)
		if err != nil {
			return
		}
		if b, err := ParseActivation(a.String()); err != nil || !same(a, b) {
			t.Errorf("%q: %+v, then %+v, %v", s, a, b, err)
		}
	})
}

// The proof covers every field: none can be changed on the way, and no two neighbours mixed up.
func TestRequestProof(t *testing.T) {
	word := secret.FromString("0123456789abcdef")
	r := Request{Code: "00", Name: "n2", Role: "server", Peer: "p:1", HTTPS: "h:1", Coordinator: "c:1", PublicKey: []byte("k"), Sign: []byte("s"), Wrap: "w", Version: "1"}
	r.Prove(word)
	if !r.Proven(word) || r.Proven(secret.FromString("0123456789abcdeg")) {
		t.Fatal("the proof does not hold, or holds for another code")
	}
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		changed := r
		switch f := reflect.ValueOf(&changed).Elem().Field(i); {
		case v.Type().Field(i).Name == "MAC":
			changed.MAC = append([]byte{}, r.MAC[1:]...)
		case f.CanInt():
			f.SetInt(f.Int() + 1)
		case f.Kind().String() == "string":
			f.SetString(f.String() + "x")
		default:
			f.SetBytes(append([]byte("x"), f.Bytes()...))
		}
		if changed.Proven(word) {
			t.Errorf("%s can be changed", v.Type().Field(i).Name)
		}
	}
	moved := r
	moved.Name, moved.Role = "n", "2server"
	if moved.Proven(word) {
		t.Error("a letter can move from one field to the next")
	}
}
