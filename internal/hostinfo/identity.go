package hostinfo

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Hostname is the host's name, with its domain where /etc/hosts tells it. A
// name server is not asked: a slow one would hold the caller up.
func (h *Host) Hostname() (string, error) {
	name, err := h.read("proc/sys/kernel/hostname")
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", fmt.Errorf("the host has no name (/proc/sys/kernel/hostname is empty)")
	}
	if strings.HasPrefix(name, "localhost") || strings.Contains(name, ".") {
		return name, nil
	}
	hosts, err := h.read("etc/hosts")
	if err != nil {
		return name, nil // no such file, no domain
	}
	return canonicalName(hosts, name), nil
}

// canonicalName returns the first name of the line of hosts(5) that has name,
// or name itself when there is none or it is localhost.
func canonicalName(hosts, name string) string {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		for _, alias := range fields[1:] {
			if !strings.EqualFold(alias, name) {
				continue
			}
			if strings.HasPrefix(fields[1], "localhost") {
				return name
			}
			return fields[1]
		}
	}
	return name
}

// UUID is the host's uuid: the configured one, or the firmware's, which only
// root may read, or the machine's id, or a random one that lasts as long as
// this Host.
func (h *Host) UUID() uuid.UUID { return h.uuid() }

func (h *Host) findUUID(opts Options) uuid.UUID {
	if validHostUUID(opts.UUID) {
		return opts.UUID
	}
	sources := []string{
		"sys/devices/virtual/dmi/id/product_uuid",
		"sys/class/dmi/id/product_uuid",
		"etc/machine-id",
	}
	if opts.MachineID {
		sources = sources[2:]
	}
	for _, name := range sources {
		text, err := h.read(name)
		if err != nil {
			continue
		}
		if id, err := uuid.Parse(text); err == nil && validHostUUID(id) {
			return id
		}
	}
	return uuid.New()
}

// validHostUUID refuses what firmware without an identity says: one byte over
// and over (libvirt's virUUIDIsValid).
func validHostUUID(id uuid.UUID) bool {
	for _, b := range id {
		if b != id[0] {
			return true
		}
	}
	return false
}
