package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/virerr"
)

// Prober asks kernel binaries and remembers their answers, in memory and in a
// folder, for as long as the file stays the same. It is safe for concurrent
// use; a binary is asked once however many want to know.
type Prober struct {
	cacheDir string
	user     *User

	mu     sync.Mutex // guards known and asking; never held over I/O
	known  map[string]entry
	asking map[string]*question
}

// entry is one remembered answer.
type entry struct {
	Identity identity
	Caps     Caps
}

// question is one probe under way; caps and err are set before done closes.
type question struct {
	identity identity
	done     chan struct{}
	caps     *Caps
	err      error
}

// NewProber returns a prober that keeps answers in cacheDir ("" for memory
// alone). A prober of root's gives user, as whom the binaries run: their paths
// come from clients.
func NewProber(cacheDir string, user *User) *Prober {
	return &Prober{
		cacheDir: cacheDir,
		user:     user,
		known:    make(map[string]entry),
		asking:   make(map[string]*question),
	}
}

// Probe returns what the kernel at the absolute path can do. Its errors are
// virerr's: ErrSystemError for a file that cannot be opened or run,
// ErrConfigUnsupported for one that is not a UML kernel.
func (p *Prober) Probe(ctx context.Context, path string) (*Caps, error) {
	id, err := identify(path)
	if err != nil {
		return nil, err
	}
	q, caps := p.ask(path, id)
	if caps != nil {
		return caps, nil
	}
	select {
	case <-q.done:
		return q.caps, q.err
	case <-ctx.Done():
		return nil, fmt.Errorf("kernel %s: %w", path, ctx.Err())
	}
}

// ask returns the known answer, or the question that will have it. The probe
// outlives a caller who gives up, for the others; its own time limits end it.
func (p *Prober) ask(path string, id identity) (*question, *Caps) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.known[path]; ok && e.Identity == id {
		caps := e.Caps
		return nil, &caps
	}
	if q, ok := p.asking[path]; ok && q.identity == id {
		return q, nil
	}
	q := &question{identity: id, done: make(chan struct{})}
	p.asking[path] = q
	go p.answer(path, q)
	return q, nil
}

func (p *Prober) answer(path string, q *question) {
	defer close(q.done)
	if caps := readCache(p.cacheDir, path, q.identity); caps != nil {
		q.caps = caps
	} else if q.caps, q.err = probe(context.Background(), path, p.user); q.err == nil {
		// The cache saves a tenth of a second; a full disk is no reason to
		// refuse the kernel.
		_ = writeCache(p.cacheDir, path, q.identity, q.caps)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.err == nil {
		p.known[path] = entry{q.identity, *q.caps}
	}
	if p.asking[path] == q {
		delete(p.asking, path)
	}
}

// identity tells whether a file is the one that was asked.
type identity struct {
	Dev, Inode   uint64
	Size         int64
	MtimeSeconds int64
	MtimeNanos   int64
}

// identify checks that path can be a kernel at all.
func identify(path string) (identity, error) {
	var st unix.Stat_t
	if !strings.HasPrefix(path, "/") {
		return identity{}, unsupported(path, errors.New("its path is not absolute"))
	}
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, system(path, "cannot find the kernel", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, unsupported(path, errors.New("it is not a regular file"))
	}
	if st.Mode&0o111 == 0 {
		return identity{}, system(path, "the kernel has no execute permission (chmod +x it)", unix.EACCES)
	}
	return identity{
		Dev: uint64(st.Dev), Inode: st.Ino, Size: st.Size,
		MtimeSeconds: int64(st.Mtim.Sec), MtimeNanos: int64(st.Mtim.Nsec),
	}, nil
}

// probe asks the binary itself.
func probe(ctx context.Context, path string, user *User) (*Caps, error) {
	caps := &Caps{Path: path}
	interpreter, err := inspectFile(caps, path)
	if err != nil {
		return nil, err
	}
	r, err := newRunner(user)
	if err != nil {
		return nil, system(path, "cannot make a folder to probe the kernel in", err)
	}
	defer r.close()

	var answers [3]string
	for i, option := range []string{"--help", "--version", "--showconfig"} {
		if answers[i], err = r.output(ctx, nil, path, option); err != nil {
			return nil, runError(path, err)
		}
		if i == 0 && !strings.HasPrefix(answers[0], "User Mode Linux v") {
			return nil, unsupported(path, errors.New("its --help is not that of a UML kernel"))
		}
	}
	if err := caps.configured(answers[1], answers[0], answers[2]); err != nil {
		return nil, unsupported(path, err)
	}
	if interpreter == "" {
		return caps, nil
	}
	list, err := r.output(ctx, []string{"LD_PRELOAD=" + unwinder}, interpreter, "--list", path)
	if err != nil {
		return nil, unsupported(path, fmt.Errorf("its libraries cannot be listed: %w", err))
	}
	libraries, err := parseLibraries(list)
	if err != nil {
		return nil, unsupported(path, err)
	}
	caps.Libraries = withInterpreter(interpreter, libraries)
	return caps, nil
}

func inspectFile(caps *Caps, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", system(path, "cannot open the kernel", err)
	}
	defer file.Close()
	interpreter, err := caps.inspect(file)
	if err != nil {
		return "", unsupported(path, err)
	}
	return interpreter, nil
}

// unwinder is a library that no kernel names, since glibc loads it by itself
// when a thread is cancelled: kernels since 6.15 have threads, which they cancel
// at their end (os_kill_helper_thread, arch/um/os-Linux/helper.c), and abort
// there without it. As a preloaded one it is listed where it exists.
const unwinder = "libgcc_s.so.1"

// withInterpreter puts the interpreter first; its own list names it too.
func withInterpreter(interpreter string, libraries []string) []string {
	out := []string{interpreter}
	for _, library := range libraries {
		if library != interpreter {
			out = append(out, library)
		}
	}
	return out
}

func runError(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return system(path, "the kernel may not be executed by the user that guests run as", err)
	}
	return unsupported(path, err)
}

func unsupported(path string, err error) error {
	return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported, "%s is not a usable User Mode Linux kernel: %w", path, err)
}

func system(path, what string, err error) error {
	return virerr.In(virerr.UML, libvirt.ErrSystemError, "%s %s: %w", what, path, err)
}
