// What Node's own modules cannot do to a process: become another program in place, lock a file,
// look a group up.
#ifndef VMBRIDGE_PROCESS_H_
#define VMBRIDGE_PROCESS_H_

#include <napi.h>

namespace vmbridge {

// exec({file, args, env, fd, inherited}): replaces this process by `file` (searched in env's PATH
// as execvp does) with `args` (argv[0] included) and `env` ("NAME=value" strings); `fd` becomes
// descriptor 3. `inherited` is what bin/launcher noted of the process before Node started, or
// undefined: signal dispositions and mask, descriptors, their blocking modes and the limit on open
// files are put back as they were. Returns only by throwing a system error.
Napi::Value Exec(const Napi::CallbackInfo& info);

// lock(fd) => boolean: takes an exclusive flock without waiting; false when another process has it.
Napi::Value Lock(const Napi::CallbackInfo& info);

// now() => number: ms of the clock that the loops' time is of, monotonic.
Napi::Value Now(const Napi::CallbackInfo& info);

// groupId(name) => gid | undefined: the group's number, by the system's own directory.
Napi::Value GroupId(const Napi::CallbackInfo& info);

}  // namespace vmbridge

#endif  // VMBRIDGE_PROCESS_H_
