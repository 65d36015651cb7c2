// Package rootfs finds out where a root filesystem comes from (a container
// image, a tarball, a folder) and turns it into one flat stream of tar
// entries, checked and within limits. It does not know what becomes of the
// stream: neither filesystems, nor pools, nor guests.
package rootfs
