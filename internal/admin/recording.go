package admin

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/voice"
)

// Recordings is what admin needs of the database for recordings.
type Recordings interface {
	Recordings() []mfa.Recording
	PutRecording(ctx context.Context, r mfa.Recording) error
	RemoveRecording(ctx context.Context, name string) error
}

// Recording is an own recording of what is said in calls, as the API shows it.
type Recording struct {
	Name    string    `json:"name" doc:"PROMPT.LANGUAGE, or application-NAME.LANGUAGE"`
	Seconds float64   `json:"seconds"`
	Text    string    `json:"text,omitempty" doc:"that the built-in prompt says"`
	Changed time.Time `json:"changed"`
}

// RecordingList is all recordings, and the names of prompts that there may be some of.
type RecordingList struct {
	Recordings []Recording `json:"recordings"`
	Prompts    []Prompt    `json:"prompts"`
}

// Prompt is one thing that is said in calls.
type Prompt struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Own  bool   `json:"own" doc:"there is a recording of it"`
}

// RecordingUpload is a recording that is uploaded.
type RecordingUpload struct {
	WAV []byte `json:"wav" maxLength:"700000" doc:"a WAV file in base64: 8000 samples a second, one channel, at most 20 s"`
}

// ListRecordings returns what is said in calls.
func (s *Service) ListRecordings(context.Context) (RecordingList, error) {
	out := RecordingList{Recordings: []Recording{}, Prompts: []Prompt{}}
	own := map[string]bool{}
	for _, r := range s.Recordings.Recordings() {
		own[r.Name] = true
		out.Recordings = append(out.Recordings, recording(r))
	}
	for _, language := range voice.Languages() {
		texts := voice.Texts(language)
		for _, name := range voice.Names() {
			full := name + "." + language
			out.Prompts = append(out.Prompts, Prompt{Name: full, Text: texts[name], Own: own[full]})
		}
	}
	return out, nil
}

func recording(r mfa.Recording) Recording {
	name, language := voice.CutName(r.Name)
	return Recording{Name: r.Name, Seconds: float64(len(r.Audio)*10/voice.Rate) / 10, Text: voice.Texts(language)[name], Changed: r.Changed}
}

// PutRecording stores a recording that is played from the next call on.
func (s *Service) PutRecording(ctx context.Context, by, name string, u RecordingUpload) (Recording, error) {
	if err := voice.CheckRecording(name); err != nil {
		return Recording{}, invalid("%v", err)
	}
	sound, err := voice.ParseWAV(u.WAV)
	if err != nil {
		return Recording{}, invalid("wav: %v", err)
	}
	r := mfa.Recording{Name: name, Audio: sound, Changed: s.Now()}
	if err := s.Recordings.PutRecording(ctx, r); err != nil {
		return Recording{}, err
	}
	v := recording(r)
	return v, s.record(ctx, by, "recording set", name, fmt.Sprintf("%.1f s", v.Seconds))
}

// RemoveRecording deletes a recording.
func (s *Service) RemoveRecording(ctx context.Context, by, name string) error {
	if err := s.Recordings.RemoveRecording(ctx, name); err != nil {
		return err
	}
	return s.record(ctx, by, "recording remove", name, "")
}
