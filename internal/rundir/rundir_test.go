package rundir

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// deep is a folder whose path no socket's address could hold.
func deep(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSocketAtALongPath(t *testing.T) {
	dir := deep(t)
	file, err := Listen(dir, "ctl")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(dir, "ctl")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if info, err := os.Lstat(filepath.Join(dir, "ctl")); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	listener.Close()
	if _, err := Dial(dir, "ctl"); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a listener: %v", err)
	}
	if _, err := Listen(dir, "ctl/x"); err == nil {
		t.Error("a name below a socket is taken")
	}
	if _, err := Dial(filepath.Join(dir, "none"), "ctl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestJSON(t *testing.T) {
	dir := t.TempDir()
	if err := WriteJSON(dir, "a.json", 7); err != nil {
		t.Fatal(err)
	}
	var got int
	if err := ReadJSON(dir, "a.json", &got); err != nil || got != 7 {
		t.Errorf("read %d, %v", got, err)
	}
	if err := ReadJSON(dir, "b.json", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ReadJSON(dir, "a.json", &got); err == nil || !strings.Contains(err.Error(), "a.json") {
		t.Errorf("of a broken file: %v", err)
	}
}

func TestBound(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stop := Bound(ctx, a)
	cancel()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the end: %v", err)
	}
	stop()
	go func() { _, _ = b.Write([]byte("x")) }()
	if _, err := a.Read(make([]byte, 1)); err != nil {
		t.Errorf("after stop: %v", err)
	}
}
