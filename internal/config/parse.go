package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"countersign/internal/nearest"
)

// reader collects the values of a file and its mistakes.
type reader struct {
	path     string
	values   map[string][]string
	mistakes []error
}

// parse reads the text of a node file into values by dotted key.
func parse(path string, text []byte) (map[string][]string, []error) {
	r := reader{path: path, values: map[string][]string{}}
	if path == "" {
		r.path = "config"
	}
	doc, err := document(text)
	if err != nil {
		r.syntax(err)
		return r.values, r.mistakes
	}
	if doc.Kind == 0 {
		return r.values, nil // empty, or comments only
	}
	top := doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		top = doc.Content[0]
	}
	switch {
	case top.Kind == yaml.MappingNode:
		r.section("", top)
	case null(top):
	default:
		r.wrong(top, "the file must be a list of key: value lines; allowed keys: %s", strings.Join(children(""), ", "))
	}
	return r.values, r.mistakes
}

// document reads the one document of the text.
func document(text []byte) (*yaml.Node, error) {
	l, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var doc, second yaml.Node
	if err := l.Load(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch err := l.Load(&second); {
	case errors.Is(err, io.EOF):
		return &doc, nil
	case err != nil:
		return nil, err
	}
	return nil, fmt.Errorf("more than one document in the file; a second one begins in line %d", second.Line)
}

// wrong notes a mistake at a node.
func (r *reader) wrong(n *yaml.Node, format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Errorf("%s:%d: %s", r.path, n.Line, fmt.Sprintf(format, args...)))
}

// syntax notes what the YAML parser found. It stops at the first mistake of that sort.
func (r *reader) syntax(err error) {
	line, what := 0, err.Error()
	if many := (*yaml.LoadErrors)(nil); errors.As(err, &many) && len(many.Errors) > 0 {
		err = many.Errors[0]
	}
	if one := (*yaml.LoadError)(nil); errors.As(err, &one) {
		line, what = one.Mark.Line, strings.TrimPrefix(one.Message, "yaml: ")
		if one.ContextMsg != "" {
			what = one.ContextMsg + ": " + what
		}
	}
	what = strings.Join(strings.Fields(what), " ")
	if line == 0 {
		r.mistakes = append(r.mistakes, fmt.Errorf("%s: not YAML: %s", r.path, what))
		return
	}
	r.mistakes = append(r.mistakes, fmt.Errorf("%s:%d: not YAML: %s", r.path, line, what))
}

// section reads the keys of a mapping under a dotted prefix.
func (r *reader) section(prefix string, n *yaml.Node) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := k.Value
		if prefix != "" {
			key = prefix + "." + k.Value
		}
		allowed := children(prefix)
		s, isSetting := find(key)
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag != "!!str" || strings.Contains(k.Value, "."):
			r.wrong(k, "not a key; allowed here: %s", strings.Join(allowed, ", "))
		case first[key] != 0:
			r.wrong(k, "%s is set twice, first in line %d", key, first[key])
		case isSetting:
			r.setting(s, v)
		case len(children(key)) == 0:
			r.unknown(k, key, allowed)
		case v.Kind == yaml.MappingNode:
			r.section(key, v)
		case !null(v):
			r.wrong(v, "%s must hold keys; allowed here: %s", key, strings.Join(children(key), ", "))
		}
		first[key] = k.Line
	}
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// unknown names the nearest known key, here or elsewhere.
func (r *reader) unknown(k *yaml.Node, key string, allowed []string) {
	var full []string
	for _, s := range settings {
		full = append(full, s.key)
	}
	guess := nearest.To(k.Value, allowed)
	for _, f := range full {
		if strings.HasSuffix(f, "."+k.Value) {
			guess = f
			break
		}
	}
	if guess == "" {
		guess = nearest.To(key, full)
	}
	hint := ""
	if guess != "" {
		hint = fmt.Sprintf("; did you mean %q?", guess)
	}
	r.wrong(k, "unknown key %q%s (allowed here: %s)", printable(key), hint, strings.Join(allowed, ", "))
}

// setting reads the value or values of one setting. An empty value leaves it unset.
func (r *reader) setting(s setting, v *yaml.Node) {
	switch {
	case null(v):
	case v.Kind == yaml.AliasNode:
		r.wrong(v, "%s: YAML aliases (*name) are not used in this file; write the value out", s.key)
	case s.key == "log.components" && v.Kind == yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(v.Content); i += 2 {
			name, level := v.Content[i], v.Content[i+1]
			if seen[name.Value] != 0 {
				r.wrong(name, "%s.%s is set twice, first in line %d", s.key, printable(name.Value), seen[name.Value])
				continue
			}
			seen[name.Value] = name.Line
			r.value(s, level, name.Value+"="+level.Value)
		}
	case s.key == "log.components":
		r.wrong(v, "%s must be component: level, for example radius: debug", s.key)
	case v.Kind == yaml.SequenceNode && s.list:
		for _, item := range v.Content {
			r.value(s, item, item.Value)
		}
	case v.Kind == yaml.ScalarNode:
		if v.Value != "" {
			r.value(s, v, v.Value)
		}
	case s.list:
		r.wrong(v, "%s must be a value or a list of values in [ ]", s.key)
	default:
		r.wrong(v, "%s must be one value", s.key)
	}
}

// value checks and keeps one value.
func (r *reader) value(s setting, n *yaml.Node, v string) {
	if n.Kind != yaml.ScalarNode {
		r.wrong(n, "%s: must be one plain value", s.key)
		return
	}
	if err := s.check(v); err != nil {
		r.wrong(n, "%s %q: %v", s.key, printable(v), err)
		return
	}
	r.values[s.key] = append(r.values[s.key], v)
}

var unprintable = regexp.MustCompile(`[^[:print:]]`)

// printable cuts what is echoed to what fits on a line.
func printable(s string) string {
	s = unprintable.ReplaceAllString(s, "?")
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// readFull reads until b is full or the file ends.
func readFull(f *os.File, b []byte) (int, error) {
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
