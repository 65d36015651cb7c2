package capture

import (
	"context"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/spf13/cobra"

	"virtumld/internal/virtuml/connect"
)

// completionTime is how long a shell waits for the daemon.
const completionTime = 2 * time.Second

// complete offers the active networks and the running domains.
func (o *options) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionTime)
	defer cancel()
	l, err := connect.Dial(ctx, o.uri)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer func() { _ = l.Disconnect() }()
	var names []string
	networks, _, _ := l.ConnectListAllNetworks(1, libvirt.ConnectListNetworksActive)
	for _, n := range networks {
		names = append(names, n.Name)
	}
	domains, _, _ := l.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
	for _, d := range domains {
		names = append(names, d.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
