package storage

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/imgformat"
	"virtumld/internal/storagexml"
)

// libvirt's virStorageVolType.
const (
	kindFile int32 = 0
	kindDir  int32 = 2
)

// content is what reading a pool's folder has found.
type content struct {
	volumes map[string]*volume
	stats   storagexml.PoolStats
	perms   storagexml.Permissions
}

// scan reads the folder target and removes what unfinished work has left in
// it. What is no readable file or folder is left out: symbolic links too,
// since they may lead anywhere.
func (s *Pools) scan(ctx context.Context, target string) (*content, error) {
	d, err := openDir(target)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.f.Readdirnames(-1)
	if err != nil {
		return nil, systemErr(err, "cannot read directory '%s'", target)
	}
	if err := d.cleanTemps(names); err != nil {
		s.cfg.Log.Warn("storage pool: leftovers stay", "folder", target, "error", err)
	}
	c := &content{volumes: make(map[string]*volume, len(names))}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if reason := checkName(name); reason != "" {
			continue
		}
		v, err := d.inspect(name)
		switch {
		case errors.Is(err, errNoImage), errors.Is(err, unix.ENOENT):
		case err != nil:
			s.cfg.Log.Warn("storage pool: file left out", "file", d.join(name), "error", err)
		default:
			c.volumes[name] = v
		}
	}
	if c.stats, err = d.stats(); err != nil {
		return nil, err
	}
	st, err := d.stat(".")
	if err != nil {
		return nil, systemErr(err, "cannot stat path '%s'", target)
	}
	c.perms = permsOf(&st)
	return c, nil
}

// errNoImage says that an entry is neither a file nor a folder.
var errNoImage = errors.New("neither a file nor a folder")

// inspect describes the entry name by its stat and first bytes.
func (d *dir) inspect(name string) (*volume, error) {
	st, err := d.stat(name)
	if err != nil {
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return &volume{info: d.describe(name, &st, imgformat.Info{Format: imgformat.Dir}), kind: kindDir}, nil
	case unix.S_IFREG:
	default:
		return nil, errNoImage
	}
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := probe(f, &st)
	if err != nil {
		return nil, err
	}
	return &volume{info: d.describe(name, &st, info), kind: kindFile}, nil
}

// probe reads the stat and the first bytes of a regular file.
func probe(f *os.File, st *unix.Stat_t) (imgformat.Info, error) {
	if err := unix.Fstat(int(f.Fd()), st); err != nil {
		return imgformat.Info{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return imgformat.Info{}, errNoImage
	}
	return imgformat.Detect(f, st.Size)
}

// describe makes a volume's description.
func (d *dir) describe(name string, st *unix.Stat_t, info imgformat.Info) *storagexml.Volume {
	path := d.join(name)
	v := &storagexml.Volume{
		Name: name, Key: path, Path: path, Format: info.Format,
		Capacity: info.Capacity, HasCapacity: true, HasAllocation: true,
	}
	update(v, st)
	if v.Format != imgformat.Dir && v.Capacity == 0 {
		v.Capacity = v.Physical
	}
	if info.Backing != "" {
		v.Backing = describeBacking(info.Backing)
	}
	return v
}

// update sets what a stat tells.
func update(v *storagexml.Volume, st *unix.Stat_t) {
	v.Perms = permsOf(st)
	v.Times = &storagexml.Times{
		Access: time.Unix(st.Atim.Unix()),
		Modify: time.Unix(st.Mtim.Unix()),
		Change: time.Unix(st.Ctim.Unix()),
	}
	if v.Format == imgformat.Dir {
		return
	}
	v.Physical = uint64(st.Size)
	v.Allocation = uint64(st.Blocks) * 512
	if v.Format == imgformat.Raw {
		v.Capacity = v.Physical
	}
}

func permsOf(st *unix.Stat_t) storagexml.Permissions {
	mode, owner, group := st.Mode&0o777, int(st.Uid), int(st.Gid)
	return storagexml.Permissions{Mode: &mode, Owner: &owner, Group: &group}
}

// describeBacking looks at a backing file as far as it is there: a header may
// name anything, so only regular files are opened.
func describeBacking(path string) *storagexml.Backing {
	b := &storagexml.Backing{Path: path, Format: imgformat.Raw}
	f, err := openRegular(path)
	if err != nil {
		return b
	}
	defer f.Close()
	var st unix.Stat_t
	info, err := probe(f, &st)
	if err != nil {
		return b
	}
	b.Format, b.Perms = info.Format, permsOf(&st)
	return b
}

// openRegular opens a regular file for reading and nothing else: opening a
// device may have effects.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoImage
	}
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// stats are the sizes of the folder's filesystem.
func (d *dir) stats() (storagexml.PoolStats, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &st); err != nil {
		return storagexml.PoolStats{}, systemErr(err, "cannot statvfs path '%s'", d.f.Name())
	}
	block := uint64(st.Frsize)
	stats := storagexml.PoolStats{Capacity: block * st.Blocks, Available: block * st.Bfree}
	stats.Allocation = stats.Capacity - stats.Available
	return stats, nil
}

// install takes over what scan has found; mu is held. Volumes that a job works
// on keep their entry.
func (p *pool) install(c *content) {
	for name, old := range p.volumes {
		if !old.building && !old.busy() {
			continue
		}
		if found := c.volumes[name]; found != nil && !old.building {
			old.info, old.kind = found.info, found.kind
		}
		c.volumes[name] = old
	}
	p.volumes, p.stats, p.found = c.volumes, c.stats, c.perms
}

// restat brings a volume's view up to date.
func (s *Pools) restat(p *pool, v *volume, view VolumeView) (VolumeView, error) {
	d, err := openDir(p.target(s))
	if err != nil {
		return VolumeView{}, err
	}
	defer d.Close()
	st, err := d.stat(view.Name)
	if errors.Is(err, unix.ENOENT) {
		s.drop(p, v, view.Name)
		return VolumeView{}, errNoVolumePath(view.Path)
	}
	if err != nil {
		return VolumeView{}, systemErr(err, "cannot stat file '%s'", view.Path)
	}
	info := *view.Volume
	update(&info, &st)
	view.Volume = &info

	s.mu.Lock()
	defer s.mu.Unlock()
	if p.volumes[info.Name] == v && !v.building {
		v.info = &info
	}
	return view, nil
}

// target is the pool's folder.
func (p *pool) target(s *Pools) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.def.Target
}

// drop removes a volume that is no longer there, unless a job works on it.
func (s *Pools) drop(p *pool, v *volume, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.volumes[name] == v && !v.busy() && !v.building {
		delete(p.volumes, name)
	}
}
