package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"virtumld/internal/ext4img"
	"virtumld/internal/rootfs"
	"virtumld/internal/virtuml/locate"
)

// job is one import.
type job struct {
	locate.Place
	source, name  string
	kind          rootfs.Kind
	size, maxSize int64
	maxEntries    int
	modules       bool
	kernel        string
	json          bool
	options       rootfs.Options
	out, log      io.Writer
	init          string // the guest's init; "" is the one that is installed
}

func (j *job) run(ctx context.Context) error {
	if err := j.check(); err != nil {
		return err
	}
	p, err := openPool(ctx, j.Place)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.mustBeFree(j.name); err != nil {
		return err
	}
	bar := newProgress(j.log)
	j.options.Progress = bar.show
	vol, err := p.put(ctx, j.name, j.write)
	bar.clear()
	if err != nil {
		return fmt.Errorf("importing %s: %w", j.source, err)
	}
	return j.report(p, vol)
}

// check completes what the user left out.
func (j *job) check() (err error) {
	if j.kind == rootfs.Auto {
		if j.kind, err = rootfs.Identify(j.source); err != nil {
			return err
		}
	}
	if j.name == "" {
		j.name = nameOf(j.source)
	}
	if !goodName.MatchString(j.name) {
		return fmt.Errorf("%q cannot be an image's name: give one by --name, of letters, digits, dots, underscores, plus and minus", j.name)
	}
	if j.size > j.maxSize {
		return fmt.Errorf("--size is more than --max-size, %d bytes", j.maxSize)
	}
	return nil
}

// goodName leaves out what means something in a kernel's arguments, such as
// colons and commas.
var goodName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}$`)

var (
	badInName = regexp.MustCompile(`[^A-Za-z0-9_.+-]+`)
	suffix    = regexp.MustCompile(`(?i)\.(tar|tgz|txz|tbz2|tar\.[a-z0-9]+|img|raw|qcow2)$`)
	digest    = regexp.MustCompile(`@sha256:.*$`)
)

// nameOf is the name of an image that nobody named: debian:12 is debian-12,
// /tmp/root.tar.gz is root.
func nameOf(source string) string {
	if full, err := filepath.Abs(source); err == nil && (source == "." || source == ".." || strings.HasSuffix(source, "/..")) {
		source = full
	}
	base := path.Base(strings.TrimRight(source, "/"))
	base = digest.ReplaceAllString(base, "")
	base = strings.TrimSuffix(base, ":latest")
	base = suffix.ReplaceAllString(base, "")
	return strings.Trim(badInName.ReplaceAllString(base, "-"), "-.+")
}

// write writes the image into f.
func (j *job) write(ctx context.Context, f *os.File) error {
	switch j.kind {
	case rootfs.Raw, rootfs.QCOW2:
		if j.modules {
			return errors.New("--modules is for sources of files: a disk image is taken as it is")
		}
		if j.kind == rootfs.QCOW2 {
			return j.convert(ctx, f)
		}
		return j.copyRaw(ctx, f)
	}
	src, err := rootfs.Open(ctx, j.source, j.kind, j.options)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	limit := j.maxSize
	if j.size != 0 {
		limit = j.size
	}
	w, err := ext4img.New(f, ext4img.Options{MaxSize: limit, MaxEntries: j.maxEntries, Now: time.Now()})
	if err != nil {
		return err
	}
	if err := src.Copy(ctx, w); err != nil {
		return err
	}
	if j.modules {
		if err := addModules(ctx, w, j.kernel); err != nil {
			return err
		}
	}
	if err := j.complete(w, src.Metadata()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = w.Finish(j.size, "")
	return err
}

// complete adds what every image has: its metadata, an init, and the folders
// and devices that a kernel looks for before any program runs.
func (j *job) complete(w *ext4img.Writer, m rootfs.Metadata) error {
	m.Source, m.Created = j.source, time.Now().UTC().Format(time.RFC3339)
	text, err := json.MarshalIndent(emptyLists(m), "", "  ")
	if err != nil {
		return err
	}
	now := time.Now()
	add := func(kind byte, name string, mode int64, content []byte) error {
		h := &tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: int64(len(content)), ModTime: now}
		return w.Add(h, bytes.NewReader(content))
	}
	if err := add(tar.TypeDir, path.Dir(rootfs.MetadataPath), 0o755, nil); err != nil {
		return err
	}
	if err := add(tar.TypeReg, rootfs.MetadataPath, 0o644, append(text, '\n')); err != nil {
		return err
	}
	if err := j.addInit(w, now); err != nil {
		return err
	}
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp"} {
		if w.Exists(name) {
			continue
		}
		mode := int64(0o755)
		if name == "tmp" {
			mode = 0o1777
		}
		if err := add(tar.TypeDir, name, mode, nil); err != nil {
			return err
		}
	}
	if w.Exists("dev/console") {
		return nil
	}
	return w.Add(&tar.Header{Typeflag: tar.TypeChar, Name: "dev/console", Mode: 0o600, Devmajor: 5, Devminor: 1, ModTime: now}, nil)
}

// addInit copies the guest's init into the image.
func (j *job) addInit(w *ext4img.Writer, now time.Time) error {
	program := j.init
	if program == "" {
		program = findInit()
	}
	f, err := os.Open(program)
	if err != nil {
		return fmt.Errorf("the guest's init: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.Add(&tar.Header{Typeflag: tar.TypeReg, Name: rootfs.InitPath, Mode: 0o755, Size: info.Size(), ModTime: now}, f); err != nil {
		return err
	}
	if w.Exists("sbin/init") {
		return nil
	}
	return w.Add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "sbin/init", Linkname: rootfs.InitPath, ModTime: now}, nil)
}

// findInit is the program virtuml-init beside this one, or in the folder lib
// beside its own. Where only virtuml is installed it is this program, which can
// do the same, but takes guests longer to load.
func findInit() string {
	const self = "/proc/self/exe"
	program, err := os.Readlink(self)
	if err != nil {
		return self
	}
	folder := filepath.Dir(program)
	for _, candidate := range []string{
		filepath.Join(folder, "virtuml-init"), filepath.Join(folder, "../lib/virtumld/virtuml-init"),
	} {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return candidate
		}
	}
	return self
}

// emptyLists has [] written in place of null.
func emptyLists(m rootfs.Metadata) rootfs.Metadata {
	for _, list := range []*[]string{&m.Cmd, &m.Entrypoint, &m.Env} {
		if *list == nil {
			*list = []string{}
		}
	}
	return m
}

// modulesDir is where Debian's package user-mode-linux has them.
const modulesDir = "/usr/lib/uml/modules"

// addModules adds the modules of a kernel, whose version it asks.
func addModules(ctx context.Context, w *ext4img.Writer, kernel string) error {
	out, err := exec.CommandContext(ctx, kernel, "--version").Output()
	if err != nil {
		return fmt.Errorf("asking the kernel %s for its version: %w", kernel, err)
	}
	version := strings.TrimSpace(string(out))
	if version == "" || strings.ContainsAny(version, "/\n") {
		return fmt.Errorf("%s is no User Mode Linux kernel: it calls its version %.50q", kernel, version)
	}
	src, err := rootfs.OpenFolderAt(filepath.Join(modulesDir, version), path.Join("lib/modules", version))
	if err != nil {
		return fmt.Errorf("modules of the kernel %s: %w", version, err)
	}
	defer func() { _ = src.Close() }()
	return src.Copy(ctx, w)
}
