package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTextIsNeverPrinted(t *testing.T) {
	const clear = "hunter2-hunter2"
	type inner struct{ hidden Text }
	v := struct {
		Open   Text
		hidden inner
		list   []Text
	}{FromString(clear), inner{FromString(clear)}, []Text{FromString(clear)}}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", &v)
		fmt.Fprintf(&out, verb+"\n", v.hidden)
		fmt.Fprintf(&out, verb+"\n", v.Open)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", v.Open, "all", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", v.Open)
	hexed := fmt.Sprintf("%x", clear)
	for _, bad := range []string{clear, hexed, strings.ToUpper(hexed)} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("output holds %q:\n%s", bad, out.String())
		}
	}
	if b, err := json.Marshal(v); err == nil {
		t.Errorf("json.Marshal of a struct with a secret: got %s, want an error", b)
	}
}

func TestTextEqual(t *testing.T) {
	tests := []struct {
		name string
		a, b Text
		want bool
	}{
		{"same", FromString("abc"), FromString("abc"), true},
		{"other", FromString("abc"), FromString("abd"), false},
		{"prefix", FromString("abc"), FromString("ab"), false},
		{"zero and empty", Text{}, FromString(""), true},
		{"zero and some", Text{}, FromString("a"), false},
	}
	for _, tt := range tests {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%s: Equal = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestNewCopies(t *testing.T) {
	b := []byte("abc")
	s := New(b)
	b[0] = 'x'
	if got := string(s.Expose()); got != "abc" {
		t.Errorf("after the caller changed its slice: got %q, want %q", got, "abc")
	}
}
