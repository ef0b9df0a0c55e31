package qr

import (
	"fmt"
	"io"
	"strings"

	goqr "github.com/piglig/go-qr"

	"countersign/internal/mfa"
)

// SVG writes text as a QR code, an <svg> element with its margin, dark on white whatever the
// page looks like. The errors are those of Terminal.
func SVG(w io.Writer, text string) error {
	if text == "" {
		return fmt.Errorf("%w QR code: there is nothing to show", mfa.ErrInvalid)
	}
	code, err := goqr.EncodeText(text, goqr.Low)
	if err != nil {
		return fmt.Errorf("%w QR code: a text of %d bytes does not fit", mfa.ErrInvalid, len(text))
	}
	size := code.Size()
	var path strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			run := 0
			for x+run < size && code.Module(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	side := size + 2*quiet
	if _, err := fmt.Fprintf(w, `<svg class="qr" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" aria-hidden="true" shape-rendering="crispEdges">`+
		`<rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="%s"/></svg>`, side, side, side, side, path.String()); err != nil {
		return fmt.Errorf("write the QR code: %w", err)
	}
	return nil
}
