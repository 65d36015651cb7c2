// Package dac gives files to an unprivileged user for the life of a guest and
// gives them back, as libvirt's DAC security driver does. A ledger on disk,
// shared by all guests of an instance, remembers who owned a file before, so
// that a file of several guests goes back with the last of them and a crash
// forgets nothing. It knows owners and modes, not guests.
package dac
