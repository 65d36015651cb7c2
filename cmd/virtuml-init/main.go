// virtuml-init is the init of guests that "virtuml run" starts, as a program of
// its own: it is read from the guest's disk at each start, and virtuml itself,
// which can do the same, is five times as large.
package main

import (
	"fmt"
	"os"

	"virtumld/internal/guestinit"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "virtuml-init: this is the init of User Mode Linux guests; virtuml image import puts it into images")
		os.Exit(1)
	}
	guestinit.Main()
}
