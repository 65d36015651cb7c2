// Package domain is the model: domains with their persistent and live sides,
// states and reasons, jobs and events. State changes under one short lock per
// domain that is never held over I/O to a guest or a client; reading never
// waits for a hung guest. It declares the Machine that runs guests and knows
// neither UML nor the wire.
package domain
