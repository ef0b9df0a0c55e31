package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"countersign/internal/secret"
)

// maxSecret is the longest secret read, in bytes.
const maxSecret = 4096

// source says where a secret comes from; secrets are never arguments.
type source struct {
	what  string // "password", for prompts and errors
	stdin bool   // one line of standard input
	file  string
	ask   bool // prompt for it if neither is given
	twice bool // prompt again to be sure
}

// read returns the secret, or nil if none was named and none is asked for. Where it must
// be asked for and nobody types, it is a usage error that names the flags.
func (e *env) read(s source) (*secret.Wire, error) {
	var text string
	var err error
	switch {
	case s.stdin && s.file != "":
		return nil, usage("the %s comes from standard input or from a file, not from both", s.what)
	case s.stdin:
		text, err = readLine(e.in)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("standard input ended before it")
		}
	case s.file != "":
		text, err = readFile(s.file)
	case !s.ask:
		return nil, nil
	case e.Prompt == nil:
		flag := strings.ReplaceAll(s.what, " ", "-")
		return nil, usage("the %s is missing: give --%s-stdin or --%s-file (no terminal to ask on)", s.what, flag, flag)
	default:
		text, err = e.askSecret(s)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.what, err)
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("%s: it is not UTF-8 text", s.what)
	case strings.ContainsRune(text, 0):
		return nil, fmt.Errorf("%s: it holds a NUL byte", s.what)
	}
	return secret.NewWire(text), nil
}

func (e *env) askSecret(s source) (string, error) {
	text, err := e.Prompt(strings.ToUpper(s.what[:1])+s.what[1:]+": ", false)
	if err != nil || !s.twice {
		return text, err
	}
	again, err := e.Prompt("Once more: ", false)
	if err == nil && again != text {
		err = errors.New("the two differ")
	}
	return text, err
}

// readFile reads a secret that a file holds, without the line's end.
func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%s is longer than %d bytes", name, maxSecret)
	}
	return strings.TrimRight(string(b), "\r\n"), err
}

// confirm asks before something is destroyed.
func (e *env) confirm(format string, args ...any) error {
	question := fmt.Sprintf(format, args...)
	if e.Yes {
		return nil
	}
	if e.Prompt == nil {
		return usage("%s Say so with --yes", question)
	}
	answer, err := e.Prompt(question+" [y/N] ", true)
	if err != nil {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
