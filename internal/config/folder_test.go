package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrepareDataDir(t *testing.T) {
	mode := func(t *testing.T, dir string) os.FileMode {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	t.Run("made with its parents", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		if err := (Config{DataDir: dir}).PrepareDataDir(); err != nil || mode(t, dir) != 0o700 {
			t.Errorf("%v, mode %o", err, mode(t, dir))
		}
	})
	t.Run("empty and open to others: closed", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "d")
		os.Mkdir(dir, 0o755)
		if err := (Config{DataDir: dir}).PrepareDataDir(); err != nil || mode(t, dir) != 0o700 {
			t.Errorf("%v, mode %o", err, mode(t, dir))
		}
	})
	t.Run("used and open to others: refused, untouched", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "d")
		os.MkdirAll(filepath.Join(dir, "x"), 0o755)
		err := (Config{DataDir: dir}).PrepareDataDir()
		if err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) || mode(t, dir) != 0o755 {
			t.Errorf("%v, mode %o", err, mode(t, dir))
		}
	})
	t.Run("a file", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "d")
		os.WriteFile(dir, nil, 0o600)
		for _, d := range []string{dir, filepath.Join(dir, "under")} {
			err := (Config{DataDir: d}).PrepareDataDir()
			if err == nil || !strings.HasPrefix(err.Error(), "data_dir "+d+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("a file system that refuses", func(t *testing.T) {
		// Even root cannot write there.
		err := (Config{DataDir: "/proc/self/task"}).PrepareDataDir()
		if err == nil || !strings.Contains(err.Error(), "cannot write to it") {
			t.Errorf("%v", err)
		}
	})
}
