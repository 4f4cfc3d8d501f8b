// Calls from native code into JavaScript, and errors of the system as JavaScript has them.
#include <string.h>

#include <string>

#include "poller.h"
#include "uv_api.h"

namespace vmbridge {

napi_value CallPlain(napi_env env, const Napi::FunctionReference& function, size_t argc,
                     const napi_value* argv) {
  napi_value receiver = nullptr;
  napi_value result = nullptr;
  napi_get_undefined(env, &receiver);
  napi_status status = napi_call_function(env, receiver, function.Value(), argc, argv, &result);
  if (status == napi_ok) return result;
  napi_value error = nullptr;
  if (status == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
  return nullptr;
}

void CallWithScope(Napi::Env env, const Napi::FunctionReference& function,
                   std::initializer_list<napi_value> args) {
  Napi::AsyncContext context(env, "vmbridge");
  napi_value receiver = env.Global();
  napi_value result = nullptr;
  napi_make_callback(env, context, receiver, function.Value(), args.size(), args.begin(), &result);
  napi_value error = nullptr;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
}

void ThrowSystemError(Napi::Env env, int error, const char* syscall) {
  std::string message = std::string(syscall) + ": " + strerror(error);
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("code", Napi::String::New(env, Uv().err_name(-error)));
  result.Set("errno", Napi::Number::New(env, error));
  result.Set("syscall", Napi::String::New(env, syscall));
  result.ThrowAsJavaScriptException();
}

}  // namespace vmbridge
