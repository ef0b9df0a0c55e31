package voice

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"countersign/internal/nearest"
)

//go:embed audio text
var files embed.FS

// The prompts: what is said in calls.
const (
	Greeting    = "greeting"    // first of all
	Application = "application" // before the application's name
	PressKey    = "press"       // asks for #
	TypeNumber  = "number"      // asks for the digits on the sign-in page
	TypePIN     = "pin"         // asks for PIN and #
	FraudHint   = "fraud"       // how to say that it was not they
	TryAgain    = "again"       // after something wrong
	SaidRight   = "right"       // at the end
	SaidWrong   = "wrong"
	SaidFraud   = "reported"
	Proof       = "proof"  // when a number is added: before a code, digit by digit
	Repeat      = "repeat" // before the same code once more
	Test        = "test"   // an administrator tries a gateway
	Tested      = "tested"
)

// Fallback is the language of prompts that are not there in another.
const Fallback = "en"

// spelled is the prefix of the clips that spell a name, and the longest name that is.
const (
	spelled     = "spell_"
	mostSpelled = 12
)

// Texts returns the prompts of a language by name, as they are read out; nil: none are built in.
func Texts(language string) map[string]string {
	b, err := files.ReadFile(path.Join("text", path.Base(language)+".txt"))
	if err != nil {
		return nil
	}
	texts := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), " = "); ok && !strings.HasPrefix(line, "#") {
			texts[name] = text
		}
	}
	return texts
}

// Languages returns those that are built in.
func Languages() []string {
	entries, err := files.ReadDir("text")
	if err != nil {
		panic("voice: " + err.Error()) // it is in the program
	}
	var list []string
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), ".txt"))
	}
	return list
}

// Names returns the prompts' names.
func Names() []string {
	var names []string
	for n := range Texts(Fallback) {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Recordings finds an administrator's own recording; ok is false if there is none.
type Recordings func(name string) (s Sound, ok bool)

// Prompt returns what is said: the administrator's own recording in the language, else the
// built-in one, else both of those of Fallback. An unknown name is silence.
func Prompt(own Recordings, name, language string) Sound {
	for _, l := range []string{language, Fallback} {
		if own != nil {
			if s, ok := own(name + "." + l); ok {
				return s
			}
		}
		if s := builtIn(name, l); s != nil {
			return s
		}
	}
	return nil
}

func builtIn(name, language string) Sound {
	b, err := files.ReadFile(path.Join("audio", path.Base(language), path.Base(name)+".ulaw"))
	if err != nil {
		return nil
	}
	return b
}

// NameOf returns what an application is called: the administrator's recording, or, letter by
// letter, a name that is short enough for that. It is nil for one of neither.
func NameOf(own Recordings, application, language string) Sound {
	if own != nil {
		for _, l := range []string{language, Fallback} {
			if s, ok := own(ApplicationRecording + strings.ToLower(application) + "." + l); ok {
				return s
			}
		}
	}
	if len(application) > mostSpelled {
		return nil
	}
	var s Sound
	for _, c := range strings.ToLower(application) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			s = append(s, Prompt(nil, spelled+string(c), language)...)
		default:
			s = append(s, Pause(150)...)
		}
	}
	return s
}

// Spell says digits, one by one.
func Spell(own Recordings, digits, language string) Sound {
	var s Sound
	for _, c := range digits {
		s = append(append(s, Prompt(own, spelled+string(c), language)...), Pause(350)...)
	}
	return s
}

// ApplicationRecording is the prefix of the recordings of applications' names.
const ApplicationRecording = "application-"

// CutName returns prompt and language of a recording's name.
func CutName(name string) (prompt, language string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// CheckRecording reports what is wrong with the name of a recording: PROMPT.LANGUAGE or
// application-NAME.LANGUAGE.
func CheckRecording(name string) error {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || len(name)-i != 3 || strings.ToLower(name) != name || len(name) > 100 {
		return fmt.Errorf("recording %q: want PROMPT.LANGUAGE or application-NAME.LANGUAGE in small letters, as in press.de", name)
	}
	prompt := name[:i]
	if rest, ok := strings.CutPrefix(prompt, ApplicationRecording); ok && rest != "" {
		return nil
	}
	if slices.Contains(Names(), prompt) {
		return nil
	}
	if guess := nearest.To(prompt, Names()); guess != "" {
		return fmt.Errorf("no prompt is called %q; did you mean %q?", prompt, guess)
	}
	return fmt.Errorf("no prompt is called %q; there are %s", prompt, strings.Join(Names(), ", "))
}
