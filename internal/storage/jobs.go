package storage

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/imgformat"
	"virtumld/internal/storagexml"
)

// busy reports whether a job works on v's content.
func (v *volume) busy() bool { return v.readers > 0 || v.writing }

// job is work on a volume's content. The pool cannot be stopped meanwhile.
type job struct {
	s      *Pools
	pool   *pool
	spec   PoolSpec
	volume *volume
	// target is the pool's folder, info the volume when the job began.
	target string
	info   *storagexml.Volume
	kind   int32
	writes bool
}

// reading begins a job that reads a volume; no writing job runs beside it.
func (s *Pools) reading(spec PoolSpec, name string) (*job, error) { return s.begin(spec, name, false) }

// writing begins a job that changes or removes a volume; no other job runs
// beside it.
func (s *Pools) writing(spec PoolSpec, name string) (*job, error) { return s.begin(spec, name, true) }

func (s *Pools) begin(spec PoolSpec, name string, writes bool) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, v, err := s.findVolume(spec, name)
	switch {
	case err != nil:
		return nil, err
	case v.building:
		return nil, errVolumeBuilding(name)
	case v.writing || writes && v.readers > 0:
		return nil, errVolumeInUse(name)
	}
	if writes {
		v.writing = true
	} else {
		v.readers++
	}
	p.jobs++
	return &job{s, p, p.spec(), v, p.def.Target, v.info, v.kind, writes}, nil
}

// building begins the job that makes a volume: others see it as being
// allocated. kept or failed ends it.
func (s *Pools) building(spec PoolSpec, def *storagexml.Volume) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.findActive(spec)
	if err != nil {
		return nil, err
	}
	if p.volumes[def.Name] != nil {
		return nil, failf(libvirt.ErrStorageVolExist, "'%s'", def.Name)
	}
	v := &volume{building: true, info: provisional(p, def)}
	if def.Format == imgformat.Dir {
		v.kind = kindDir
	}
	p.volumes[def.Name] = v
	p.jobs++
	return &job{s, p, p.spec(), v, p.def.Target, v.info, v.kind, true}, nil
}

// provisional is how a volume looks before its file is there.
func provisional(p *pool, def *storagexml.Volume) *storagexml.Volume {
	info := *def
	info.Path = p.def.Target + "/" + def.Name
	info.Key = info.Path
	info.Allocation, info.Physical = 0, 0
	if def.Backing != nil {
		info.Backing = &storagexml.Backing{Path: backingPath(p.def.Target, def.Backing.Path), Format: def.Backing.Format}
	}
	return &info
}

// end ends a job; the volume is as after says, or as before when it is nil.
func (j *job) end(after *volume) {
	stats, err := statsOf(j.target)
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	j.unmark()
	if after != nil {
		j.volume.info, j.volume.kind = after.info, after.kind
	}
	if err == nil {
		j.pool.stats = stats
	}
}

// removed ends a job that leaves no volume.
func (j *job) removed() {
	stats, err := statsOf(j.target)
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	j.unmark()
	if j.pool.volumes[j.info.Name] == j.volume {
		delete(j.pool.volumes, j.info.Name)
	}
	if err == nil {
		j.pool.stats = stats
	}
}

// unmark takes the job's marks from the volume and its pool; mu is held.
func (j *job) unmark() {
	j.pool.jobs--
	switch {
	case j.volume.building:
		j.volume.building = false
	case j.writes:
		j.volume.writing = false
	default:
		j.volume.readers--
	}
}

func statsOf(target string) (storagexml.PoolStats, error) {
	d, err := openDir(target)
	if err != nil {
		return storagexml.PoolStats{}, err
	}
	defer d.Close()
	return d.stats()
}
