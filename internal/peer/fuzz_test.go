package peer

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// What a caller tells of itself is taken only as this program writes it.
func FuzzHello(f *testing.F) {
	f.Add("1-1", "1", "v3", "4")
	f.Add("1-9", "2", "", "")
	f.Add("-1-1", "-1", "v", "-1")
	f.Add("1-1x", "1", "v", "18446744073709551616")
	form := regexp.MustCompile(`^([0-9]+)-([0-9]+)$`)
	digits := regexp.MustCompile(`^[0-9]+$`)
	f.Fuzz(func(t *testing.T, protocol, schema, version, epoch string) {
		var knows int
		s := &Server{Hello: Hello{Version: "v3", Schema: 2}, Fits: func(schema int, _ string) error { knows = schema; return nil }}
		r := httptest.NewRequest(http.MethodGet, "https://n1"+PathReport, nil)
		r.Header = http.Header{ProtocolHeader: {protocol}, SchemaHeader: {schema}, VersionHeader: {version}, EpochHeader: {epoch}}
		if e, err := epochOf(r); err == nil && epoch != "" && (!digits.MatchString(epoch) || strings.TrimLeft(epoch, "0") != strings.TrimLeft(strconv.FormatUint(e, 10), "0")) {
			t.Errorf("epoch %q is taken for %d", epoch, e)
		}
		if err := s.understands("n2", r); err != nil {
			if !errors.Is(err, group.ErrProtocol) && !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("refused as %v", err)
			}
			if len(err.Error()) > 1024 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		m := form.FindStringSubmatch(protocol)
		if m == nil {
			t.Fatalf("protocol %q is understood", protocol)
		}
		lowest, _ := strconv.Atoi(m[1])
		highest, err := strconv.Atoi(m[2])
		if err != nil || lowest > Protocol || highest < MinProtocol {
			t.Errorf("protocol %q is understood", protocol)
		}
		if knows < 0 || !digits.MatchString(schema) {
			t.Errorf("schema %q is taken for %d", schema, knows)
		}
	})
}
