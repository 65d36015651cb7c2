package ext4img

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// punch frees what was written and then replaced, so that nothing of removed
// files is left. Files that have no holes keep it.
func (w *Writer) punch(bitmap []byte) error {
	f, ok := w.out.f.(*os.File)
	if !ok {
		return nil
	}
	if err := w.out.flush(); err != nil {
		return err
	}
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	for block := uint32(0); block < w.space.next; {
		if bitmap[block/8]&(1<<(block%8)) != 0 {
			block++
			continue
		}
		start := block
		for block < w.space.next && bitmap[block/8]&(1<<(block%8)) == 0 {
			block++
		}
		err := unix.Fallocate(int(f.Fd()), mode, int64(start)*blockSize, int64(block-start)*blockSize)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("fallocate", err)
		}
	}
	return nil
}
