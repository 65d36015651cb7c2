// Package xdr encodes and decodes go-libvirt's argument, reply and message
// structs as XDR (RFC 4506), the way libvirt's rpcgen code does. A type is
// compiled once into a [Plan]; a call then runs the plan over the struct's
// memory, without reflection.
//
// What differs from the obvious mapping, because libvirt's .x files say so:
//   - every integer below 64 bits takes four bytes, so a C char inside a
//     struct, a char array ([32]int8) and a char list ([]int8) take four bytes
//     per element;
//   - []byte and [N]byte are opaque: raw bytes, padded with zeroes to four;
//   - a slice type named Opt… is an optional value, held as a slice of none or one;
//   - libvirt.TypedParamValue is the one union, with the arms 1 to 7.
//
// Decoding trusts nothing: a count is checked against the field's limit and
// against the bytes that are left before anything is allocated, padding must
// be zero, a string holds no NUL, and no byte may be left over. The package
// knows neither packets nor procedures.
package xdr
