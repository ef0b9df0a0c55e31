package web

import (
	"bufio"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

//go:embed text/*.txt
var textFiles embed.FS

// Texts is everything that a person reads, in one language, by key. Of a key with a number
// there are two: KEY.one and KEY.other.
type Texts map[string]string

// LoadTexts reads the catalogue text/LANGUAGE.txt of a set of pages, and with it the texts that
// all sets share, which are this package's own.
func LoadTexts(files fs.FS, language string) (Texts, error) {
	all := Texts{}
	if err := all.read(textFiles, language); err != nil {
		return nil, err
	}
	return all, all.read(files, language)
}

// read adds a catalogue: lines "key = text", comments behind #, blank lines. A text holds %s
// and %d where fmt puts values.
func (t Texts) read(files fs.FS, language string) error {
	f, err := files.Open("text/" + language + ".txt")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, text, ok := strings.Cut(line, " = ")
		if _, twice := t[key]; !ok || twice {
			return fmt.Errorf("texts %s, line %d: %q: want key = text, each key once", language, n, line)
		}
		t[key] = text
	}
	return lines.Err()
}

// Say returns the text of a key. One that is missing shows as its key, so that somebody sees
// it; tests find those that pages and code name.
func (t Texts) Say(key string, values ...any) string {
	text, ok := t[key]
	if !ok {
		return key
	}
	if len(values) == 0 {
		return text
	}
	return fmt.Sprintf(text, values...)
}

// Count returns the text for a number of things, which is its first value.
func (t Texts) Count(key string, n int, values ...any) string {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return t.Say(key+form, append([]any{n}, values...)...)
}

// Known returns the text of a key, or, where there is none, what other packages call it.
func (t Texts) Known(key, name string) string {
	if text, ok := t[key]; ok {
		return text
	}
	return name
}

// UTC writes a time for those whose browser runs no script; others see it in their own zone.
func (t Texts) UTC(at time.Time) string { return at.UTC().Format(t.Say("form.time")) }

// Seconds writes a number of seconds, to a tenth.
func (t Texts) Seconds(s float64) string {
	if s > -0.05 && s < 0.05 {
		s = 0
	}
	return strings.Replace(fmt.Sprintf("%.1f s", s), ".", t.Say("form.decimal"), 1)
}
