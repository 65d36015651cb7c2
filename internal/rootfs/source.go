package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// Sink takes the entries of a root filesystem, as package ext4img's Writer
// does. It copies what it keeps of h.
type Sink interface {
	Add(h *tar.Header, r io.Reader) error
	// NextLayer begins the next layer; Hide and HideChildren then remove a
	// file, or what a folder holds, as far as it is of earlier layers.
	NextLayer()
	Hide(name string) error
	HideChildren(name string) error
}

// Source is a root filesystem that can be read once.
type Source interface {
	// Copy gives all entries to the sink. It ends early, with the
	// context's error, when ctx ends.
	Copy(ctx context.Context, to Sink) error
	// Metadata is what the image says; of a tarball or folder, nothing.
	Metadata() Metadata
	// Close frees what Open has taken.
	Close() error
}

// Kind is what a source is.
type Kind string

// The kinds, by the names that users give them. Raw and QCOW2 are disk images,
// which Open does not take.
const (
	Auto          Kind = "auto"
	Registry      Kind = "registry"
	OCI           Kind = "oci"
	DockerArchive Kind = "docker-archive"
	Tar           Kind = "tar"
	Folder        Kind = "folder"
	Raw           Kind = "raw"
	QCOW2         Kind = "qcow2"
)

// Kinds are all kinds that a user may ask for.
func Kinds() []Kind {
	return []Kind{Auto, Registry, OCI, DockerArchive, Tar, Folder, Raw, QCOW2}
}

// Options change how a source is read.
type Options struct {
	// Architecture is the guest's, by Go's name; "" is this host's.
	Architecture string
	// Insecure has a registry spoken to without encryption.
	Insecure bool
	// KeepOwners leaves the files of a folder to the user who runs this,
	// who otherwise, unless root, gives them to the guest's root.
	KeepOwners bool
	// Progress is told how many bytes have been read and how many there are,
	// 0 for unknown. It may be nil.
	Progress func(done, all int64)
}

func (o Options) architecture() string {
	if o.Architecture == "" {
		return runtime.GOARCH
	}
	return o.Architecture
}

// registryScheme marks a reference to an image in a registry.
const registryScheme = "docker://"

// Open opens the source of the given kind, which Identify tells.
func Open(ctx context.Context, source string, kind Kind, o Options) (Source, error) {
	switch kind {
	case Registry:
		return openRegistry(ctx, strings.TrimPrefix(source, registryScheme), o)
	case OCI:
		return openLayout(source, o)
	case DockerArchive:
		return openArchive(source, o)
	case Tar:
		return openTarball(source, o)
	case Folder:
		return openFolder(source, o)
	}
	return nil, fmt.Errorf("%s is of the kind %s, which holds no files that can be read one by one", source, kind)
}

// copyTar copies a tar stream; whiteouts tells if names may be
// those of https://github.com/opencontainers/image-spec/blob/main/layer.md.
func copyTar(ctx context.Context, r io.Reader, to Sink, whiteouts bool) error {
	t := tar.NewReader(reader{ctx, r})
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if whiteouts {
			done, err := whiteout(h.Name, to)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := to.Add(h, t); err != nil {
			return err
		}
	}
}

// Names that hide what lower layers have.
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// whiteout does what a whiteout says; done is false for every other name.
func whiteout(name string, to Sink) (done bool, err error) {
	dir, base := "", strings.TrimSuffix(name, "/")
	if i := strings.LastIndexByte(base, '/'); i >= 0 {
		dir, base = base[:i+1], base[i+1:]
	}
	hidden, found := strings.CutPrefix(base, whiteoutPrefix)
	switch {
	case !found:
		return false, nil
	case base == opaqueName:
		return true, to.HideChildren(dir)
	case strings.HasPrefix(hidden, whiteoutPrefix):
		return true, nil // AUFS's own files
	case hidden == "" || hidden == "." || hidden == "..":
		return false, fmt.Errorf("entry %.200q: a whiteout of nothing", name)
	}
	return true, to.Hide(dir + hidden)
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// counted tells o.Progress of what is read from r, all bytes in total.
func (o Options) counted(r io.Reader, all int64) io.Reader {
	if o.Progress == nil {
		return r
	}
	return &counter{Reader: r, all: all, tell: o.Progress}
}

type counter struct {
	io.Reader
	done, all int64
	tell      func(done, all int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.done += int64(n)
	c.tell(c.done, c.all)
	return n, err
}

// archive is a tar file, compressed or not, that is a root filesystem.
type archive struct {
	file *os.File
	o    Options
}

func openTarball(path string, o Options) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &archive{f, o}, nil
}

func (t *archive) Metadata() Metadata { return Metadata{} }
func (t *archive) Close() error       { return t.file.Close() }

func (t *archive) Copy(ctx context.Context, to Sink) error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	r, err := decompress(t.o.counted(t.file, info.Size()))
	if err != nil {
		return fmt.Errorf("%s: %w", t.file.Name(), err)
	}
	defer func() { _ = r.Close() }()
	if err := copyTar(ctx, r, to, false); err != nil {
		return fmt.Errorf("%s: %w", t.file.Name(), err)
	}
	return nil
}
