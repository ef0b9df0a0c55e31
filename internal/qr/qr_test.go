package qr

import (
	"bytes"
	"errors"
	"flag"
	"image"
	"image/color"
	"os"
	"strings"
	"testing"

	goqr "github.com/piglig/go-qr"

	"countersign/internal/mfa"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const uri = "otpauth://totp/Example%20Corp:alice%40corp.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Corp&algorithm=SHA1&digits=6&period=30"

// TestTerminalGolden: the file holds the text, an empty line and the code.
func TestTerminalGolden(t *testing.T) {
	const file = "testdata/otpauth.golden"
	if *update {
		got := draw(t, uri)
		if err := os.WriteFile(file, []byte(uri+"\n\n"+got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, want, ok := strings.Cut(string(golden), "\n\n")
	if !ok || text == "" {
		t.Fatalf("%s holds no text and code", file)
	}
	if got := draw(t, text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTerminalIsRead reads back what was drawn, as a camera in front of a dark terminal
// sees it.
func TestTerminalIsRead(t *testing.T) {
	for name, text := range map[string]string{
		"a URI":     uri,
		"one byte":  "x",
		"long":      strings.Repeat("countersign ", 80),
		"not ASCII": "otpauth://totp/Zoë",
	} {
		drawn := draw(t, text)
		lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
		width := len([]rune(lines[0]))
		const scale = 4
		seen := image.NewGray(image.Rect(0, 0, width*scale, len(lines)*2*scale))
		for row, line := range lines {
			if got := len([]rune(line)); got != width {
				t.Fatalf("%s: line %d has %d characters, line 0 has %d", name, row, got, width)
			}
			for x, c := range []rune(line) {
				paint(seen, x, 2*row, scale, c == '█' || c == '▀')
				paint(seen, x, 2*row+1, scale, c == '█' || c == '▄')
			}
		}
		if got, err := goqr.Decode(seen); err != nil || got != text {
			t.Errorf("%s: read %q, %v, want %q", name, got, err, text)
		}
	}
}

// TestTerminalMargin: four light modules on each side; two lines above and at least one
// and a half below.
func TestTerminalMargin(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(draw(t, "x"), "\n"), "\n")
	for i, line := range lines {
		if i < 2 || i == len(lines)-2 {
			if strings.Trim(line, "█") != "" {
				t.Errorf("line %d is no margin: %q", i, line)
			}
			continue
		}
		if i == len(lines)-1 { // the height is odd: nothing in its lower half
			if strings.Trim(line, "▀") != "" {
				t.Errorf("last line is no margin: %q", line)
			}
			continue
		}
		if !strings.HasPrefix(line, "████") || !strings.HasSuffix(line, "████") {
			t.Errorf("line %d has no margin: %q", i, line)
		}
	}
}

func TestTerminalRefuses(t *testing.T) {
	const secret = "JBSWY3DPEHPK3PXP"
	for name, text := range map[string]string{"empty": "", "too long": strings.Repeat(secret, 300)} {
		var out bytes.Buffer
		err := Terminal(&out, text)
		if !errors.Is(err, mfa.ErrInvalid) || out.Len() > 0 {
			t.Errorf("%s: %d bytes written, err = %v, want none and ErrInvalid", name, out.Len(), err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds the text: %v", name, err)
		}
	}
	full := errors.New("disk full")
	if err := Terminal(failing{full}, "x"); !errors.Is(err, full) {
		t.Errorf("writer fails: err = %v, want %v", err, full)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func draw(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Terminal(&out, text); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func paint(im *image.Gray, x, y, scale int, light bool) {
	if !light {
		return
	}
	for dy := range scale {
		for dx := range scale {
			im.SetGray(x*scale+dx, y*scale+dy, color.Gray{Y: 255})
		}
	}
}
