// Command gen writes the man pages of virtuml into the folder of its argument.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra/doc"

	"virtumld/internal/virtuml"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	date := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC) // the release's
	root := virtuml.Command("")
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "virtumld", Manual: "User Mode Linux guests", Date: &date}
	return doc.GenManTree(root, header, dir)
}
