package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// recordingRecord is v/DIGEST: an administrator's own recording of what is said in calls.
type recordingRecord struct {
	V       int       `json:"v"`
	Name    string    `json:"name"`
	Audio   []byte    `json:"audio"` // G.711 µ-law
	Changed time.Time `json:"changed"`

	key string
}

func parseRecording(key string, b []byte) (r recordingRecord, err error) {
	r.key = key
	return r, parse(key, b, &r, &r.V)
}

func (s *Store) recordingKey(name string) string {
	return s.nameKey(prefixRecording, name)
}

// Recording returns the audio of a recording (G.711 µ-law); it is not to be changed.
func (s *Store) Recording(name string) (audio []byte, ok bool) {
	r, ok := s.catalog().recordings[name]
	return r.Audio, ok
}

// Recordings returns all recordings by name.
func (s *Store) Recordings() []mfa.Recording {
	var list []mfa.Recording
	for _, r := range s.catalog().recordings {
		list = append(list, mfa.Recording{Name: r.Name, Audio: r.Audio, Changed: r.Changed})
	}
	slices.SortFunc(list, func(a, b mfa.Recording) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// PutRecording stores a recording in place of one of the same name. It refuses more than
// mfa.MaxRecordings with mfa.ErrInvalid.
func (s *Store) PutRecording(ctx context.Context, r mfa.Recording) error {
	if _, ok := s.Recording(r.Name); !ok && len(s.catalog().recordings) >= mfa.MaxRecordings {
		return fmt.Errorf("recording %q: there are %d already, which is the most; remove one first: %w", r.Name, mfa.MaxRecordings, mfa.ErrInvalid)
	}
	err := s.write(ctx, func(_ context.Context, t *tx) error {
		t.put(s.recordingKey(r.Name), recordingRecord{V: schema, Name: r.Name, Audio: r.Audio, Changed: s.now()})
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording %q: %w", r.Name, err)
	}
	return nil
}

// RemoveRecording deletes a recording; the built-in prompt, if there is one, is said again.
func (s *Store) RemoveRecording(ctx context.Context, name string) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, s.recordingKey(name))
		if err != nil {
			return err
		}
		if b == nil {
			return mfa.ErrNotFound
		}
		t.del(s.recordingKey(name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording %q: %w", name, err)
	}
	return nil
}
