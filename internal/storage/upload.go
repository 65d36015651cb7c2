package storage

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/imgformat"
)

// upload writes a volume's file. It is used by one goroutine at a time.
type upload struct {
	s    *Pools
	job  *job
	f    *os.File
	path string
	// at is where the next byte goes, end where the upload must end.
	at, end int64
	close   sync.Once
}

// Upload begins to write the volume's file from offset on, at most length
// bytes unless that is 0. ctx bounds the beginning only. When the upload is
// closed the volume is read anew, since it may have another format, and
// subscribers are told of a refresh, as by libvirt.
func (s *Pools) Upload(ctx context.Context, spec PoolSpec, name string, offset, length uint64) (Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j, err := s.writing(spec, name)
	if err != nil {
		return nil, err
	}
	u, err := s.openUpload(j, offset, length)
	if err != nil {
		j.end(nil)
		return nil, err
	}
	return u, nil
}

func (s *Pools) openUpload(j *job, offset, length uint64) (*upload, error) {
	if j.info.Format == imgformat.COW {
		return nil, failf(libvirt.ErrOperationUnsupported,
			"volume '%s' of format 'cow' cannot be uploaded to: what a client sends is not what its header and bitmap describe; "+
				"upload to a raw volume", j.info.Name)
	}
	end, err := span(j.info.Path, offset, length)
	if err != nil {
		return nil, err
	}
	d, err := openDir(j.target)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := d.openForWriting(j.info.Name)
	if err != nil {
		return nil, systemErrUnlessOurs(err, "Unable to open stream for '%s'", j.info.Path)
	}
	if err := s.checkNoClones(j.info); err != nil {
		f.Close()
		return nil, err
	}
	return &upload{s: s, job: j, f: f, path: j.info.Path, at: int64(offset), end: end}, nil
}

// span returns where length bytes from offset end; length 0 is all.
func span(path string, offset, length uint64) (end int64, err error) {
	if offset > math.MaxInt64 {
		return 0, systemErr(unix.EINVAL, "Unable to seek %s to %d", path, offset)
	}
	if length == 0 || length > math.MaxInt64-offset {
		return math.MaxInt64, nil
	}
	return int64(offset + length), nil
}

// Write writes p at the upload's position.
func (u *upload) Write(p []byte) (int, error) {
	room := u.end - u.at
	if room == 0 && len(p) > 0 {
		return 0, systemErr(unix.ENOSPC, "cannot write to stream")
	}
	over := int64(len(p)) > room
	if over {
		p = p[:room]
	}
	n, err := u.f.WriteAt(p, u.at)
	u.at += int64(n)
	if err != nil {
		return n, systemErr(err, "Unable to write %s", u.path)
	}
	if over {
		return n, systemErr(unix.ENOSPC, "cannot write to stream")
	}
	return n, nil
}

// Hole has the next n bytes read as 0.
func (u *upload) Hole(n int64) error {
	if n < 0 {
		return failf(libvirt.ErrInvalidArg, "hole of %d bytes", n)
	}
	if n > u.end-u.at {
		return systemErr(unix.ENOSPC, "cannot write to stream")
	}
	size, err := u.f.Seek(0, io.SeekEnd)
	if err != nil {
		return systemErr(err, "unable to seek in %s", u.path)
	}
	if err := u.clear(u.at, min(u.at+n, size)); err != nil {
		return err
	}
	if u.at+n > size {
		if err := u.f.Truncate(u.at + n); err != nil {
			return systemErr(err, "unable to truncate %s", u.path)
		}
	}
	u.at += n
	return nil
}

// clear makes a hole of what is there.
func (u *upload) clear(start, end int64) error {
	if start >= end {
		return nil
	}
	err := punch(u.f, start, end-start)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return writeZeros(context.Background(), u.f, u.path, start, end)
	}
	return wrapSystem(err, "Unable to write %s", u.path)
}

// Finish ends the upload.
func (u *upload) Finish() error {
	var err error
	u.close.Do(func() { err = u.release() })
	return err
}

// Close gives the upload up, unless it is finished. What was written stays.
func (u *upload) Close() error { return u.Finish() }

func (u *upload) release() error {
	err := wrapSystem(u.f.Close(), "Unable to close '%s'", u.path)
	u.job.end(u.job.inspect())
	u.s.tellRefreshed(u.job.pool)
	return err
}
