// What Node's own modules cannot do to a process: become another program in place, lock a file,
// look a group up.
#ifndef VMBRIDGE_PROCESS_H_
#define VMBRIDGE_PROCESS_H_

#include <napi.h>

namespace vmbridge {

// ownArguments() => Buffer[]: this process's command line, in the bytes that it was given: they
// need not be UTF-8, as which Node reads them. Node's own options are among them. Empty where the
// system does not tell.
Napi::Value OwnArguments(const Napi::CallbackInfo& info);

// exec({args, fd, inherited}): replaces this process by args[0] (searched in PATH as execvp does)
// with `args`, each a Uint8Array, and this process's environment, in which what the launcher put
// out of Node's sight has its own name again; `fd`, where there is one, becomes descriptor 3, in
// blocking mode. `inherited` is what the launcher noted of the process before Node started
// (inherited.h), or undefined: signal dispositions and mask, descriptors, their blocking modes and
// the limit on open files are put back as they were. Returns only by throwing a system error, after
// which the process should end.
Napi::Value Exec(const Napi::CallbackInfo& info);

// exitNow(status): ends the process without waiting for the threads of the pool, one of which may
// be stuck in a write to a stderr that nobody reads.
Napi::Value ExitNow(const Napi::CallbackInfo& info);

// lock(fd) => boolean: takes an exclusive flock without waiting; false when another process has it.
Napi::Value Lock(const Napi::CallbackInfo& info);

// now() => number: ms of the clock that the loops' time is of, monotonic.
Napi::Value Now(const Napi::CallbackInfo& info);

// sleptFor() => number: ms that this machine has been asleep since it started.
Napi::Value SleptFor(const Napi::CallbackInfo& info);

// userOf(name) => {name, uid, gid} | undefined: by name or by number, from the system's own
// directory.
Napi::Value UserOf(const Napi::CallbackInfo& info);

// groupId(name) => gid | undefined: the group's number, by the system's own directory.
Napi::Value GroupId(const Napi::CallbackInfo& info);

}  // namespace vmbridge

#endif  // VMBRIDGE_PROCESS_H_
