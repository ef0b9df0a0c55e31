package web

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

//go:embed said/*.txt
var saidFiles embed.FS

// Phrases say in one language what other packages say in English: alarms, what happened in a
// sign-in, prompts. The zero value says it in English.
type Phrases struct {
	whole map[string]string // sentences into which nothing is put
	forms []phraseForm      // the others; the first that fits is taken
}

// phraseForm is a sentence with places.
type phraseForm struct {
	english *regexp.Regexp
	other   string
}

// place is where something is put into a sentence.
var place = regexp.MustCompile(`\{(\d)\}`)

// LoadPhrases reads said/LANGUAGE.txt: a sentence, and indented below it what it is in that
// language. Of a language without such a file the phrases are English.
func LoadPhrases(language string) (Phrases, error) {
	p := Phrases{whole: map[string]string{}}
	f, err := saidFiles.Open("said/" + language + ".txt")
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	} else if err != nil {
		return p, err
	}
	defer func() { _ = f.Close() }()
	english := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		switch {
		case strings.TrimSpace(text) == "", strings.HasPrefix(text, "#"):
			continue
		case !strings.HasPrefix(text, " ") && english == "":
			english = text
			continue
		case english == "" || !strings.HasPrefix(text, " "):
			return p, fmt.Errorf("phrases %s, line %d: want a sentence, and indented below it what is said instead", language, n)
		}
		if err := p.add(english, strings.TrimSpace(text)); err != nil {
			return p, fmt.Errorf("phrases %s, line %d: %w", language, n, err)
		}
		english = ""
	}
	return p, lines.Err()
}

func (p *Phrases) add(english, other string) error {
	if !place.MatchString(english) {
		if _, twice := p.whole[english]; twice {
			return fmt.Errorf("%q is there twice", english)
		}
		p.whole[english] = other
		return nil
	}
	parts := place.Split(english, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	form, err := regexp.Compile(`(?s)\A` + strings.Join(parts, "(.+?)") + `\z`)
	p.forms = append(p.forms, phraseForm{form, other})
	return err
}

// maxDeep is how many sentences are looked up within each other.
const maxDeep = 4

// maxJoined is of how many parts a sentence with semicolons in it may be.
const maxJoined = 4

// maxPhrase bounds what is looked up, in bytes: a page is shown though a sentence is endless.
const maxPhrase = 2048

// Say returns a sentence in the language of the phrases, as far as it is known; of several
// that a semicolon joins, each for itself.
func (p Phrases) Say(said string) string {
	if len(said) > maxPhrase || len(p.whole) == 0 {
		return said
	}
	said = p.say(said, maxDeep)
	head, tail, _ := strings.Cut(said, ": ") // "setting: what it means"
	if known := p.say(tail, maxDeep); known != tail {
		return head + ": " + known
	}
	return said
}

// say looks a sentence up, and what is put into it, so many levels deep.
func (p Phrases) say(said string, deep int) string {
	if other := p.one(said, deep); other != said || deep == 0 {
		return other
	}
	return p.joined(said, deep)
}

// one looks up one sentence, and what is put into it.
func (p Phrases) one(said string, deep int) string {
	if other, ok := p.whole[said]; ok {
		return other
	}
	if deep == 0 {
		return said
	}
	for _, f := range p.forms {
		if values := f.english.FindStringSubmatch(said); values != nil {
			return place.ReplaceAllStringFunc(f.other, func(at string) string {
				n, err := strconv.Atoi(at[1 : len(at)-1])
				if err != nil || n < 1 || n >= len(values) {
					return at
				}
				return p.say(values[n], deep-1)
			})
		}
	}
	return said
}

// joined looks up what semicolons join: of what stands next the longest that is known.
func (p Phrases) joined(said string, deep int) string {
	parts := strings.Split(said, "; ")
	if len(parts) == 1 {
		return said
	}
	var all []string
	for i := 0; i < len(parts); {
		n, text := 1, parts[i]
		for j := min(len(parts), i+maxJoined); j > i; j-- {
			if one := strings.Join(parts[i:j], "; "); j-i < len(parts) {
				if other := p.one(one, deep-1); other != one {
					n, text = j-i, other
					break
				}
			}
		}
		all, i = append(all, text), i+n
	}
	return strings.Join(all, "; ")
}
