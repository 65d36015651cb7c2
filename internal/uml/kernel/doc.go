// Package kernel asks a UML kernel binary what it can do. Kernels differ by
// version and configuration, so nothing about them is assumed: the binary's
// own --version, --help and --showconfig are read, and its ELF header. The
// package knows nothing of domains or of running guests.
package kernel
