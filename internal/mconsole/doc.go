// Package mconsole speaks to UML kernels through their management console: a
// datagram socket that each kernel opens in its umid folder, and the notify
// socket on which kernels report themselves. It knows packets, commands and
// deadlines; it does not know domains, nor who started the kernel.
//
// The protocol is arch/um/drivers/mconsole.h, version 2. It has no request
// numbers and the kernel answers queued requests last in, first out, so a
// Client keeps one request in flight and gives every request a socket of its
// own: a reply that comes after its deadline finds nobody.
package mconsole
