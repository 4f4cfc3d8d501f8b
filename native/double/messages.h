// The two system calls of macOS for many datagrams at once. VMNET_DOUBLE_MESSAGES in the
// environment: `missing`, there are none; `refused`, they do not serve these sockets.
#ifndef VMNET_DOUBLE_MESSAGES_H_
#define VMNET_DOUBLE_MESSAGES_H_

namespace vmnet_double {

bool IsMessageCall(const char* name);
// What a look-up of such a name gives.
void* FindMessageCall(const char* name);

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_MESSAGES_H_
