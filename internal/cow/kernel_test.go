package cow_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"virtumld/internal/cow"
	"virtumld/internal/uml/kernel/kerneltest"
)

const sectors = 16384

// The kernel is the judge: it must take our file for its own, keep the backing
// file as it is, and find again what it wrote.
func TestKernelUsesOurFile(t *testing.T) {
	t.Parallel()
	dir := kerneltest.ShortDir(t)
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	writeBase(t, base)
	before := sum(t, base)
	if err := cow.Create(path, base); err != nil {
		t.Fatal(err)
	}
	header := head(t, path)

	boot(t, dir, path, "dd if=/dev/ubda bs=512 skip=7 count=1 2>/dev/null | head -c 10 && echo :READ\n"+
		"echo written-by-guest | dd of=/dev/ubda bs=512 seek=9 conv=notrunc 2>/dev/null && echo WRITTEN\n",
		"-base-base:READ", "WRITTEN")
	boot(t, dir, path, "dd if=/dev/ubda bs=512 skip=9 count=1 2>/dev/null | head -c 16\necho :AGAIN\n", "written-by-guest:AGAIN")

	if sum(t, base) != before {
		t.Error("the guest's write reached the backing file")
	}
	if !bytes.Equal(head(t, path), header) {
		t.Error("the kernel rewrote our header")
	}
}

// What a guest wrote is in the backing file after a merge, and the guest goes
// on over it.
func TestKernelGoesOnAfterMerge(t *testing.T) {
	t.Parallel()
	dir := kerneltest.ShortDir(t)
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	writeBase(t, base)
	if err := cow.Create(path, base); err != nil {
		t.Fatal(err)
	}
	boot(t, dir, path, "echo written-by-guest | dd of=/dev/ubda bs=512 seek=9 conv=notrunc 2>/dev/null && echo WRITTEN\n", "WRITTEN")
	if err := merge(t, path); err != nil {
		t.Fatal(err)
	}
	merged, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(merged[9*512:], []byte("written-by-guest")) {
		t.Error("the guest's write is not in the backing file")
	}
	boot(t, dir, path, "dd if=/dev/ubda bs=512 skip=9 count=1 2>/dev/null | head -c 16\necho :AGAIN\n", "written-by-guest:AGAIN")
}

// The smallest disk that a kernel can write to.
func TestKernelWritesToSmallDisk(t *testing.T) {
	t.Parallel()
	dir := kerneltest.ShortDir(t)
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	if err := os.WriteFile(base, make([]byte, cow.MinWritable), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cow.Create(path, base); err != nil {
		t.Fatal(err)
	}
	for _, seek := range []string{"0", "64"} {
		boot(t, dir, path, "echo written-by-guest | dd of=/dev/ubda bs=512 seek="+seek+" conv=notrunc 2>/dev/null && echo WRITTEN\n", "WRITTEN")
	}
	if err := merge(t, path); err != nil {
		t.Fatal(err)
	}
	merged, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 64 * 512} {
		if !bytes.HasPrefix(merged[at:], []byte("written-by-guest")) {
			t.Errorf("the guest's write at %d is not in the backing file", at)
		}
	}
}

// The kernel makes the file itself when it is missing; ours must not differ.
func TestOurFileIsTheKernels(t *testing.T) {
	t.Parallel()
	dir := kerneltest.ShortDir(t)
	base, theirs, ours := filepath.Join(dir, "base"), filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	writeBase(t, base)
	boot(t, dir, theirs+","+base, "dd if=/dev/ubda bs=512 count=1 of=/dev/null 2>/dev/null && echo OPENED\n", "OPENED")
	if err := cow.Create(ours, base); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) {
		t.Fatalf("the kernel's new file has %d bytes, ours %d", len(a), len(b))
	}
	// The kernel leaves garbage behind the path's NUL.
	pathEnd := 32 + len(base) + 1
	for i := range a {
		if a[i] != b[i] && (i < pathEnd || i >= 32+4096) {
			t.Fatalf("byte %d is %#x in the kernel's new file, %#x in ours", i, a[i], b[i])
		}
	}
}

func boot(t *testing.T, dir, disk, script string, shown ...string) {
	t.Helper()
	g := kerneltest.Boot(t, kerneltest.Config{Args: []string{
		"mem=64M", "umid=guest", "uml_dir=" + dir, "initrd=" + kerneltest.Initrd(t, script+"sync\npoweroff -f\n"),
		"con=null", "ssl=null", "con0=fd:3", "ubd0c=" + disk, "noreboot",
	}})
	for _, text := range shown {
		g.WaitFor(t, text)
	}
	if status := g.Wait(t); status.ExitStatus() != 0 {
		t.Fatalf("the guest ended with %v; console:\n%s", status, g.Output())
	}
}

func writeBase(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, bytes.Repeat([]byte("base-"), sectors*512/5), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, sectors*512); err != nil {
		t.Fatal(err)
	}
}

func sum(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// head is the file's header with the padding up to the bitmap.
func head(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data[:8192]
}

func merge(t *testing.T, path string) error {
	t.Helper()
	over, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer over.Close()
	header, err := cow.ReadHeader(over)
	if err != nil {
		return err
	}
	base, err := os.OpenFile(header.Backing, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer base.Close()
	return cow.Merge(t.Context(), over, base, nil)
}
