// Package vhost stands between a guest's kernel and the vhost-user back ends of
// its network devices: it passes their messages on, and gives the kernel what
// not every back end offers. The guest gets the MAC address of its definition,
// and kernels that fail without a channel for the back end's own requests
// (Linux before 7.2; arch/um/drivers/virtio_uml.c, vu_setup_vq_call_fd) are
// told that there is one. It answers in place of a back end that has ended, so
// that the kernel can shut its device down. Frames do not come by here: kernel and back end
// share the guest's memory. It knows neither the kernel's command line nor the
// daemon.
//
// The protocol is QEMU's (docs/interop/vhost-user.rst).
package vhost
