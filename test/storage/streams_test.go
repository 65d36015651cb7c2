package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// noise is data that is neither zeros nor the same everywhere.
func noise(size int) string {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	return string(data)
}

// What is uploaded is what is downloaded, whole and in part, across packets.
func TestUploadAndDownload(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		path := filepath.Join(pool(d, "p"), "v")
		const size = 3<<20 + 4711
		want := noise(size)
		d.OK("vol-create-as", "p", "v", fmt.Sprint(size, "b"))
		d.OK("vol-upload", path, d.File("up", want))
		if read(t, path) != want {
			t.Error("the volume differs from what was uploaded")
		}
		down := d.File("down", "")
		d.OK("vol-download", path, down)
		if read(t, down) != want {
			t.Error("what was downloaded differs")
		}
		d.OK("vol-download", path, down, "--offset", "1000000", "--length", "1000000")
		if read(t, down) != want[1000000:2000000] {
			t.Error("the part that was downloaded differs")
		}
		d.OK("vol-upload", path, d.File("part", "-*-"), "--offset", "262119", "--length", "3")
		if got := read(t, path); got != want[:262119]+"-*-"+want[262122:] {
			t.Error("the part that was uploaded is not there")
		}
		d.Refused("cannot write to stream: no space left on device", "vol-upload", path, d.File("long", "12345"), "--length", "3")
		d.OK("vol-upload", path, d.File("up", want))
		if read(t, path) != want {
			t.Error("the volume differs from what was uploaded last")
		}
	})
}

// Holes stay holes, in both directions.
func TestSparseStreams(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		path := filepath.Join(pool(d, "p"), "v")
		const size, hole = 64 << 20, 16 << 20
		up := d.File("up", "")
		data := []byte(noise(300000))
		file, err := os.OpenFile(up, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := file.Truncate(size); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{hole, 3 * hole} {
			if _, err := file.WriteAt(data, at); err != nil {
				t.Fatal(err)
			}
		}
		d.OK("vol-create-as", "p", "v", "64M", "--allocation", "0")
		d.OK("vol-upload", path, up, "--sparse")
		down := d.File("down", "")
		d.OK("vol-download", path, down, "--sparse")
		plain := d.File("plain", "")
		d.OK("vol-download", path, plain)
		want := []byte(read(t, up))
		for _, file := range []string{path, down, plain} {
			if !bytes.Equal([]byte(read(t, file)), want) {
				t.Errorf("%s differs", file)
			}
			if got := allocated(t, file); file != plain && got > 2<<20 {
				t.Errorf("%s takes %d bytes", file, got)
			}
		}
	})
}

// A client that goes away in the middle of an upload leaves a volume that can
// be used.
func TestUploadOfAClientThatVanishes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		path := filepath.Join(pool(d, "p"), "v")
		d.OK("vol-create-as", "p", "v", "1M")
		refreshed := d.PoolEvents("refresh")
		data := newPipe(t, d)
		virsh := d.Terminal("virsh", "--connect", d.URI, "vol-upload", path, data.Name())
		// More than the pipe and a packet hold: virsh is in the middle.
		if _, err := data.WriteString(noise(600 << 10)); err != nil {
			t.Fatal(err)
		}
		d.Refused("volume 'v' is still in use", "vol-delete", path)
		virsh.Kill()
		refreshed.AwaitPool("event 'refresh' for storage pool p")
		d.OK("vol-upload", path, d.File("up", "all of it"))
		if got := read(t, path)[:9]; got != "all of it" {
			t.Errorf("the volume begins with %q", got)
		}
	})
}

// newPipe makes a named pipe that a client of the daemon's can read.
func newPipe(t *testing.T, d *testkit.Daemon) *os.File {
	t.Helper()
	path := filepath.Join(d.Dir, "pipe")
	if err := errors.Join(unix.Mkfifo(path, 0o600), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() })
	if err := pipe.SetWriteDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatal(err)
	}
	return pipe
}

// Read-only clients see volumes and cannot move them.
func TestReadOnlyClients(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	path := filepath.Join(pool(d, "p"), "v")
	d.OK("vol-create-as", "p", "v", "1M")
	d.OK("--readonly", "vol-info", path)
	for _, command := range [][]string{
		{"vol-download", path, d.File("down", "")}, {"vol-upload", path, d.File("up", "")}, {"vol-delete", path}, {"pool-destroy", "p"},
	} {
		d.Refused("read only access", append([]string{"--readonly"}, command...)...)
	}
}
