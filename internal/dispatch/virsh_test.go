package dispatch

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"virtumld/internal/proto"
)

// virshTable is the table that says what each command of virsh does here.
const virshTable = "../../docs/virsh-commands.md"

// virshGroups are the groups of "virsh help" that the table is about.
var virshGroups = []string{"domain", "monitor", "events", "snapshot", "checkpoint", "backup"}

// virshRow is a line of the table.
type virshRow struct {
	command, here string
	procedures    []string
}

var (
	tableLine = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| ([a-z]+) \\| .* \\| ([^|]+) \\|$")
	helpLine  = regexp.MustCompile(`(?m)^    ([a-z][a-z0-9-]*) `)
)

func virshRows(t *testing.T) []virshRow {
	t.Helper()
	text, err := os.ReadFile(virshTable)
	if err != nil {
		t.Fatal(err)
	}
	var list []virshRow
	for _, m := range tableLine.FindAllStringSubmatch(string(text), -1) {
		row := virshRow{command: m[1], here: m[2]}
		for name := range strings.SplitSeq(m[3], ", ") {
			row.procedures = append(row.procedures, strings.Trim(name, "`"))
		}
		list = append(list, row)
	}
	if lines := strings.Count(string(text), "\n| `"); lines != len(list) {
		t.Fatalf("%s has %d lines for commands, of which %d can be read", virshTable, lines, len(list))
	}
	return list
}

// servedNames tells of every procedure by its name whether it is served.
func servedNames() map[string]bool {
	served := newTable(append(rows(), connectionRows()...))
	names := make(map[string]bool)
	for _, program := range []uint32{proto.ProgramRemote, proto.ProgramQEMU, proto.ProgramLXC} {
		for _, p := range proto.Procedures(program) {
			names[p.Name] = served.find(program, p.Number) != nil
		}
	}
	return names
}

// A command that works has all of its procedures, and one that is refused
// lacks one. Once it is served, what it does is to be written down.
func TestVirshTableIsTrue(t *testing.T) {
	t.Parallel()
	served := servedNames()
	for _, row := range virshRows(t) {
		var missing []string
		for _, name := range row.procedures {
			answered, known := served[name]
			if !known {
				t.Errorf("%s: there is no procedure %s", row.command, name)
			}
			if !answered {
				missing = append(missing, name)
			}
		}
		switch row.here {
		case "works", "explained":
			if len(missing) > 0 {
				t.Errorf("%s: the table says %q, but nothing serves %s", row.command, row.here, missing)
			}
		case "refused":
			if len(missing) == 0 {
				t.Errorf("%s: the table says that it is refused, but all of %s are served", row.command, row.procedures)
			}
		default:
			t.Errorf("%s: %q is neither works, explained nor refused", row.command, row.here)
		}
	}
}

// The table has each command of virsh once, and no other.
func TestVirshTableIsComplete(t *testing.T) {
	t.Parallel()
	virsh, err := exec.LookPath("virsh")
	if err != nil {
		t.Skip("virsh (libvirt-clients) is not installed")
	}
	var known, listed []string
	for _, group := range virshGroups {
		out, err := exec.Command(virsh, "help", group).Output()
		if err != nil {
			t.Fatalf("virsh help %s: %v", group, err)
		}
		for _, m := range helpLine.FindAllStringSubmatch(string(out), -1) {
			known = append(known, m[1])
		}
	}
	if len(known) < 100 {
		t.Fatalf("virsh help knows %d commands only: %s", len(known), known)
	}
	for _, row := range virshRows(t) {
		if slices.Contains(listed, row.command) {
			t.Errorf("the table has %s twice", row.command)
		}
		listed = append(listed, row.command)
	}
	for _, command := range known {
		if !slices.Contains(listed, command) {
			t.Errorf("the table lacks %s", command)
		}
	}
	for _, command := range listed {
		if !slices.Contains(known, command) {
			t.Errorf("virsh has no command %s", command)
		}
	}
}
