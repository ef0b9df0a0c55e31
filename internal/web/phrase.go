package web

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/mfa"
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
	longest string // of its fixed parts: what lacks it does not fit
	other   string
}

// place is where something is put into a sentence.
var place = regexp.MustCompile(`\{(\d)\}`)

// LoadPhrases reads said/LANGUAGE.txt, and said/LANGUAGE-*.txt after it: a sentence, and indented
// below it what it is in that language. Of a language without such a file the phrases are English.
func LoadPhrases(language string) (Phrases, error) {
	p := Phrases{whole: map[string]string{}}
	more, err := fs.Glob(saidFiles, "said/"+language+"-*.txt")
	if err != nil {
		return p, err
	}
	for _, name := range append([]string{"said/" + language + ".txt"}, more...) {
		if err := p.load(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return p, nil
}

// LoadPrompts reads what users are asked for, and nothing else, by language: for what is told by other ways
// than a page.
func LoadPrompts() (map[string]Phrases, error) {
	all := map[string]Phrases{}
	for _, l := range mfa.Languages {
		p := Phrases{whole: map[string]string{}}
		if err := p.load("said/" + l.ID + "-prompt.txt"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all[l.ID] = p
	}
	return all, nil
}

func (p *Phrases) load(name string) error {
	f, err := saidFiles.Open(name)
	if err != nil {
		return err
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
			return fmt.Errorf("phrases %s, line %d: want a sentence, and indented below it what is said instead", name, n)
		}
		if err := p.add(english, strings.TrimSpace(text)); err != nil {
			return fmt.Errorf("phrases %s, line %d: %w", name, n, err)
		}
		english = ""
	}
	return lines.Err()
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
	longest := slices.MaxFunc(parts, func(a, b string) int { return len(a) - len(b) })
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	form, err := regexp.Compile(`(?s)\A` + strings.Join(parts, "(.+?)") + `\z`)
	p.forms = append(p.forms, phraseForm{form, longest, other})
	return err
}

// maxDeep is how many sentences are looked up within each other.
const maxDeep = 4

// maxJoined is of how many parts a sentence with semicolons or colons in it may be.
const maxJoined = 4

// maxPhrase bounds what is looked up, in bytes: a page is shown though a sentence is endless.
const maxPhrase = 2048

// Say returns a sentence in the language of the phrases, as far as it is known; of several
// that a semicolon joins, and of what an error is put together from by colons, each for itself.
func (p Phrases) Say(said string) string {
	if len(said) > maxPhrase || len(p.whole) == 0 {
		return said
	}
	text, _ := (&saying{p, maxLooks}).best(said, maxDeep)
	return text
}

// maxLooks bounds how often a sentence and its parts are looked up: one that somebody made up of
// what fits everywhere costs no more than some milliseconds, and stays as it is from there on.
const maxLooks = 2000

// saying is one sentence that is being looked up.
type saying struct {
	Phrases
	left int // of maxLooks
}

// best returns what is said instead of a sentence, and of how many of its bytes that is known:
// as one, or of what semicolons or colons join ("setting: what it means") each for itself.
func (p *saying) best(said string, deep int) (string, int) {
	other, known := p.one(said, deep)
	if deep == 0 || known == len(said) {
		return other, known
	}
	for _, separator := range []string{": ", "; "} {
		if text, n := p.parts(said, separator, deep); n > 0 && n >= known {
			other, known = text, n
		}
	}
	return other, known
}

// one looks up one sentence, and what is put into it: of the forms that fit, that of which most is
// known, the first of equals. known is 0 if none fits.
func (p *saying) one(said string, deep int) (other string, known int) {
	if other, ok := p.whole[said]; ok {
		return other, len(said)
	}
	other = said
	if p.left--; deep == 0 || p.left < 0 {
		return other, 0
	}
	for _, f := range p.forms {
		if !strings.Contains(said, f.longest) {
			continue
		}
		found := f.english.FindStringSubmatch(said)
		if found == nil {
			continue
		}
		n, values := len(said), found[1:]
		for i, v := range values {
			text, some := p.best(v, deep-1)
			n, values[i] = n-len(v)+some, text
		}
		if n > known {
			other, known = f.filled(values), n
		}
	}
	return other, known
}

// filled puts values into what is said instead.
func (f phraseForm) filled(values []string) string {
	return place.ReplaceAllStringFunc(f.other, func(at string) string {
		n, err := strconv.Atoi(at[1 : len(at)-1])
		if err != nil || n < 1 || n > len(values) {
			return at
		}
		return values[n-1]
	})
}

// parts looks up what a separator joins: of what stands next as much as is known better as one.
func (p *saying) parts(said, separator string, deep int) (other string, known int) {
	parts := strings.Split(said, separator)
	if len(parts) == 1 {
		return said, 0
	}
	var all []string
	for i := 0; i < len(parts); {
		n := 1
		text, some := p.best(parts[i], deep-1)
		for sum, j := some, i+2; j <= min(len(parts), i+maxJoined) && j-i < len(parts); j++ {
			_, more := p.best(parts[j-1], deep-1)
			sum += more
			if one, k := p.one(strings.Join(parts[i:j], separator), deep-1); k > sum {
				n, text, some = j-i, one, k
			}
		}
		known += some
		all, i = append(all, text), i+n
	}
	return strings.Join(all, separator), known
}
