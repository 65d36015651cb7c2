package imgformat

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Usable says whether a User Mode Linux guest reads images of format f as its
// disks: raw and cow. For every other it returns ErrConfigUnsupported with the
// way to make a raw image of it.
func Usable(f Format) error {
	if f == Raw || f == COW {
		return nil
	}
	return virerr.In(virerr.Storage, libvirt.ErrConfigUnsupported,
		"a User Mode Linux guest reads images of format raw and cow only, not '%s': %s", f, advice(f))
}

// advice says how to come from an image IN of format f to one that a guest
// can use, OUT.
func advice(f Format) string {
	switch f {
	case ISO:
		return "unpack it and make a file system of its files: xorriso -osirrox on -indev IN -extract / DIR && mke2fs -t ext4 -d DIR OUT SIZE"
	case Dir:
		return "make a file system of the folder: mke2fs -t ext4 -d IN OUT SIZE"
	case LUKS:
		return "decrypt it: qemu-img convert --object secret,id=key,file=PASSPHRASE_FILE --image-opts -O raw driver=luks,key-secret=key,file.filename=IN OUT"
	default:
		return "convert it: qemu-img convert -O raw IN OUT"
	}
}
