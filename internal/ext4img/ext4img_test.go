package ext4img

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var epoch = time.Date(2024, 2, 29, 12, 30, 15, 123456789, time.UTC)

// entry is one tar entry, or with hide a whiteout, or with next a new layer.
type entry struct {
	h          tar.Header
	content    string
	hide, next bool
	opaque     bool
}

func file(name, content string) entry {
	return entry{h: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), ModTime: epoch}, content: content}
}

func dir(name string) entry {
	return entry{h: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch}}
}

func link(kind byte, name, target string) entry {
	return entry{h: tar.Header{Name: name, Typeflag: kind, Linkname: target, ModTime: epoch}}
}

func add(w *Writer, entries []entry) error {
	for _, e := range entries {
		var err error
		switch {
		case e.next:
			w.NextLayer()
		case e.hide:
			err = w.Hide(e.h.Name)
		case e.opaque:
			err = w.HideChildren(e.h.Name)
		default:
			err = w.Add(&e.h, strings.NewReader(e.content))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// build makes a filesystem of entries, checks it, and returns its path.
func build(t testing.TB, o Options, size int64, entries ...entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	o.Now = epoch
	w, err := New(f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := add(w, entries); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(size, "test"); err != nil {
		t.Fatal(err)
	}
	check(t, path)
	return path
}

// check has e2fsck find nothing.
func check(t testing.TB, path string) {
	t.Helper()
	out, err := exec.Command("/sbin/e2fsck", "-fn", path).CombinedOutput()
	if err != nil {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

// debugfs runs one command on the filesystem.
func debugfs(t testing.TB, path, command string) string {
	t.Helper()
	out, err := exec.Command("/sbin/debugfs", "-R", command, path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// names lists a folder, without "." and "..".
func names(t testing.TB, path, folder string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(debugfs(t, path, "ls -p "+folder)) {
		parts := strings.Split(line, "/")
		if len(parts) > 5 && parts[5] != "." && parts[5] != ".." && parts[5] != "" {
			out = append(out, parts[5])
		}
	}
	return strings.Join(out, " ")
}

func wantStat(t *testing.T, path, name, pattern string) {
	t.Helper()
	got := debugfs(t, path, "stat "+name)
	if !regexp.MustCompile(`(?s)` + pattern).MatchString(got) {
		t.Errorf("%s: no match for %q in\n%s", name, pattern, got)
	}
}

func TestEmpty(t *testing.T) {
	path := build(t, Options{}, 0)
	if got := names(t, path, "/"); got != lostFound {
		t.Errorf("got %q", got)
	}
}

func TestAttributes(t *testing.T) {
	suid := file("bin/su", "#!")
	suid.h.Mode, suid.h.Uid, suid.h.Gid = 0o4755, 100000, 70000
	suid.h.PAXRecords = map[string]string{
		paxXattr + "security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		paxXattr + "user.note":           "a longer text that has to go to a block of its own, since it is too long",
		paxXattr + "user.a":              "1",
		paxXattr + "com.apple.x":         "left out",
	}
	acl := file("acl", "")
	acl.h.PAXRecords = map[string]string{paxXattr + "system.posix_acl_access": "\x02\x00\x00\x00" +
		"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"}
	node := func(kind byte, name string, major, minor int64) entry {
		return entry{h: tar.Header{Name: name, Typeflag: kind, Mode: 0o660, Devmajor: major, Devminor: minor, ModTime: epoch}}
	}
	long := strings.Repeat("x/", 100)
	old := file("old", "x")
	old.h.ModTime = time.Date(1912, 6, 23, 0, 0, 0, 0, time.UTC)
	far := file("far", "x")
	far.h.ModTime = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
	path := build(t, Options{}, 0, dir("./"), dir("bin"), suid, acl, old, far,
		node(tar.TypeChar, "dev/null", 1, 3), node(tar.TypeBlock, "dev/big", 259, 70000), node(tar.TypeFifo, "dev/fifo", 0, 0),
		link(tar.TypeSymlink, "short", "../../etc/passwd"), link(tar.TypeSymlink, "long", long),
		link(tar.TypeLink, "again", "/bin/su"))

	wantStat(t, path, "/bin/su", `Type: regular +Mode: +04755.*User: 100000 +Group: 70000.*Size: 2.*Links: 2.*mtime: 0x65e078d7:1d6f3454`)
	wantStat(t, path, "/bin/su", `security.capability \(20\)`)
	wantStat(t, path, "/bin/su", `user.note \(72\)`)
	wantStat(t, path, "/again", `Mode: +04755`)
	wantStat(t, path, "/dev", `Type: directory +Mode: +0755`)
	wantStat(t, path, "/dev/null", `Type: character special +Mode: +0660.*Device major/minor number: 01:03`)
	wantStat(t, path, "/dev/big", `Type: block special.*Device major/minor number: 259:70000`)
	wantStat(t, path, "/dev/fifo", `Type: FIFO`)
	wantStat(t, path, "/short", `Type: symlink.*Fast link dest: "../../etc/passwd"`)
	wantStat(t, path, "/long", `Type: symlink.*Size: 200`)
	wantStat(t, path, "/old", `1912`)
	wantStat(t, path, "/far", `2300`)
	if got := debugfs(t, path, "ea_get /bin/su user.note"); !strings.Contains(got, "block of its own") {
		t.Errorf("attribute in a block: %s", got)
	}
	if got := debugfs(t, path, "cat /long"); got != long {
		t.Errorf("long link: %q", got)
	}
	if got := debugfs(t, path, "ea_list /acl"); !strings.Contains(got, "system.posix_acl_access (28)") {
		t.Errorf("acl: %s", got)
	}
	if got := debugfs(t, path, "ea_list /bin/su"); strings.Contains(got, "apple") {
		t.Errorf("attributes: %s", got)
	}
}

func TestLayers(t *testing.T) {
	hide := func(name string) entry { return entry{h: tar.Header{Name: name}, hide: true} }
	opaque := func(name string) entry { return entry{h: tar.Header{Name: name}, opaque: true} }
	next := entry{next: true}
	for _, c := range []struct {
		name    string
		entries []entry
		folder  string
		want    string
	}{
		{"whiteout", []entry{file("d/a", "1"), file("d/b", "1"), next, hide("d/a")}, "/d", "b"},
		{"whiteout of a folder", []entry{file("d/a/x", "1"), file("d/b", "1"), next, hide("d/a")}, "/d", "b"},
		{"whiteout keeps its own layer's", []entry{file("d/a/x", "1"), next, file("d/a/y", "1"), hide("d/a")}, "/d/a", "y"},
		{"whiteout of nothing", []entry{file("d/a", "1"), next, hide("d/q"), hide("z/q")}, "/d", "a"},
		{"opaque", []entry{file("d/a", "1"), next, dir("d"), opaque("d"), file("d/b", "1")}, "/d", "b"},
		{"opaque at the end", []entry{file("d/a", "1"), file("d/s/a", "1"), next, file("d/b", "1"), file("d/s/b", "1"), opaque("d")}, "/d", "b s"},
		{"opaque root", []entry{file("a", "1"), next, file("b", "1"), opaque("")}, "/", "b lost+found"},
		{"folder becomes file", []entry{file("d/a/x", "1"), next, file("d/a", "1")}, "/d", "a"},
		{"file becomes folder", []entry{file("d/a", "1"), next, file("q", ""), dir("d/a"), file("d/a/x", "1")}, "/d/a", "x"},
		{"hard link outlives its first name", []entry{file("d/a", "1"), link(tar.TypeLink, "d/b", "d/a"), next, hide("d/a")}, "/d", "b"},
		{"parents are followed", []entry{dir("usr/lib"), link(tar.TypeSymlink, "lib", "usr/lib"), file("lib/x", "1")}, "/usr/lib", "x"},
		{"absolute link as parent stays inside", []entry{link(tar.TypeSymlink, "etc", "/../../data"), file("etc/x", "1")}, "/data", "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := build(t, Options{}, 0, c.entries...)
			if got := names(t, path, c.folder); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	huge := file("sparse", "")
	huge.h.Size = 10 << 40
	odd := file("odd", "")
	odd.h.Typeflag = 'Z'
	owner := file("owner", "")
	owner.h.Uid = -1
	device := entry{h: tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1 << 40}}
	short := file("short", "abc")
	short.h.Size = 5
	var many []entry
	for i := range 20 {
		many = append(many, file(fmt.Sprint(i), ""))
	}
	big := file("xattr", "")
	big.h.PAXRecords = map[string]string{paxXattr + "user.x": strings.Repeat("x", 5000)}
	badACL := file("acl", "")
	badACL.h.PAXRecords = map[string]string{paxXattr + "system.posix_acl_access": "\x02\x00\x00\x00xxxxxxxx"}
	for name, c := range map[string]struct {
		want    string
		entries []entry
	}{
		"leading out":          {`".."`, []entry{file("../etc/passwd", "x")}},
		"leading out inside":   {`".."`, []entry{file("a/../../x", "x")}},
		"hard link out":        {`".."`, []entry{link(tar.TypeLink, "x", "../../etc/passwd")}},
		"hard link to nothing": {"not there", []entry{link(tar.TypeLink, "x", "/etc/shadow")}},
		"hard link to folder":  {"folder", []entry{dir("d"), link(tar.TypeLink, "x", "d")}},
		"10 TiB":               {"limit exceeded", []entry{huge}},
		"too many":             {"limit exceeded", many},
		"kind":                 {"not known", []entry{odd}},
		"owner":                {"owner", []entry{owner}},
		"device":               {"does not exist", []entry{device}},
		"cut off":              {"unexpected EOF", []entry{short}},
		"attribute":            {"4096 bytes", []entry{big}},
		"acl":                  {"unknown tag", []entry{badACL}},
		"links in a circle":    {"too many symbolic links", []entry{link(tar.TypeSymlink, "a", "b"), link(tar.TypeSymlink, "b", "a"), file("a/x", "")}},
		"file as parent":       {"not a folder", []entry{file("a", ""), file("a/x", "")}},
		"lost+found":           {"must be a folder", []entry{file("lost+found", "")}},
		"root":                 {"root must be", []entry{file("./", "")}},
		"name":                 {"255 bytes", []entry{file(strings.Repeat("n", 256), "")}},
		"empty link":           {"symbolic link", []entry{link(tar.TypeSymlink, "x", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := New(&memory{}, Options{MaxEntries: 10, MaxSize: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			if err := add(w, c.entries); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Contents of every awkward size, spread over several block groups with holes
// and copies of the superblock between.
func TestContents(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	var entries []entry
	sums := map[string][32]byte{}
	for _, size := range []int{0, 1, 4095, 4096, 4097, holeSize - 1, holeSize, holeSize + 1, 3 << 20, 150 << 20} {
		data := make([]byte, size)
		_, _ = random.Read(data)
		name := fmt.Sprintf("f%d", size)
		sums[name] = sha256.Sum256(data)
		entries = append(entries, file(name, string(data)))
	}
	// A file with many extents: every other unit is a hole.
	holes := make([]byte, 200<<20)
	for at := 0; at < len(holes); at += 2 * holeSize {
		_, _ = random.Read(holes[at : at+100])
	}
	sums["holes"] = sha256.Sum256(holes)
	entries = append(entries, file("holes", string(holes)), file("zero", string(make([]byte, 1<<20))))
	sums["zero"] = sha256.Sum256(make([]byte, 1<<20))
	path := build(t, Options{}, 0, entries...)
	for name, want := range sums {
		out := filepath.Join(t.TempDir(), "out")
		debugfs(t, path, fmt.Sprintf("dump /%s %s", name, out))
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(data) != want {
			t.Errorf("%s: content differs", name)
		}
	}
	wantStat(t, path, "/zero", `Blockcount: 0\n`)
	wantStat(t, path, "/holes", `ETB0`)
}

func TestManyFiles(t *testing.T) {
	var entries []entry
	for i := range 30000 {
		entries = append(entries, file(fmt.Sprintf("d%d/%0*d", i%3, 10+i%200, i), "x"))
	}
	for i := range 66000 {
		entries = append(entries, dir(fmt.Sprintf("many/%d", i)))
	}
	path := build(t, Options{}, 0, entries...)
	wantStat(t, path, "/many", `Links: 1 `)
}

func TestSizes(t *testing.T) {
	content := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16)) // 1 MiB
	for _, size := range []int64{2 << 20, 8 << 20, 128 << 20, 128<<20 + 4096, 129 << 20, 3 << 30, 40 << 30} {
		path := build(t, Options{MaxSize: 2 << 40}, size, file("a", content[:1000]))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size || info.Size() < size-1<<20 {
			t.Errorf("size %d became %d", size, info.Size())
		}
	}
	w, err := New(&memory{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := add(w, []entry{file("a", strings.Repeat(content, 4))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(4<<20, ""); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "about") {
		t.Errorf("too small: %v", err)
	}
}

// Room to spare: at least a quarter and 64 MiB.
func TestSlack(t *testing.T) {
	content := make([]byte, 400<<20)
	for i := 0; i < len(content); i += 4096 {
		content[i] = 1
	}
	for _, size := range []int{1000, 400 << 20} {
		path := build(t, Options{}, 0, file("a", string(content[:size])))
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		free := regexp.MustCompile(`Free blocks: +(\d+)`).FindStringSubmatch(debugfs(t, path, "stats -h"))
		if free == nil {
			t.Fatal("no free blocks told")
		}
		var blocks int
		_, _ = fmt.Sscan(free[1], &blocks)
		if blocks*blockSize < max(64<<20, size/4) {
			t.Errorf("%d bytes of content: %d bytes free", size, blocks*blockSize)
		}
		if used := st.Blocks * 512; used > int64(size)+8<<20 {
			t.Errorf("%d bytes of content take %d", size, used)
		}
	}
}

// What a later layer replaced is not in the file any more.
func TestReplacedContentIsGone(t *testing.T) {
	secret := strings.Repeat("very secret. ", 1000)
	path := build(t, Options{}, 0, file("a", secret), entry{next: true}, file("a", "public"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("very secret")) {
		t.Error("the replaced content is still there")
	}
}

// A disk that is full at whatever moment is an error that says so.
func TestFullDisk(t *testing.T) {
	write := func(room int) (used int, err error) {
		f := &memory{room: room}
		w, err := New(f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err = add(w, []entry{file("a", strings.Repeat("x", 5000)), link(tar.TypeSymlink, "b", strings.Repeat("x", 500))}); err == nil {
			_, err = w.Finish(0, "")
		}
		return f.used, err
	}
	all, err := write(0)
	if err != nil {
		t.Fatal(err)
	}
	for room := 1; room < all; room += all / 20 {
		if _, err := write(room); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("room for %d of %d bytes: %v", room, all, err)
		}
	}
}

// memory is a File that keeps no zeros. With room it takes so many bytes only.
type memory struct {
	room, used int
}

func (m *memory) WriteAt(p []byte, _ int64) (int, error) {
	m.used += len(p)
	if m.room > 0 && m.used > m.room {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func (m *memory) Truncate(int64) error { return nil }

func FuzzTar(f *testing.F) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range []entry{dir("d"), file("d/a", "content"), link(tar.TypeSymlink, "l", "d"), file("l/b", "x"), link(tar.TypeLink, "h", "d/a")} {
		_ = tw.WriteHeader(&e.h)
		_, _ = io.WriteString(tw, e.content)
	}
	_ = tw.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := New(&memory{}, Options{MaxSize: 1 << 28, MaxEntries: 1000})
		if err != nil {
			t.Fatal(err)
		}
		r := tar.NewReader(bytes.NewReader(data))
		for {
			h, err := r.Next()
			if err != nil {
				break
			}
			if strings.HasPrefix(h.Name, "w") {
				_ = w.Hide(h.Name)
			} else if w.Add(h, r) != nil {
				break
			}
		}
		_, _ = w.Finish(0, "")
	})
}
