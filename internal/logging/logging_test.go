package logging

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/secret"
)

func TestFormats(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			var buf bytes.Buffer
			l, err := New(Options{Format: format, Stderr: &buf, Levels: NewLevels(slog.LevelInfo, nil, time.Now)})
			if err != nil {
				t.Fatal(err)
			}
			log := l.Logger("radius")
			log.Debug("not this")
			log.With("a", 1).WithGroup("g").Warn("this", "b", 2)
			got := buf.String()
			if strings.Contains(got, "not this") || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q", got)
			}
			if format == "json" {
				var line map[string]any
				if err := json.Unmarshal(buf.Bytes(), &line); err != nil || line["component"] != "radius" || line["level"] != "WARN" {
					t.Errorf("got %v, %v", line, err)
				}
			} else if !strings.Contains(got, "level=WARN msg=this component=radius a=1 g.b=2") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What comes after the end is not written: the last line is the error that the program ends with.
func TestNothingAfterClose(t *testing.T) {
	for _, file := range []string{"", filepath.Join(t.TempDir(), "log")} {
		var buf bytes.Buffer
		l, err := New(Options{File: file, Stderr: &buf, Levels: NewLevels(slog.LevelInfo, nil, time.Now)})
		if err != nil {
			t.Fatal(err)
		}
		log := l.Logger("peer")
		log.Info("first")
		for range 2 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			log.Info("late")
		}
		got := buf.String()
		if file != "" {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got += string(b)
		}
		if !strings.Contains(got, "first") || strings.Contains(got, "late") {
			t.Errorf("file %q: got %q", file, got)
		}
	}
}

// Whatever way a secret gets into a line, it is not in it.
func TestRedaction(t *testing.T) {
	s := secret.FromString("hunter2")
	u, _ := url.Parse("ldaps://svc:hunter2@dc1.example.net/")
	type holder struct {
		Name   string
		Secret secret.Text
	}
	for _, format := range []string{"text", "json"} {
		var buf bytes.Buffer
		l, err := New(Options{Format: format, Stderr: &buf, Levels: NewLevels(slog.LevelDebug, nil, time.Now)})
		if err != nil {
			t.Fatal(err)
		}
		l.Logger("x").With("w", s).Info("m", "s", s, "p", &s, "h", holder{"n", s}, "hp", &holder{"n", s}, "l", []secret.Text{s},
			"u", u, "uv", *u, slog.Group("g", "s", s, "u", u))
		if got := buf.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "dc1.example.net") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// A level set for a while goes back by itself, on the clock.
func TestLevelGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		levels := NewLevels(slog.LevelWarn, map[string]slog.Level{"store": slog.LevelError}, time.Now)
		l, err := New(Options{Stderr: &buf, Levels: levels})
		if err != nil {
			t.Fatal(err)
		}
		radius, store := l.Logger("radius"), l.Logger("store")
		want := func(when string, r, s slog.Level) {
			t.Helper()
			if gr, gs := levels.Of("radius"), levels.Of("store"); gr != r || gs != s {
				t.Errorf("%s: radius %v, store %v; want %v, %v", when, gr, gs, r, s)
			}
		}
		set := func(component string, level slog.Level, d time.Duration) {
			t.Helper()
			if err := levels.Set(component, level, d); err != nil {
				t.Fatal(err)
			}
		}
		want("configured", slog.LevelWarn, slog.LevelError)

		set("radius", slog.LevelDebug, 15*time.Minute)
		want("set", slog.LevelDebug, slog.LevelError)
		time.Sleep(15*time.Minute - time.Nanosecond)
		radius.Debug("still")
		time.Sleep(time.Nanosecond)
		want("after 15 minutes", slog.LevelWarn, slog.LevelError)
		radius.Debug("no more")
		if got := buf.String(); !strings.Contains(got, "still") || strings.Contains(got, "no more") {
			t.Errorf("got %q", got)
		}

		set("store", slog.LevelDebug, 0)
		time.Sleep(1000 * time.Hour)
		want("for good", slog.LevelWarn, slog.LevelDebug)
		set("", slog.LevelInfo, time.Minute)
		want("all", slog.LevelInfo, slog.LevelInfo)
		set("radius", slog.LevelError, time.Second)
		want("one among all", slog.LevelError, slog.LevelInfo)
		time.Sleep(time.Second)
		want("the one is over", slog.LevelInfo, slog.LevelInfo)
		time.Sleep(time.Minute)
		want("all is over", slog.LevelWarn, slog.LevelError)
		store.Error("x")
	})
}

func TestUnknownComponent(t *testing.T) {
	levels := NewLevels(slog.LevelInfo, nil, time.Now)
	l, _ := New(Options{Stderr: &bytes.Buffer{}, Levels: levels})
	l.Logger("radius")
	l.Logger("authn")
	err := levels.Set("radus", slog.LevelDebug, 0)
	if err == nil || !strings.Contains(err.Error(), "known are authn, radius") {
		t.Errorf("got %v", err)
	}
}

// Every part of the program that has a logger is one whose level can be configured.
func TestComponents(t *testing.T) {
	named := regexp.MustCompile(`\bLogger\("([a-z]+)"\)`)
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range named.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if all := slices.Sorted(maps.Keys(found)); err != nil || !slices.Equal(all, Components) {
		t.Errorf("the sources have loggers for %q, Components is %q (%v)", all, Components, err)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.log")
	levels := NewLevels(slog.LevelInfo, nil, time.Now)
	l, err := New(Options{File: file, Levels: levels})
	if err != nil {
		t.Fatal(err)
	}
	l.Logger("x").Info("hello")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || !strings.Contains(string(got), "hello") || info.Mode().Perm() != 0o600 {
		t.Errorf("got %q, %v, mode %v", got, err, info.Mode())
	}
	if _, err := New(Options{File: filepath.Join(dir, "none", "c.log"), Levels: levels}); err == nil || !strings.Contains(err.Error(), "log.file") {
		t.Errorf("missing folder: %v", err)
	}
}

func BenchmarkDisabled(b *testing.B) {
	l, _ := New(Options{Stderr: &bytes.Buffer{}, Levels: NewLevels(slog.LevelInfo, nil, time.Now)})
	log := l.Logger("radius")
	b.ReportAllocs()
	for b.Loop() {
		log.Debug("not this")
	}
}
