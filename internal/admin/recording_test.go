package admin_test

import (
	"errors"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

func TestRecordings(t *testing.T) {
	r := newRig(t)
	wav := []byte("RIFF\x44\x03\x00\x00WAVEfmt \x10\x00\x00\x00\x07\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x20\x03\x00\x00" + strings.Repeat("\xff", 800))
	if v, err := r.PutRecording(t.Context(), "root", "press.de", admin.RecordingUpload{WAV: wav}); err != nil || v.Seconds != 0.1 || !strings.Contains(v.Text, "Raute") {
		t.Fatalf("got %+v, %v", v, err)
	}
	for _, bad := range []struct {
		name string
		wav  []byte
	}{{"pres.de", wav}, {"press.de", []byte("ID3")}} {
		if _, err := r.PutRecording(t.Context(), "root", bad.name, admin.RecordingUpload{WAV: bad.wav}); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: %v", bad.name, err)
		}
	}
	list, err := r.ListRecordings(t.Context())
	own := 0
	for _, p := range list.Prompts {
		if p.Text == "" {
			t.Errorf("%s has no text", p.Name)
		}
		if p.Own {
			own++
		}
	}
	if err != nil || len(list.Recordings) != 1 || own != 1 {
		t.Errorf("got %+v, %v", list.Recordings, err)
	}
	if err := r.RemoveRecording(t.Context(), "root", "press.de"); err != nil {
		t.Error(err)
	}
}
