// Apple's <CoreFoundation/CoreFoundation.h>: the one function that macOS 26's network objects need.
#ifndef VMNET_DOUBLE_COREFOUNDATION_COREFOUNDATION_H_
#define VMNET_DOUBLE_COREFOUNDATION_COREFOUNDATION_H_

typedef const void* CFTypeRef;

extern "C" void CFRelease(CFTypeRef object);

#endif  // VMNET_DOUBLE_COREFOUNDATION_COREFOUNDATION_H_
