{
  "variables": {
    "uv_poll%": 0,
    "warnings": ["-Wall", "-Wextra", "-Wno-unused-parameter"]
  },
  "targets": [
    {
      "target_name": "vmbridge",
      "sources": [
        "native/addon.cc",
        "native/calls.cc",
        "native/egress_queue.cc",
        "native/process.cc",
        "native/run_io.cc",
        "native/stream_io.cc",
        "native/unix_socket.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS"],
      "cflags": ["<@(warnings)", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17", "-fno-exceptions"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "GCC_ENABLE_CPP_EXCEPTIONS": "NO"
      },
      "conditions": [
        ["OS=='linux'", { "sources": ["native/tap_linux.cc"] }],
        ["OS=='linux' and uv_poll==0", { "sources": ["native/poller_linux.cc"] }, { "sources": ["native/poller_uv.cc"] }]
      ]
    },
    {
      "target_name": "launcher",
      "type": "executable",
      "sources": ["native/launcher.c"],
      "cflags": ["<@(warnings)", "-std=c11"]
    }
  ]
}
