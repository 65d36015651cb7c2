package locate

import (
	"context"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/spf13/cobra"

	"virtumld/internal/virtuml/connect"
)

// completionTime is how long a shell waits for the daemon.
const completionTime = 2 * time.Second

// First completes the first word of a command as a volume, and the others as
// the shell does.
func (p *Place) First(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return p.Each(cmd, args, word)
}

// Each completes every word of a command as a volume.
func (p *Place) Each(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	if IsPath(word) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return p.ask(cmd, p.volumes), cobra.ShellCompDirectiveNoFileComp
}

// Inside completes VOLUME:PATH as far as the colon.
func (p *Place) Inside(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	names, directive := p.Each(cmd, args, word)
	for i := range names {
		names[i] += ":/"
	}
	return names, directive | cobra.ShellCompDirectiveNoSpace
}

func (p *Place) completePool(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.ask(cmd, func(l *libvirt.Libvirt) []string {
		var names []string
		for _, pool := range started(l) {
			names = append(names, pool.Name)
		}
		return names
	}), cobra.ShellCompDirectiveNoFileComp
}

// ask is what a daemon says; without one there is nothing to complete.
func (p *Place) ask(cmd *cobra.Command, question func(*libvirt.Libvirt) []string) []string {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	l, err := connect.Dial(ctx, p.URI)
	if err != nil {
		return nil
	}
	defer func() { _ = l.Disconnect() }()
	return question(l)
}

// volumes are the names of all volumes: short in the pool of --pool.
func (p *Place) volumes(l *libvirt.Libvirt) []string {
	var names []string
	for _, pool := range started(l) {
		vols, _, err := l.StoragePoolListAllVolumes(pool, 1, 0)
		if err != nil {
			continue // stopped meanwhile
		}
		for _, vol := range vols {
			if pool.Name != p.Pool {
				vol.Name = pool.Name + "/" + vol.Name
			}
			names = append(names, vol.Name)
		}
	}
	return names
}

// started are the pools whose volumes are known.
func started(l *libvirt.Libvirt) []libvirt.StoragePool {
	pools, _, err := l.ConnectListAllStoragePools(1, libvirt.ConnectListStoragePoolsActive)
	if err != nil {
		return nil
	}
	return pools
}
