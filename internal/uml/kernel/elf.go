package kernel

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"
)

// machines are libvirt's names (src/util/virarch.c) of the machines that UML
// has been built for.
var machines = map[elf.Machine]string{
	elf.EM_X86_64:  "x86_64",
	elf.EM_386:     "i686",
	elf.EM_AARCH64: "aarch64",
	elf.EM_ARM:     "armv7l",
	elf.EM_RISCV:   "riscv64",
}

// inspect reads the binary's ELF header into c and returns its interpreter,
// "" for a static one.
func (c *Caps) inspect(file *os.File) (interpreter string, err error) {
	f, err := elf.NewFile(file)
	if err != nil {
		return "", fmt.Errorf("it is not an ELF program")
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return "", fmt.Errorf("it is an ELF file of type %s, not a program", f.Type)
	}
	arch, ok := machines[f.Machine]
	if !ok {
		return "", fmt.Errorf("it is built for %s", f.Machine)
	}
	c.Arch = arch
	c.WordSize = 64
	if f.Class == elf.ELFCLASS32 {
		c.WordSize = 32
	}
	for _, prog := range f.Progs {
		if prog.Type != elf.PT_INTERP {
			continue
		}
		if prog.Filesz > 4096 {
			return "", fmt.Errorf("its ELF interpreter's name is too long")
		}
		name := make([]byte, prog.Filesz)
		if _, err := prog.ReadAt(name, 0); err != nil {
			return "", fmt.Errorf("its ELF interpreter cannot be read: %w", err)
		}
		interpreter, _, _ = strings.Cut(string(name), "\x00")
	}
	c.StaticLink = interpreter == ""
	return interpreter, nil
}

// parseLibraries reads what an ELF interpreter's --list prints: lines of
// "NAME => PATH (ADDRESS)" or "PATH (ADDRESS)".
func parseLibraries(text string) ([]string, error) {
	var libraries []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		name, path, arrow := strings.Cut(line, " => ")
		if !arrow {
			path = line
		}
		if strings.HasPrefix(path, "not found") {
			return nil, fmt.Errorf("its library %s is not installed", name)
		}
		path, _, _ = strings.Cut(path, " (")
		if strings.HasPrefix(path, "/") { // the vDSO has no path
			libraries = append(libraries, path)
		}
	}
	return libraries, nil
}
