package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// onceKey is the header by which a caller names a request that makes something.
const (
	onceKey      = "Idempotency-Key"
	onceReplayed = "Idempotency-Replayed"
	maxOnceKey   = 255
)

// creators are the operations that make something. A request to one of them that has an
// Idempotency-Key is carried out once.
var creators = map[string]bool{
	"POST /users": true, "POST /users/{login}/credentials": true, "POST /applications": true, "POST /directories": true, "POST /administrators": true,
	"POST /api-tokens": true, "POST /group/activations": true, "POST /console/links": true, "POST /coordinator/activations": true,
	"POST /gateways": true, "POST /policy/rules": true, "POST /users/{login}/invitation": true,
}

// creator is one of them.
type creator struct {
	op   *huma.Operation
	once []string // fields of the answer that are shown only once
}

// creates notes an operation that makes something, and describes the header. out is the answer's type.
func (a *API) creates(op *huma.Operation, out reflect.Type) {
	if !creators[op.Method+" "+op.Path] {
		return
	}
	longest := maxOnceKey
	op.Parameters = append(op.Parameters, &huma.Param{Name: onceKey, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &longest},
		Description: "your name for this request: sent again within 24 hours it makes nothing, and gets the first answer, without what is shown only once (" + onceReplayed + ": true)"})
	if a.creators == nil {
		a.creators = map[string]creator{}
	}
	a.creators[op.Method+" "+Prefix+op.Path] = creator{op, secretFields(out)}
}

// secretFields are the names of an answer's fields that are secrets.
func secretFields(t reflect.Type) (names []string) {
	wire := reflect.TypeFor[secret.Wire]()
	for f := range fieldsOfType(t) {
		of := f.Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of == wire {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// fieldsOfType yields the fields of a struct, those of structs that are embedded in it too.
func fieldsOfType(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		if t.Kind() != reflect.Struct {
			return
		}
		for _, f := range reflect.VisibleFields(t) {
			if !f.Anonymous && !yield(f) {
				return
			}
		}
	}
}

// unsureKey is where a request's context holds whether it is not known what became of it.
type unsureKey struct{}

// unsure notes that nobody knows whether the request of ctx has made something.
func unsure(ctx context.Context, err error) {
	if u, ok := ctx.Value(unsureKey{}).(*bool); ok && (errors.Is(err, mfa.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		*u = true
	}
}

// once carries out a request with an Idempotency-Key once, on whatever server of the group it
// comes in: its key is claimed by a conditional write before, and the answer kept after.
func (a *API) once(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(onceKey)
		_, pattern := mux.Handler(r)
		c, ok := a.creators[pattern]
		if !ok || len(keys) == 0 || refused(callerOf(r.Context()), c.op) != "" {
			mux.ServeHTTP(w, r)
			return
		}
		key := strings.TrimSpace(keys[0]) // HTTP/1.1 does so, HTTP/2 does not
		switch {
		case len(keys) > 1:
			writeProblem(w, http.StatusUnprocessableEntity, fmt.Sprintf("%s: given %d times: a request has one name", onceKey, len(keys)))
			return
		case key == "":
			writeProblem(w, http.StatusUnprocessableEntity, onceKey+": empty: leave it out, or give the request a name of its own")
			return
		case len(key) > maxOnceKey:
			writeProblem(w, http.StatusUnprocessableEntity, onceKey+": at most 255 characters")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			writeProblem(w, http.StatusRequestEntityTooLarge, "the body could not be read, or is larger than a megabyte")
			return
		}
		a.carryOut(mux, w, r, c, key, body)
	})
}

func (a *API) carryOut(mux http.Handler, w http.ResponseWriter, r *http.Request, c creator, key string, body []byte) {
	ctx := r.Context()
	claimed, err := a.admin.BeginRequest(ctx, callerOf(ctx).By, r.Method+" "+r.URL.Path, key, body)
	switch {
	case err != nil:
		writeProblem(w, statusOf(err), detail(err))
		return
	case claimed.Done:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(onceReplayed, "true")
		if claimed.ETag != "" {
			w.Header().Set("ETag", claimed.ETag)
		}
		_, _ = w.Write(claimed.Answer)
		return
	}
	var open bool
	answer := &keptAnswer{header: http.Header{}, status: http.StatusOK}
	again := r.WithContext(context.WithValue(ctx, unsureKey{}, &open))
	again.Body = io.NopCloser(bytes.NewReader(body))
	mux.ServeHTTP(answer, again) // who panics here leaves the key claimed: nobody knows what was done
	after := context.WithoutCancel(ctx)
	switch {
	case answer.status < 300:
		err = a.admin.EndRequest(after, claimed, answer.header.Get("ETag"), without(answer.body.Bytes(), c.once))
	case !open:
		err = a.admin.DropRequest(after, claimed)
	}
	if err != nil {
		a.log.Warn("admin API: what became of a request with an idempotency key is not kept: the key is refused until it expires",
			"by", callerOf(ctx).By, "operation", c.op.OperationID, "error", err)
	}
	answer.send(w)
}

// without returns a JSON object without some of its fields.
func without(object []byte, fields []string) []byte {
	if len(fields) == 0 {
		return object
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return []byte("{}")
	}
	for _, f := range fields {
		delete(all, f)
	}
	b, err := json.Marshal(all)
	if err != nil {
		return []byte("{}")
	}
	return b
}

// keptAnswer is an answer that is kept before it is sent.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (k *keptAnswer) Header() http.Header { return k.header }

// WriteHeader implements http.ResponseWriter.
func (k *keptAnswer) WriteHeader(status int) { k.status = status }

// Write implements http.ResponseWriter.
func (k *keptAnswer) Write(b []byte) (int, error) { return k.body.Write(b) }

func (k *keptAnswer) send(w http.ResponseWriter) {
	for name, values := range k.header {
		w.Header()[name] = values
	}
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body.Bytes())
}
