package storetest

import (
	"testing"

	"countersign/internal/mfa"
)

func recordings(t *testing.T, r *rig) {
	ctx := t.Context()
	for _, in := range []mfa.Recording{{Name: "press.de", Audio: []byte{1, 2}}, {Name: "application-vpn.en", Audio: []byte{3}}, {Name: "press.de", Audio: []byte{4, 5, 6}}} {
		is(t, "put", r.PutRecording(ctx, in), nil)
	}
	if audio, ok := r.Recording("press.de"); !ok || string(audio) != string([]byte{4, 5, 6}) {
		t.Errorf("got %v, %v", audio, ok)
	}
	if _, ok := r.Recording("press.en"); ok {
		t.Error("a recording of another language")
	}
	same(t, "all", r.Recordings(), []mfa.Recording{{Name: "application-vpn.en", Audio: []byte{3}, Changed: noon}, {Name: "press.de", Audio: []byte{4, 5, 6}, Changed: noon}})
	is(t, "remove", r.RemoveRecording(ctx, "press.de"), nil)
	is(t, "remove again", r.RemoveRecording(ctx, "press.de"), mfa.ErrNotFound)
	if _, ok := r.Recording("press.de"); ok {
		t.Error("what was removed is there")
	}
}
