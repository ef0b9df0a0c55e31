package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"countersign/internal/admin"
)

type recordingVerbs struct {
	List   recordingList   `cmd:"" help:"List what is said in calls, and which of it is an own recording."`
	Set    recordingSet    `cmd:"" help:"Say something in an own recording."`
	Remove recordingRemove `cmd:"" help:"Remove an own recording."`
}

type recordingList struct{}

func (recordingList) Run(ctx context.Context, e *env) error {
	var doc admin.RecordingList
	if err := e.call(ctx, http.MethodGet, "/recordings", nil, nil, &doc); err != nil {
		return err
	}
	type row struct {
		Name string `json:"name"`
		Own  string `json:"own"`
		Text string `json:"text"`
	}
	own := map[string]string{}
	for _, r := range doc.Recordings {
		own[r.Name] = fmt.Sprintf("%.1f s", r.Seconds)
	}
	var rows []row
	for _, p := range doc.Prompts {
		rows = append(rows, row{p.Name, own[p.Name], p.Text})
		delete(own, p.Name)
	}
	for _, r := range doc.Recordings { // of applications' names
		if length, ok := own[r.Name]; ok {
			rows = append(rows, row{r.Name, length, ""})
		}
	}
	return e.table(doc, rows, "name", "own", "text")
}

type recordingSet struct {
	nameArg
	File string `required:"" help:"WAV file: 8000 samples a second, one channel, at most 20 s." type:"path" placeholder:"FILE"`
}

// maxWAV is the largest file that is worth sending, in bytes.
const maxWAV = 512 << 10

func (v *recordingSet) Run(ctx context.Context, e *env) error {
	b, err := os.ReadFile(v.File)
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	if len(b) > maxWAV {
		return usage("--file %s: %d bytes; at most 20 s are said, of 8000 samples a second (sox IN -r 8000 -c 1 -b 16 OUT.wav)", v.File, len(b))
	}
	return change[admin.Recording](ctx, e, http.MethodPatch, path("recordings", v.Name), admin.RecordingUpload{WAV: b})
}

type recordingRemove struct{ nameArg }

func (v *recordingRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "recording", v.Name, path("recordings", v.Name))
}
