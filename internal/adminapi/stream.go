package adminapi

import (
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	maxImport     = 256 << 20        // bytes of one file
	slowTimeout   = 10 * time.Minute // of an operation that reads or tries much, or between two reads of an import
	streamTimeout = 30 * time.Second // of one write of a stream
)

// slow is the input of an operation that may take long.
type slow struct{}

// Resolve implements huma.Resolver.
func (*slow) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowTimeout))
	return nil
}

// upload is a body that is read as it comes.
type upload struct {
	DryRun bool `query:"dry_run"`
	file   io.Reader
}

// Resolve implements huma.Resolver.
func (u *upload) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	u.file = &patient{http.MaxBytesReader(w, r.Body, maxImport), http.NewResponseController(w)}
	return nil
}

// patient gives each read, and what is done with it, its own time.
type patient struct {
	r    io.Reader
	conn *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	until := time.Now().Add(slowTimeout)
	_ = p.conn.SetReadDeadline(until)
	_ = p.conn.SetWriteDeadline(until)
	return p.r.Read(b)
}

// stream is a body whose end is not known when it begins.
type stream struct {
	w     http.ResponseWriter
	conn  *http.ResponseController
	kind  string
	begun bool
}

func newStream(w http.ResponseWriter, kind string) *stream {
	return &stream{w: w, conn: http.NewResponseController(w), kind: kind}
}

func (s *stream) Write(b []byte) (int, error) {
	if !s.begun {
		s.w.Header().Set("Content-Type", s.kind)
		s.begun = true
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamTimeout))
	return s.w.Write(b)
}

// flush sends what was written so far.
func (s *stream) flush() error {
	if _, err := s.Write(nil); err != nil {
		return err
	}
	return s.conn.Flush()
}
