package guestinit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"virtumld/internal/guestinit/link"
)

func TestDisk(t *testing.T) {
	spec := Spec{
		Virtuml: Format, Hostname: "vm", Args: []string{"sh", "-c", "echo \"ü\""}, Env: []string{"A=b"},
		User: "nobody", Workdir: "/tmp", Terminal: true, Rows: 24, Columns: 80,
		Mounts: []Mount{{"/share/v0", "/data", true}},
	}
	disk, err := EncodeDisk(spec)
	if err != nil || len(disk) != DiskSize {
		t.Fatalf("%d bytes, %v", len(disk), err)
	}
	if got, err := DecodeSpec(disk); err != nil || !reflect.DeepEqual(got, spec) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	if _, err := DecodeResult(disk); !errors.Is(err, ErrNoResult) {
		t.Errorf("a fresh disk has the result %v", err)
	}
	for _, want := range []Result{{}, {Exit: 7}, {Signal: 9}, {Exit: 127, Error: "no such file"}} {
		copy(disk[resultOffset:], encodeResult(want))
		if got, err := DecodeResult(disk); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
	copy(disk[resultOffset:], encodeResult(Result{Exit: 126, Error: strings.Repeat("long", DiskSize)}))
	if got, err := DecodeResult(disk); err != nil || got.Exit != 126 || got.Error == "" {
		t.Errorf("a long error came back as %+v, %v", got, err)
	}
}

func TestBadDisks(t *testing.T) {
	full := func(text string) []byte { return append([]byte(text), make([]byte, DiskSize-len(text))...) }
	for name, disk := range map[string][]byte{
		"empty":          nil,
		"short":          []byte(magic + `"args":[]}`),
		"zeros":          make([]byte, DiskSize),
		"other version":  full(`{"virtuml":2,"args":[]}`),
		"damaged":        full(magic + `"args":[`),
		"NUL in a word":  full(magic + `"args":["a\u0000b"]}`),
		"relative mount": full(magic + `"mounts":[{"share":"x","target":"/y"}]}`),
		"mount option":   full(magic + `"mounts":[{"share":"/x,rw","target":"/y"}]}`),
	} {
		spec, err := DecodeSpec(disk)
		if err == nil {
			t.Errorf("%s: taken as %+v", name, spec)
		}
		// A guest with such a disk is one that virtuml run has not started.
		foreign := name == "empty" || name == "short" || name == "zeros"
		if errors.Is(err, errNotSpec) != foreign {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := EncodeDisk(Spec{Args: []string{strings.Repeat("x", resultOffset)}}); err == nil {
		t.Error("a specification that is too long was taken")
	}
	if _, err := DecodeResult(make([]byte, 10)); err == nil || errors.Is(err, ErrNoResult) {
		t.Errorf("a short disk has the result %v", err)
	}
	disk := make([]byte, DiskSize)
	copy(disk[resultOffset:], "junk")
	if _, err := DecodeResult(disk); err == nil || errors.Is(err, ErrNoResult) {
		t.Errorf("a damaged result is %v", err)
	}
}

func TestStatus(t *testing.T) {
	for result, want := range map[Result]int{
		{}: 0, {Exit: 7}: 7, {Exit: 256}: 0, {Exit: -1}: 255, {Signal: 9}: 137, {Signal: 15}: 143, {Exit: 3, Signal: 2}: 130,
	} {
		if got := result.Status(); got != want {
			t.Errorf("%+v: %d, want %d", result, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	image := Image{Entrypoint: []string{"/entry"}, Cmd: []string{"default"}, Env: []string{"A=1", "PATH=/x"}, User: "app", Workdir: "/app"}
	for _, test := range []struct {
		name  string
		spec  Spec
		image Image
		argv  []string
		user  string
		dir   string
	}{
		{"nothing", Spec{}, Image{}, []string{"/bin/sh"}, "", "/"},
		{"the image's", Spec{}, image, []string{"/entry", "default"}, "app", "/app"},
		{"arguments", Spec{Args: []string{"a", "b"}}, image, []string{"/entry", "a", "b"}, "app", "/app"},
		{"entrypoint", Spec{Entrypoint: []string{"/e"}}, image, []string{"/e"}, "app", "/app"},
		{"both", Spec{Entrypoint: []string{"/e"}, Args: []string{"a"}}, image, []string{"/e", "a"}, "app", "/app"},
		{"user and folder", Spec{User: "0", Workdir: "/w"}, image, []string{"/entry", "default"}, "0", "/w"},
		{"relative folder", Spec{Workdir: "w"}, Image{}, []string{"/bin/sh"}, "", "/w"},
	} {
		c := merge(test.spec, test.image)
		if !slices.Equal(c.argv, test.argv) || c.user != test.user || c.workdir != test.dir {
			t.Errorf("%s: %+v", test.name, c)
		}
	}
	env := merge(Spec{Env: []string{"A=2", "B=x=y", "PATH"}}, image).env
	if want := []string{"A=2", "B=x=y"}; !slices.Equal(env, want) {
		t.Errorf("the environment is %q, want %q", env, want)
	}
	if got := lookup(merge(Spec{}, Image{}).env, "PATH"); got != defaultPath {
		t.Errorf("PATH is %q", got)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"tool": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for program, want := range map[string]int{
		"tool": 0, "text": exitNotExecutable, "none": exitNotFound,
		dir + "/tool": 0, "./tool": 0, dir + "/none": exitNotFound, dir: exitNotExecutable, dir + "/text/x": exitNotExecutable,
	} {
		c := command{argv: []string{program}, env: []string{"PATH=/nonexistent::" + dir}, workdir: dir}
		name, status, err := c.find()
		if status != want || (err == nil) != (want == 0) || want == 0 && name != dir+"/tool" {
			t.Errorf("%s: %q, %d, %v, want %d", program, name, status, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:100:101:App:/home/app:/bin/sh\nbad:x:huge:1::/:/\n"
	const group = "root:x:0:\nwheel:x:10:root,app\nadm:x:4:app\nodd:x:1\nbadgid:x:?:app\n"
	for _, test := range []struct {
		who  string
		want account
		bad  bool
	}{
		{"", account{0, 0, []uint32{10}, "/root"}, false},
		{"app", account{100, 101, []uint32{10, 4}, "/home/app"}, false},
		{"100", account{100, 101, []uint32{10, 4}, "/home/app"}, false},
		{"4000", account{4000, 0, nil, "/"}, false},
		{"app:wheel", account{100, 10, nil, "/home/app"}, false},
		{"app:77", account{100, 77, nil, "/home/app"}, false},
		{"none", account{}, true},
		{"bad", account{}, true},
		{"app:none", account{}, true},
		{"-1", account{}, true},
		{"99999999999", account{}, true},
	} {
		got, err := resolve(test.who, passwd, group)
		if (err != nil) != test.bad || !test.bad && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %+v, %v, want %+v", test.who, got, err, test.want)
		}
	}
	if got, err := resolve("", "", ""); err != nil || got.home != "/root" {
		t.Errorf("an image without /etc/passwd: %+v, %v", got, err)
	}
}

func TestReadImage(t *testing.T) {
	dir := t.TempDir()
	if image, err := readImage(filepath.Join(dir, "none")); err != nil || !reflect.DeepEqual(image, Image{}) {
		t.Errorf("no file: %+v, %v", image, err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	image, err := readImage(write("good", `{"cmd":["a"],"entrypoint":null,"env":["X=1"],"user":"u","workdir":"/w","source":"s"}`))
	if want := (Image{Cmd: []string{"a"}, Env: []string{"X=1"}, User: "u", Workdir: "/w"}); err != nil || !reflect.DeepEqual(image, want) {
		t.Errorf("%+v, %v", image, err)
	}
	for _, bad := range []string{write("bad", "{"), write("long", strings.Repeat(" ", maxImageFile+1)), dir} {
		if _, err := readImage(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// Output goes out framed, and stops at the window until it is acknowledged.
func TestSender(t *testing.T) {
	var out bytes.Buffer
	s := newSender(&out, link.NewWindow(link.Output, true))
	s.send(link.Stdout, []byte("a"))
	s.send(link.Stderr, []byte("b\x10"))
	s.copyFrom(link.Stdout, strings.NewReader("c"))
	s.word(link.End)
	if want := "a\x102b\x10\x10\x101c\x10X"; out.String() != want {
		t.Errorf("sent %q, want %q", out.String(), want)
	}
}

// reader is a console whose reader acknowledges what comes.
type reader struct {
	receiver *receiver
	taken    link.Taken
	bytes    int
}

func (r *reader) Write(p []byte) (int, error) {
	r.bytes += len(p)
	for range r.taken.Add(len(p)) {
		r.receiver.Word(link.Ack, 0)
	}
	return len(p), nil
}

func TestSenderGoesOnWithAcks(t *testing.T) {
	console := &reader{taken: link.Taken{Flow: link.Output}}
	s := newSender(console, link.NewWindow(link.Output, true))
	console.receiver = &receiver{sender: s, input: newQueue()}
	n := 5 * link.Output.Window
	s.copyFrom(link.Stdout, bytes.NewReader(make([]byte, n)))
	if console.bytes != n {
		t.Errorf("sent %d bytes, want %d", console.bytes, n)
	}
}

// pipe is a command's standard input that can be looked at.
type pipe struct {
	bytes.Buffer
	closed bool
}

func (p *pipe) Close() error { p.closed = true; return nil }

func TestInput(t *testing.T) {
	var acks bytes.Buffer
	s := newSender(&acks, link.NewWindow(link.Output, true))
	r := &receiver{sender: s, input: newQueue()}
	var in []byte
	in = link.AppendData(in, bytes.Repeat([]byte{link.Escape}, link.Input.Unit))
	in = link.AppendWord(in, link.EOF, 0)
	r.run(bytes.NewReader(in))
	var stdin pipe
	r.input.feed(&stdin, s)
	if stdin.Len() != link.Input.Unit || !stdin.closed {
		t.Errorf("the command gets %d bytes, closed %t", stdin.Len(), stdin.closed)
	}
	if acks.String() != "\x10A" {
		t.Errorf("acknowledged by %q", acks.String())
	}
	r.input.put(make([]byte, 10*link.Input.Window))
	if n := len(r.input.data); n > link.Input.Window {
		t.Errorf("%d bytes are kept", n)
	}
}

// FuzzDecodeDisk checks that no disk makes a decoder fail otherwise than by an
// error, and that what was taken can be written again.
func FuzzDecodeDisk(f *testing.F) {
	f.Add([]byte(magic+`"args":["a"]}`), []byte(`{"exit":1}`))
	f.Add([]byte(magic+`"mounts":[{"share":"/a","target":"/b"}]}`), []byte(`{`))
	f.Fuzz(func(t *testing.T, spec, result []byte) {
		disk := make([]byte, DiskSize)
		copy(disk[:resultOffset], spec)
		copy(disk[resultOffset:], result)
		if r, err := DecodeResult(disk); err == nil && (r.Status() < 0 || r.Status() > 255) {
			t.Fatalf("%+v has the status %d", r, r.Status())
		}
		s, err := DecodeSpec(disk)
		if err != nil {
			return
		}
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		merge(s, Image{})
	})
}
