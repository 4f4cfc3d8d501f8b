// macOS's <uuid/uuid.h>: the type alone.
#ifndef VMNET_DOUBLE_UUID_UUID_H_
#define VMNET_DOUBLE_UUID_UUID_H_

typedef unsigned char uuid_t[16];

#endif  // VMNET_DOUBLE_UUID_UUID_H_
