package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// documentMax is the largest file that is read, in bytes. A client cannot send
// a longer document than 4 MiB (libvirt's VIR_NET_MESSAGE_STRING_MAX); the
// rest is room for what the daemon adds to it.
const documentMax = 8 << 20

var errNotRegular = errors.New("not a regular file")

// Load reads every NAME.xml of f on all CPUs. The results are in the order of
// the file names, and so are the problems.
func Load[T any](ctx context.Context, f *Folder, decode func(name string, data []byte) (T, error)) ([]T, []Problem, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read folder %s: %w", f.path, err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := domainName(e.Name()); ok {
			names = append(names, name)
		}
	}

	values := make([]T, len(names))
	errs := make([]error, len(names))
	eachOnAllCPUs(ctx, len(names), func(i int) {
		data, err := f.read(names[i] + suffix)
		if err == nil {
			values[i], err = decode(names[i], data)
		}
		errs[i] = err
	})
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("cannot read folder %s: %w", f.path, err)
	}

	good := values[:0]
	var problems []Problem
	for i, err := range errs {
		if err != nil {
			problems = append(problems, Problem{Path: f.Join(names[i] + suffix), Err: err})
			continue
		}
		good = append(good, values[i])
	}
	return good, problems, nil
}

// eachOnAllCPUs calls do for 0 to n-1 and returns when all are done, or when
// ctx ends and those begun are done.
func eachOnAllCPUs(ctx context.Context, n int, do func(i int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	defer workers.Wait()
	defer close(next)
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			return
		}
	}
}

// read returns a regular file's content. O_NONBLOCK keeps a FIFO of that name
// from blocking the open.
func (f *Folder) read(name string) ([]byte, error) {
	in, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	if info.Size() > documentMax {
		return nil, fmt.Errorf("%d bytes long, at most %d are read", info.Size(), documentMax)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	return data, nil
}
