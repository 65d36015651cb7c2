package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"virtumld/internal/filelock"
)

func TestLock(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second filelock.Kind
		clash         bool
	}{
		{"two readers", filelock.Shared, filelock.Shared, false},
		{"writer after reader", filelock.Shared, filelock.Exclusive, true},
		{"reader after writer", filelock.Exclusive, filelock.Shared, true},
		{"two writers", filelock.Exclusive, filelock.Exclusive, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			first, second := open(t, path), open(t, path)
			if err := filelock.Lock(first, test.first); err != nil {
				t.Fatal(err)
			}
			if err := filelock.Lock(second, test.second); errors.Is(err, filelock.ErrHeld) != test.clash || err != nil && !test.clash {
				t.Errorf("the second lock: %v, want a clash: %v", err, test.clash)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			if err := filelock.Lock(second, test.second); err != nil {
				t.Errorf("after the first was closed: %v", err)
			}
		})
	}
}

// A lock that cannot be is told apart from one that somebody holds.
func TestLockRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := filelock.Lock(f, filelock.Exclusive); err == nil || errors.Is(err, filelock.ErrHeld) {
		t.Errorf("exclusive lock of a file open for reading: %v", err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
