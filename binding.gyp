{
  "variables": {
    "uv_poll%": 0,
    "vmnet_double%": 0,
    "sanitize%": "",
    "warnings": ["-Wall", "-Wextra", "-Wno-unused-parameter"]
  },
  "target_defaults": {
    "conditions": [
      [
        "sanitize!=''",
        {
          "cflags": ["-g", "-fsanitize=<(sanitize)", "-fno-sanitize-recover=all"],
          "ldflags": ["-fsanitize=<(sanitize)", "-shared-libsan"]
        }
      ]
    ]
  },
  "targets": [
    {
      "target_name": "vmbridge",
      "sources": [
        "native/addon.cc",
        "native/calls.cc",
        "native/dgram_io.cc",
        "native/dgram_out.cc",
        "native/dgram_reader.cc",
        "native/dgram_socket.cc",
        "native/egress_queue.cc",
        "native/link.cc",
        "native/process.cc",
        "native/run_io.cc",
        "native/stream_io.cc",
        "native/unix_datagram.cc",
        "native/unix_socket.cc",
        "native/uv_api.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS"],
      "cflags": ["<@(warnings)", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17", "-fno-exceptions"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "WARNING_CFLAGS": ["<@(warnings)"]
      },
      "conditions": [
        ["OS=='linux'", { "sources": ["native/tap_linux.cc"] }],
        [
          "OS=='mac' or vmnet_double==1",
          {
            "sources": [
              "native/vmnet_darwin.cc",
              "native/vmnet_interface_darwin.cc",
              "native/vmnet_session_darwin.cc",
              "native/wake_pipe.cc"
            ]
          }
        ],
        [
          "vmnet_double==1",
          {
            "sources": ["native/double/control.cc"],
            "dependencies": ["vmnet_double"],
            "include_dirs": ["native"],
            "defines": ["VMBRIDGE_VMNET_DOUBLE", "dlsym=vmnet_double_dlsym"]
          }
        ],
        ["OS=='mac'", { "link_settings": { "libraries": ["-framework vmnet", "-framework CoreFoundation"] } }],
        [
          "OS=='mac' or vmnet_double==1",
          { "sources": ["native/datagrams_darwin.cc"] },
          { "sources": ["native/datagrams_linux.cc"] }
        ],
        ["OS=='linux' and uv_poll==0", { "sources": ["native/poller_linux.cc"] }, { "sources": ["native/poller_uv.cc"] }]
      ]
    },
    {
      "target_name": "launcher",
      "type": "executable",
      "sources": ["native/launcher.c"],
      "cflags": ["<@(warnings)", "-std=c11"],
      "xcode_settings": {
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "GCC_C_LANGUAGE_STANDARD": "c11",
        "WARNING_CFLAGS": ["<@(warnings)"]
      }
    },
    {
      "target_name": "socket_vmnet_client",
      "type": "executable",
      "sources": ["native/client.c"],
      "cflags": ["<@(warnings)", "-std=c11"],
      "xcode_settings": {
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "GCC_C_LANGUAGE_STANDARD": "c11",
        "WARNING_CFLAGS": ["<@(warnings)"]
      }
    }
  ],
  "conditions": [
    [
      "vmnet_double==1",
      {
        "targets": [
          {
            "target_name": "vmnet_double",
            "type": "static_library",
            "sources": [
              "native/double/bootpd.cc",
              "native/double/dispatch.cc",
              "native/double/double.cc",
              "native/double/faults.cc",
              "native/double/interface.cc",
              "native/double/messages.cc",
              "native/double/netdev.cc",
              "native/double/network.cc",
              "native/double/packets.cc",
              "native/double/settings.cc",
              "native/double/vmnet.cc",
              "native/double/xpc.cc"
            ],
            "cflags": ["<@(warnings)", "-fvisibility=hidden"],
            "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fblocks"],
            "include_dirs": ["native/double/include"],
            "direct_dependent_settings": {
              "cflags_cc": ["-fblocks"],
              "include_dirs": ["native/double/include"]
            },
            "link_settings": { "libraries": ["-lBlocksRuntime"] }
          },
          {
            "target_name": "vmnet_double_driver",
            "type": "executable",
            "sources": ["native/double/driver.cc"],
            "dependencies": ["vmnet_double"],
            "cflags": ["<@(warnings)"],
            "cflags_cc": ["-std=c++17", "-fno-exceptions"]
          }
        ]
      }
    ]
  ]
}
