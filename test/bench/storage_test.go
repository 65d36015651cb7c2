package bench

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// contentSize is the size of the file that is sent and fetched, in bytes.
const contentSize = 256 << 20

// poolSide is a daemon with a started pool "bench" that stock virsh talks to.
type poolSide struct {
	uri, folder string
}

// virsh runs stock virsh, which must succeed.
func (s poolSide) virsh(b *testing.B, args ...string) {
	b.Helper()
	cmd := exec.Command("virsh", append([]string{"--quiet", "--connect", s.uri}, args...)...)
	cmd.Env = append(os.Environ(), "LIBVIRT_AUTOSTART=0", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("virsh %v: %v\n%s", args, err, out)
	}
}

// startPool makes the pool "bench" in folder.
func startPool(b *testing.B, uri, folder string) poolSide {
	b.Helper()
	s := poolSide{uri: uri, folder: folder}
	s.virsh(b, "pool-create-as", "bench", "dir", "--target", folder)
	return s
}

// ourPool is a pool of virtumld's, theirPool one of a libvirtd's, in folders on
// the same disk.
func ourPool(b *testing.B, d *testkit.Daemon) poolSide {
	b.Helper()
	folder := filepath.Join(d.Dir, "pool")
	must(b, os.Mkdir(folder, 0o755))
	instance := "session"
	if os.Geteuid() == 0 {
		instance = "system"
	}
	return startPool(b, fmt.Sprintf("uml+unix:///%s?socket=%s", instance, d.Socket), folder)
}

func theirPool(b *testing.B) poolSide {
	b.Helper()
	socket := startLibvirtd(b)
	folder := filepath.Join(filepath.Dir(filepath.Dir(socket)), "pool")
	must(b, os.Mkdir(folder, 0o755))
	if os.Geteuid() == 0 {
		must(b, os.Chown(folder, nobody, nobody))
	}
	return startPool(b, "storage+unix:///session?socket="+socket, folder)
}

// BenchmarkUpload compares "virsh vol-upload" of the same file.
func BenchmarkUpload(b *testing.B) {
	transfer(b, func(s poolSide, file string) {
		s.virsh(b, "vol-upload", "--pool", "bench", "--vol", "v", "--file", file)
	})
}

// BenchmarkDownload compares "virsh vol-download" of the same content.
func BenchmarkDownload(b *testing.B) {
	transfer(b, func(s poolSide, file string) {
		s.virsh(b, "vol-download", "--pool", "bench", "--vol", "v", "--file", file+".down")
	})
}

func transfer(b *testing.B, work func(s poolSide, file string)) {
	ours, theirs := ourPool(b, start(b)), theirPool(b)
	file := filepath.Join(b.TempDir(), "content")
	f, err := os.Create(file)
	must(b, err)
	_, err = io.CopyN(f, rand.Reader, contentSize)
	must(b, err)
	must(b, f.Close())
	for _, s := range []poolSide{ours, theirs} {
		s.virsh(b, "vol-create-as", "bench", "v", fmt.Sprint(contentSize))
		s.virsh(b, "vol-upload", "--pool", "bench", "--vol", "v", "--file", file)
	}
	var c comparison
	for b.Loop() {
		c.run(func() { work(ours, file) }, func() { work(theirs, file) })
	}
	c.report(b, 1, "libvirtd")
}

// BenchmarkClone is a COW volume over a sparse volume of 10 GiB, made by
// "virsh vol-create-as": beside it what virsh needs to do nothing.
func BenchmarkClone(b *testing.B) {
	s := ourPool(b, start(b))
	s.virsh(b, "vol-create-as", "bench", "base", "10GiB", "--allocation", "0")
	var clone, virsh samples
	var blocks int64
	for b.Loop() {
		virsh.take(func() { s.virsh(b, "pool-info", "bench") })
		clone.take(func() {
			s.virsh(b, "vol-create-as", "bench", "clone", "10GiB", "--format", "cow",
				"--backing-vol", "base", "--backing-vol-format", "raw")
		})
		var stat unix.Stat_t
		must(b, unix.Stat(filepath.Join(s.folder, "clone"), &stat))
		blocks = stat.Blocks
		s.virsh(b, "vol-delete", "clone", "--pool", "bench")
	}
	b.ReportMetric(0, "ns/op") // has the deletion, too
	b.ReportMetric(millis(clone.median(1)), "ms-virtumld")
	b.ReportMetric(millis(virsh.median(1)), "ms-virsh-alone")
	b.ReportMetric(millis(max(clone.median(1)-virsh.median(1), time.Microsecond)), "ms-above-virsh")
	b.ReportMetric(float64(blocks)/2, "KiB-of-disk")
}
