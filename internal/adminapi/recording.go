package adminapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	"countersign/internal/admin"
)

// recordings registers what is said in calls.
func (a *API) recordings() {
	type named struct {
		Name string `path:"name" maxLength:"100"`
	}
	type upload struct {
		Name string `path:"name" maxLength:"100"`
		Body admin.RecordingUpload
	}
	route(a, readSettings, http.MethodGet, "/recordings", "List what is said in calls", func(ctx context.Context, d desk, _ *none) (admin.RecordingList, error) {
		return d.ListRecordings(ctx)
	})
	route(a, changeSettings, http.MethodPatch, "/recordings/{name}", "Say something in calls in an own recording", func(ctx context.Context, d desk, in *upload) (admin.Recording, error) {
		return d.PutRecording(ctx, in.Name, in.Body)
	})
	route(a, changeSettings, http.MethodDelete, "/recordings/{name}", "Remove an own recording", func(ctx context.Context, d desk, in *named) (admin.Removed, error) {
		return admin.Removed{Removed: in.Name}, d.RemoveRecording(ctx, in.Name)
	})
}

// aTenth is a WAV file of a tenth of a second of silence, in base64, for the example.
var aTenth = base64.StdEncoding.EncodeToString([]byte("RIFF\x44\x03\x00\x00WAVEfmt \x10\x00\x00\x00\x07\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x20\x03\x00\x00" +
	strings.Repeat("\xff", 800)))
