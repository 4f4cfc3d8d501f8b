// Apple's <dispatch/dispatch.h> as far as vmnet's callers here need it: serial queues. The types
// are Apple's for C++ (objects that only convert to dispatch_object_t); the code is
// native/double/dispatch.cc.
#ifndef VMNET_DOUBLE_DISPATCH_DISPATCH_H_
#define VMNET_DOUBLE_DISPATCH_DISPATCH_H_

typedef struct dispatch_object_s {
 private:
  dispatch_object_s();
  ~dispatch_object_s();
  dispatch_object_s(const dispatch_object_s&);
  void operator=(const dispatch_object_s&);
} * dispatch_object_t;

typedef struct dispatch_queue_s : public dispatch_object_s{} * dispatch_queue_t;
typedef struct dispatch_queue_attr_s : public dispatch_object_s{} * dispatch_queue_attr_t;

typedef void (^dispatch_block_t)(void);

#define DISPATCH_QUEUE_SERIAL nullptr

extern "C" {
#pragma clang assume_nonnull begin

dispatch_queue_t dispatch_queue_create(const char* _Nullable label,
                                       dispatch_queue_attr_t _Nullable attr);
void dispatch_async(dispatch_queue_t queue, dispatch_block_t block);
void dispatch_release(dispatch_object_t object);

#pragma clang assume_nonnull end
}

#endif  // VMNET_DOUBLE_DISPATCH_DISPATCH_H_
