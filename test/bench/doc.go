// Package bench measures virtumld against what a user would compare it with:
// a kernel started by hand, libvirtd, the disk. Both sides of a comparison run
// in turns in one run on one machine, and what is reported is their ratio.
// Nothing is asserted: times of a busy machine are no test.
//
// "make bench" runs it; docs/benchmarks.md says what each line means.
package bench
