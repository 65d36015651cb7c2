// Package dispatch is the RPC server: it accepts clients, checks that a call
// may be made, hands it to the driver's method and sends the reply. Around
// that it keeps what belongs to a connection rather than to libvirt's objects:
// authentication, features, keepalive, the queue of event messages and the
// streams. The tables in rows_*.go say which procedures are served and how.
//
// One goroutine per client reads packets. It serves quick calls itself, so
// that such a call costs one read and one write; other calls and streams have
// goroutines of their own. All of them end with the client, and the client
// with [Server.Close].
//
// The package knows nothing of domains or guests.
package dispatch
