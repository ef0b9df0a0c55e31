package console

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"strings"
)

//go:embed text/*.txt
var textFiles embed.FS

// texts is everything that a person reads, in one language, by key. Of a key with a number
// there are two: KEY.one and KEY.other.
type texts map[string]string

// loadTexts reads a catalogue: lines "key = text", comments behind #, blank lines. A text
// holds %s and %d where fmt puts values.
func loadTexts(language string) (texts, error) {
	b, err := textFiles.ReadFile("text/" + language + ".txt")
	if err != nil {
		return nil, err
	}
	all := texts{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, text, ok := strings.Cut(line, " = ")
		if _, twice := all[key]; !ok || twice {
			return nil, fmt.Errorf("texts %s, line %d: %q: want key = text, each key once", language, n, line)
		}
		all[key] = text
	}
	return all, lines.Err()
}

// say returns the text of a key. One that is missing shows as its key, so that somebody sees
// it; a test finds those that pages and code name.
func (t texts) say(key string, values ...any) string {
	text, ok := t[key]
	if !ok {
		return key
	}
	if len(values) == 0 {
		return text
	}
	return fmt.Sprintf(text, values...)
}

// count returns the text for a number of things, which is its first value.
func (t texts) count(key string, n int, values ...any) string {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return t.say(key+form, append([]any{n}, values...)...)
}
