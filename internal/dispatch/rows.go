package dispatch

import "slices"

// rows are the procedures that are served. Every other one is answered with
// NO_SUPPORT.
func rows() []row {
	return slices.Concat(connectRows(), domainRows(), nodeRows(), eventRows(), storageRows(), networkRows(), secondaryRows())
}
