package storage

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"virtumld/internal/imgformat"
)

// image is what a download reads: a file, or the merged content of a COW file.
type image interface {
	io.ReaderAt
	io.Closer
	// Size is in bytes.
	Size() int64
	// NextData returns the first extent of data at or after off, io.EOF when
	// there is none.
	NextData(off int64) (start, end int64, err error)
}

// download reads a volume. It is used by one goroutine at a time.
type download struct {
	job   *job
	image image
	path  string
	// at is the next byte, end the end of what is read.
	at, end int64
	// known is up to where data follows for sure, so that a file's extents
	// are asked for once.
	known int64
	close sync.Once
}

// Download begins to read a volume from offset on, at most length bytes unless
// that is 0. ctx bounds the beginning only. Of a cow volume it yields what a
// guest would see, of any other the file.
func (s *Pools) Download(ctx context.Context, spec PoolSpec, name string, offset, length uint64) (Download, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j, err := s.reading(spec, name)
	if err != nil {
		return nil, err
	}
	d, err := s.openDownload(j, offset, length)
	if err != nil {
		j.end(nil)
		return nil, err
	}
	return d, nil
}

func (s *Pools) openDownload(j *job, offset, length uint64) (*download, error) {
	end, err := span(j.info.Path, offset, length)
	if err != nil {
		return nil, err
	}
	image, err := s.openImage(j)
	if err != nil {
		return nil, err
	}
	end = max(min(end, image.Size()), int64(offset))
	return &download{job: j, image: image, path: j.info.Path, at: int64(offset), end: end}, nil
}

// openImage opens a volume for reading. A guest may be writing it: then the
// content is that of different moments, as in libvirt.
func (s *Pools) openImage(j *job) (image, error) {
	d, err := openDir(j.target)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := d.openForReading(j.info.Name)
	if err != nil {
		return nil, systemErr(err, "Unable to open stream for '%s'", j.info.Path)
	}
	if j.info.Format == imgformat.COW {
		return s.openMerged(f, j.info)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, systemErr(err, "Unable to access stream for '%s'", j.info.Path)
	}
	return &rawImage{f, info.Size()}, nil
}

// rawImage is a file as it is.
type rawImage struct {
	*os.File
	size int64
}

func (r *rawImage) Size() int64 { return r.size }

func (r *rawImage) NextData(off int64) (start, end int64, err error) {
	start, end, err = nextExtent(r.File, off, r.size)
	if errors.Is(err, errNoHoles) {
		return off, r.size, nil
	}
	return start, end, err
}

// Read reads on; holes read as zeros.
func (d *download) Read(p []byte) (int, error) {
	if d.at >= d.end {
		return 0, io.EOF
	}
	n, err := d.image.ReadAt(p[:min(int64(len(p)), d.end-d.at)], d.at)
	d.at += int64(n)
	if errors.Is(err, io.EOF) {
		d.end = d.at // the file has become shorter
	} else if err != nil {
		return n, systemErr(err, "Unable to read %s", d.path)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// NextExtent says what comes next: data, or a hole, and how many bytes.
func (d *download) NextExtent() (data bool, length int64, err error) {
	if d.at >= d.end {
		return false, 0, nil
	}
	if d.at < d.known {
		return true, d.known - d.at, nil
	}
	start, end, err := d.image.NextData(d.at)
	if errors.Is(err, io.EOF) {
		return false, d.end - d.at, nil
	}
	if err != nil {
		return false, 0, systemErr(err, "unable to seek in %s", d.path)
	}
	start, end = min(max(start, d.at), d.end), min(end, d.end)
	if start > d.at {
		return false, start - d.at, nil
	}
	d.known = end
	return true, end - d.at, nil
}

// SkipHole moves on by n bytes.
func (d *download) SkipHole(n int64) error {
	if n < 0 || n > d.end-d.at {
		return systemErr(unix.EINVAL, "unable to seek in %s", d.path)
	}
	d.at += n
	return nil
}

// Close ends the download.
func (d *download) Close() error {
	var err error
	d.close.Do(func() {
		err = wrapSystem(d.image.Close(), "Unable to close '%s'", d.path)
		d.job.end(nil)
	})
	return err
}
