package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is the largest node file read, in bytes.
const maxFile = 64 << 10

// Overrides come after the file: environment first, then flags.
type Overrides struct {
	Env  func(string) (string, bool) // os.LookupEnv; nil: none
	Set  map[string]string           // by dotted key, as given by flags; lists are separated by commas
	Host string                      // this machine's name, taken as Name if nothing else gives one
}

// Load reads the file at path ("" for none) and applies o. The error holds every mistake
// there is, one line each.
func Load(path string, o Overrides) (Config, error) {
	var text []byte
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return Config{}, fmt.Errorf("config %s: %w", path, cause(err))
		}
		defer f.Close()
		text = make([]byte, maxFile+1)
		n, err := readFull(f, text)
		if err != nil {
			return Config{}, fmt.Errorf("config %s: %w", path, err)
		}
		if n > maxFile {
			return Config{}, fmt.Errorf("config %s: larger than 64 KiB; is this the right file?", path)
		}
		text = text[:n]
	}
	return Parse(path, text, o)
}

// Parse is Load for the text of a file.
func Parse(path string, text []byte, o Overrides) (Config, error) {
	values, mistakes := parse(path, text)
	for _, s := range settings {
		if v, ok := lookup(o.Env, s.env); ok {
			values[s.key] = override(s, v, s.env, &mistakes)
		}
	}
	for key, v := range o.Set {
		s, ok := find(key)
		if !ok {
			mistakes = append(mistakes, fmt.Errorf("flag for %q: there is no such setting", key))
			continue
		}
		values[key] = override(s, v, "flag for "+key, &mistakes)
	}
	c := Config{Path: path, Name: o.Host, DataDir: DefaultDataDir, Log: Log{Format: "text"}}
	for _, s := range settings {
		if v := values[s.key]; len(v) > 0 {
			s.put(&c, v)
		}
	}
	if err := errors.Join(append(mistakes, c.check()...)...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// lookup treats an empty variable as absent.
func lookup(env func(string) (string, bool), name string) (string, bool) {
	if env == nil {
		return "", false
	}
	v, ok := env(name)
	return v, ok && v != ""
}

// override checks a value given outside the file. A relative data folder is made
// absolute: a person or a script types it, standing somewhere.
func override(s setting, v, from string, mistakes *[]error) []string {
	list := []string{v}
	if s.list {
		list = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
	}
	for i := range list {
		if s.key == "data_dir" {
			if abs, err := filepath.Abs(list[i]); err == nil {
				list[i] = abs
			}
		}
		if err := s.check(list[i]); err != nil {
			*mistakes = append(*mistakes, fmt.Errorf("%s: %s %q: %w", from, s.key, list[i], err))
		}
	}
	return list
}

// check looks at what no single value shows.
func (c Config) check() (mistakes []error) {
	where := c.Path
	if where == "" {
		where = "settings"
	}
	if err := checkName(c.Name); err != nil {
		mistakes = append(mistakes, fmt.Errorf("%s: name %q (this machine's, as none is set): %w", where, c.Name, err))
	}
	for _, p := range []struct {
		part string
		Pair
		listens bool
	}{{"", Pair{c.TLS.CertFile, c.TLS.KeyFile}, true}, {"console", c.TLS.Console, c.Listen.Console != ""}, {"portal", c.TLS.Portal, c.Listen.Portal != ""}} {
		name := "tls." + strings.TrimPrefix(p.part+"_", "_")
		if (p.CertFile == "") != (p.KeyFile == "") {
			mistakes = append(mistakes, fmt.Errorf("%s: %scert_file and %[2]skey_file go together; set both or neither", where, name))
		}
		if p.CertFile != "" && !p.listens {
			mistakes = append(mistakes, fmt.Errorf("%s: %scert_file is for listen.%s, which is not set", where, name, p.part))
		}
	}
	for _, l := range [][]struct{ key, addr string }{c.tcp(), c.udp()} {
		seen := map[string]string{}
		for _, a := range l {
			if other, ok := seen[a.addr]; ok && a.addr != "" && !strings.HasSuffix(a.addr, ":0") {
				mistakes = append(mistakes, fmt.Errorf("%s: %s and %s are both %s; each needs a port of its own", where, other, a.key, a.addr))
			}
			seen[a.addr] = a.key
		}
	}
	return mistakes
}

func (c Config) tcp() (l []struct{ key, addr string }) {
	type pair = struct{ key, addr string }
	l = append(l, pair{"listen.peer", c.Listen.Peer}, pair{"listen.https", c.Listen.HTTPS}, pair{"listen.console", c.Listen.Console}, pair{"listen.portal", c.Listen.Portal},
		pair{"listen.coordinator", c.Listen.Coordinator}, pair{"listen.metrics", c.Listen.Metrics})
	for _, a := range c.Listen.LDAP {
		l = append(l, pair{"listen.ldap", a})
	}
	return l
}

func (c Config) udp() (l []struct{ key, addr string }) {
	type pair = struct{ key, addr string }
	for _, a := range c.Listen.RADIUS {
		l = append(l, pair{"listen.radius", a})
	}
	for _, a := range c.Listen.Accounting {
		l = append(l, pair{"listen.radius_accounting", a})
	}
	return l
}
