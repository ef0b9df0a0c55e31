// Package qr draws QR codes in a terminal.
package qr

import (
	"fmt"
	"io"
	"strings"

	goqr "github.com/piglig/go-qr"

	"countersign/internal/mfa"
)

// quiet is the width of the light margin in modules (ISO/IEC 18004 section 6.3.8).
const quiet = 4

// Terminal writes text as a QR code of half blocks, two modules to a character, with its
// margin. Light modules are drawn and dark ones left out, which is right on a terminal
// with a dark background; most scanners read it on a light one too. A text that is empty
// or does not fit in a QR code is an error that wraps mfa.ErrInvalid and does not hold the
// text: it may be a secret.
func Terminal(w io.Writer, text string) error {
	if text == "" {
		return fmt.Errorf("%w QR code: there is nothing to show", mfa.ErrInvalid)
	}
	code, err := goqr.EncodeText(text, goqr.Low)
	if err != nil {
		return fmt.Errorf("%w QR code: a text of %d bytes does not fit", mfa.ErrInvalid, len(text))
	}
	size := code.Size()
	light := func(x, y int) bool { return y < size+quiet && !code.Module(x, y) } // beyond the code Module is false
	var b strings.Builder
	for y := -quiet; y < size+quiet; y += 2 {
		for x := -quiet; x < size+quiet; x++ {
			switch up, down := light(x, y), light(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the QR code: %w", err)
	}
	return nil
}
