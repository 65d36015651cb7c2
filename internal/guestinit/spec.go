// Package guestinit is the init of the guests that "virtuml run" starts: pid 1
// of a container image's root filesystem on a User Mode Linux kernel. It
// mounts what a program expects, runs the one command that the specification
// disk names, passes its streams over the console (package link), writes the
// command's result back to that disk and powers off. Without such a disk it is
// the init of an image that has none: the image's command gets the console. It
// knows neither libvirt nor the host.
package guestinit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The specification disk: the Spec, then the Result, both JSON padded with
// NULs.
const (
	// DiskSize is the whole disk's length in bytes.
	DiskSize = 64 << 10
	// resultOffset is where the Result begins, and thereby the most bytes
	// that a Spec may have.
	resultOffset = 60 << 10
)

// Format is the version of Spec and Result.
const Format = 1

// magic is how each specification begins, so that no other disk is taken for
// one; anyMagic is how those of all versions do.
var magic = fmt.Sprintf(anyMagic+`%d,`, Format)

const anyMagic = `{"virtuml":`

// Spec is what the guest is to run.
type Spec struct {
	// Virtuml is Format. It stays the first field: see magic.
	Virtuml int `json:"virtuml"`
	// Hostname is the guest's name.
	Hostname string `json:"hostname,omitempty"`
	// Args are the command's, in place of the image's own Cmd; they follow
	// the image's Entrypoint as a container's do. Entrypoint replaces it.
	Args       []string `json:"args,omitempty"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Env are NAME=VALUE words that win over the image's.
	Env []string `json:"env,omitempty"`
	// User (name or number, with :group) and Workdir replace the image's.
	User    string `json:"user,omitempty"`
	Workdir string `json:"workdir,omitempty"`
	// Terminal gives the command a terminal of Rows and Columns; without
	// it has pipes.
	Terminal bool   `json:"terminal,omitempty"`
	Rows     uint16 `json:"rows,omitempty"`
	Columns  uint16 `json:"columns,omitempty"`
	// Attached says that somebody at the console answers with link.Ack.
	Attached bool `json:"attached,omitempty"`
	// Discard says that nobody wants the disk's content afterwards.
	Discard bool `json:"discard,omitempty"`
	// Mounts are shared folders of the host.
	Mounts []Mount `json:"mounts,omitempty"`
}

// Mount is a shared folder of the host: Share is its name below the kernel's
// hostfs=, Target the absolute path in the guest.
type Mount struct {
	Share    string `json:"share"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Result is how the command has ended: by Exit, by Signal if that is not 0,
// or not at all, with Error saying why it could not be started.
type Result struct {
	Exit   int    `json:"exit"`
	Signal int    `json:"signal,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Status is the exit status that a shell would report, 0 to 255.
func (r Result) Status() int {
	if r.Signal != 0 {
		return (128 + r.Signal) & 0xff
	}
	return r.Exit & 0xff
}

// ErrNoResult says that a disk holds no Result: the command has not ended.
var ErrNoResult = errors.New("the guest has left no result")

// errNotSpec says that a disk is not a specification disk.
var errNotSpec = errors.New("not a specification disk")

// EncodeDisk is a whole specification disk without a result.
func EncodeDisk(spec Spec) ([]byte, error) {
	spec.Virtuml = Format
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	if len(text) >= resultOffset {
		return nil, fmt.Errorf("the command and its environment have %d bytes, more than %d; shorten them", len(text), resultOffset-1)
	}
	disk := make([]byte, DiskSize)
	copy(disk, text)
	return disk, nil
}

// DecodeSpec reads the Spec of a whole disk.
func DecodeSpec(disk []byte) (Spec, error) {
	if len(disk) < DiskSize || !bytes.HasPrefix(disk, []byte(anyMagic)) {
		return Spec{}, errNotSpec
	}
	if !bytes.HasPrefix(disk, []byte(magic)) {
		return Spec{}, errors.New("the image was made by another version of virtuml than the one that runs it: import it anew")
	}
	var spec Spec
	if err := json.Unmarshal(padded(disk[:resultOffset]), &spec); err != nil {
		return Spec{}, fmt.Errorf("the specification disk is damaged: %w", err)
	}
	return spec, spec.check()
}

// DecodeResult reads the Result of a whole disk, which a guest may have
// written as it liked.
func DecodeResult(disk []byte) (Result, error) {
	if len(disk) < DiskSize {
		return Result{}, fmt.Errorf("the specification disk has %d bytes, want %d", len(disk), DiskSize)
	}
	text := padded(disk[resultOffset:DiskSize])
	if len(text) == 0 {
		return Result{}, ErrNoResult
	}
	var result Result
	if err := json.Unmarshal(text, &result); err != nil {
		return Result{}, fmt.Errorf("the guest's result cannot be read: %w", err)
	}
	return result, nil
}

// encodeResult is what is written at resultOffset.
func encodeResult(r Result) []byte {
	const room = DiskSize - resultOffset
	text, err := json.Marshal(r)
	if err != nil || len(text) > room {
		r.Error = "the reason is too long to tell"
		text, _ = json.Marshal(r) // numbers and a short string do not fail
	}
	out := make([]byte, room)
	copy(out, text)
	return out
}

// padded is the part of b before its padding.
func padded(b []byte) []byte {
	text, _, _ := bytes.Cut(b, []byte{0})
	return text
}

// check refuses what system calls would cut short or misread.
func (s Spec) check() error {
	for _, list := range [][]string{s.Args, s.Entrypoint, s.Env, {s.Hostname, s.User, s.Workdir}} {
		for _, word := range list {
			if strings.ContainsRune(word, 0) {
				return fmt.Errorf("the specification holds a NUL in %q", word)
			}
		}
	}
	for _, m := range s.Mounts {
		if !strings.HasPrefix(m.Share, "/") || !strings.HasPrefix(m.Target, "/") || strings.ContainsAny(m.Share, "\x00,") || strings.ContainsRune(m.Target, 0) {
			return fmt.Errorf("the specification's mount of %q at %q is not of absolute paths", m.Share, m.Target)
		}
	}
	return nil
}
