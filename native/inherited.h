// What a process inherits and Node changes at its start: the launcher writes it down before it
// starts Node, and exec puts it back. As text, in an environment variable, because the two are
// different programs:
//
//   ignored signals (hex mask, bit n-1 for signal n) : blocked signals (same) :
//   soft limit of open files (decimal, - for none) : descriptors, comma-separated, each NUMBER or
//   NUMBERn when it was non-blocking
//
// Node resets every disposition but SIGPIPE and SIGXFSZ (which it ignores), clears the mask, sets
// close-on-exec on what it inherited, raises the limit of open files, and may make pipes and
// terminals non-blocking.
#ifndef VMBRIDGE_INHERITED_H_
#define VMBRIDGE_INHERITED_H_

#define VMBRIDGE_INHERITED "VMBRIDGE_INHERITED"
// Signals 1 to 64 fit the masks: all that Linux and macOS have.
#define VMBRIDGE_SIGNALS 64
// Descriptors from here on are not noted.
#define VMBRIDGE_DESCRIPTORS 4096

// Before the name of a variable that is for the program which is started in the end, and not for
// Node, which would obey it: exec takes it off.
#define VMBRIDGE_KEPT "VMBRIDGE_KEPT_"

#endif  // VMBRIDGE_INHERITED_H_
