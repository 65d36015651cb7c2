// Package console serves the console and serial lines of one guest: it takes
// what the kernel writes as fast as it comes, so that no reader can stall a
// guest, and hands it to the line's source (a pty, a listener, a device, a
// file) and log. It knows bytes and descriptors, not guests or their states.
package console
