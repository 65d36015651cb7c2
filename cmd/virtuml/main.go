// virtuml makes images for User Mode Linux guests and runs commands in guests,
// through the daemon virtumld. As process 1 under the name init it is the init
// of such a guest.
package main

import (
	"os"
	"path/filepath"

	"virtumld/internal/guestinit"
	"virtumld/internal/virtuml"
)

// version is set when the program is linked.
var version = "unknown"

func main() {
	if os.Getpid() == 1 && filepath.Base(os.Args[0]) == "init" {
		guestinit.Main()
	}
	os.Exit(virtuml.Main(version))
}
