// Package capture is "virtuml network capture": what passes through a virtual
// network or one interface of a guest, as pcapng, while both run. It asks a
// daemon, through libvirt's API, what there is, and the network's own process
// for the frames. It changes nothing and looks into no frame.
package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"virtumld/internal/netd"
	"virtumld/internal/virtuml/connect"
)

// options are the command line's.
type options struct{ uri, file string }

// Command is "virtuml network", with what is below it.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Look into virtual networks",
		Long:  `Looks into virtual networks and guests' interfaces. Networks are made, started and changed by virsh.`,
	}
	cmd.AddCommand(captureCommand())
	return cmd
}

func captureCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "capture NETWORK|DOMAIN[:INTERFACE]",
		Short: "Capture the traffic of a network or of a guest's interface",
		Long: `Writes the frames of a virtual network, or of one interface of a running guest,
as pcapng, which Wireshark and tcpdump read. It ends by ^C, or with the network,
and then says how many frames it has written.

INTERFACE is what the guest calls it (vec0), what "virsh domiflist" calls it
(vnet0), its MAC address or its alias; a guest with one interface needs none.
NETWORK and DOMAIN are names or uuids.

Each frame of a network is there once, as it came in; of an interface there is
what the guest sent and what it was sent. The ports of the network are the
capture's interfaces. Frames that come faster than they can be written are
left out, and never held up.

The capture needs the rights of who runs the daemon: for uml:///system root's.`,
		Example: `  virtuml network capture default -w default.pcapng
  virtuml network capture web:vec0 | tcpdump -n -r -
  virtuml network capture --connect uml:///session lab | wireshark -k -i -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&o.uri, "connect", "c", "", "daemon to ask, such as uml:///session (default: as virsh chooses)")
	cmd.Flags().StringVarP(&o.file, "write", "w", "-", "file to write; - is standard output")
	_ = cmd.RegisterFlagCompletionFunc("connect", cobra.FixedCompletions([]string{connect.System, connect.Session}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = o.complete
	return cmd
}

// run captures until ctx ends, which is how it is meant to end.
func (o *options) run(ctx context.Context, name string, stdout, stderr io.Writer) error {
	if file, ok := stdout.(*os.File); o.file == "-" && ok && term.IsTerminal(int(file.Fd())) {
		return errors.New("network capture: a terminal cannot show pcapng: give -w FILE, or pipe it into wireshark -k -i -")
	}
	at, err := find(ctx, o.uri, name)
	if err != nil {
		return fmt.Errorf("network capture: %w", err)
	}
	out := stdout
	if o.file != "-" {
		// What passes is nobody else's business.
		file, err := os.OpenFile(o.file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("network capture: %w", err)
		}
		defer file.Close()
		out = file
	}
	count, err := capture(ctx, at, out, stderr)
	fmt.Fprintf(stderr, "%d frames of %s captured\n", count, at.name)
	if err != nil {
		return fmt.Errorf("network capture: %w", err)
	}
	return nil
}

// capture writes what passes at a place to out until ctx ends, and counts it.
// It tells once it has begun.
func capture(ctx context.Context, at place, out, tell io.Writer) (count int, err error) {
	client, err := netd.Dial(ctx, at.dir)
	if err != nil {
		return 0, at.explain(err)
	}
	defer client.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer read.Close()
	// When out takes no more, the network's process is to stop, too.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer write.Close()
		ended <- client.Capture(ctx, at.port, write)
	}()
	count, err = countFrames(io.TeeReader(read, out), func() { fmt.Fprintf(tell, "capturing %s; ^C ends it\n", at.name) })
	stop()
	read.Close()
	return count, errors.Join(err, <-ended)
}

// countFrames reads pcapng to its end; begun is called when it has begun.
func countFrames(r io.Reader, begun func()) (int, error) {
	pcap, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{})
	if err == nil {
		begun()
	}
	for count := 0; ; count++ {
		if err == nil {
			_, _, err = pcap.ZeroCopyReadPacketData()
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return count, nil // why it ended is the network's process to say
		case err != nil:
			return count, err
		}
	}
}
