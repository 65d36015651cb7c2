package kernel

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
)

// Version is a kernel's version number, without a local suffix.
type Version struct{ Major, Minor, Patch int }

// String is the number as "6.1.176".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Caps are what a kernel can do.
type Caps struct {
	// Path is the binary's absolute path as it was asked for.
	Path string
	// Release is what --version prints ("6.1.176"), Version its numbers.
	Release string
	Version Version
	// Arch is libvirt's name of the machine ("x86_64", "i686", "aarch64"),
	// WordSize 32 or 64.
	Arch     string
	WordSize int

	// Mconsole is CONFIG_MCONSOLE, Hostfs CONFIG_HOSTFS, VecNet
	// CONFIG_UML_NET_VECTOR, UBD CONFIG_BLK_DEV_UBD, Initrd
	// CONFIG_BLK_DEV_INITRD (each built in).
	Mconsole, Hostfs, VecNet, UBD, Initrd bool
	// VirtioUML is CONFIG_VIRTIO_UML, built in: devices whose other half is
	// a process behind a vhost-user socket.
	VirtioUML bool
	// SMP says that the kernel runs more than one virtual CPU: it is built
	// for it and takes ncpus=. NrCPUs is the most it takes, at least 1.
	SMP    bool
	NrCPUs int
	// SeccompOption and NoRebootOption say that the kernel takes seccomp=
	// and noreboot.
	SeccompOption, NoRebootOption bool
	// UBDSerial says that ubdN= takes a serial number as a third field.
	UBDSerial bool

	// StaticLink says that the binary needs no interpreter. Libraries are
	// the interpreter and the shared libraries otherwise, absolute paths.
	StaticLink bool
	Libraries  []string
}

// configured reads what a kernel says of itself. Its help tells options from
// releases that lack them (arch/um, the __uml_setup texts).
func (c *Caps) configured(release, help, showconfig string) error {
	c.Release = strings.TrimSpace(release)
	version, err := parseVersion(c.Release)
	if err != nil {
		return err
	}
	c.Version = version
	config := parseConfig(showconfig)
	if config["CONFIG_UML"] != "y" {
		return fmt.Errorf("its configuration lacks CONFIG_UML=y")
	}
	c.Mconsole = config["CONFIG_MCONSOLE"] == "y"
	c.Hostfs = config["CONFIG_HOSTFS"] == "y"
	c.VecNet = config["CONFIG_UML_NET_VECTOR"] == "y"
	c.VirtioUML = config["CONFIG_VIRTIO_UML"] == "y"
	c.UBD = config["CONFIG_BLK_DEV_UBD"] == "y"
	c.Initrd = config["CONFIG_BLK_DEV_INITRD"] == "y"
	options := parseHelp(help)
	c.NrCPUs = 1
	if n, err := strconv.Atoi(config["CONFIG_NR_CPUS"]); err == nil && n > 1 && options["ncpus="] {
		c.NrCPUs = n
	}
	c.SMP = config["CONFIG_SMP"] == "y" && c.NrCPUs > 1
	c.SeccompOption = options["seccomp="]
	c.NoRebootOption = options["noreboot"]
	c.UBDSerial = strings.Contains(help, "<filename2>][(:|,)<serial>]")
	return nil
}

// parseVersion reads "6.1.176", "7.2-rc1" or "6.12.3-custom".
func parseVersion(release string) (Version, error) {
	numbers, _, _ := strings.Cut(release, "-")
	numbers, _, _ = strings.Cut(numbers, "+")
	parts := strings.Split(numbers, ".")
	if len(parts) < 2 || len(parts) > 4 {
		return Version{}, fmt.Errorf("%q is not a kernel version", release)
	}
	var values [3]int
	for i := range min(len(parts), 3) {
		n, err := strconv.ParseUint(parts[i], 10, 31)
		if err != nil {
			return Version{}, fmt.Errorf("%q is not a kernel version", release)
		}
		values[i] = int(n)
	}
	return Version{values[0], values[1], values[2]}, nil
}

// parseConfig reads a .config: NAME=VALUE lines, strings unquoted.
func parseConfig(text string) map[string]string {
	config := make(map[string]string)
	scanner := bufio.NewScanner(strings.NewReader(text))
	for scanner.Scan() {
		if name, value, ok := strings.Cut(scanner.Text(), "="); ok && strings.HasPrefix(name, "CONFIG_") {
			config[name] = strings.Trim(value, `"`)
		}
	}
	return config
}

// parseHelp finds the options that --help lists: each starts a line at the
// left edge. "ncpus=<# of CPUs>" is kept as "ncpus=", "noreboot" as itself.
func parseHelp(text string) map[string]bool {
	options := make(map[string]bool)
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		if name, _, ok := strings.Cut(line, "="); ok {
			options[name+"="] = true
		} else {
			options[strings.TrimSpace(line)] = true
		}
	}
	return options
}
