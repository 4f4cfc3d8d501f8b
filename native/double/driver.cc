// Calls the double as vmbridge never should, and says what came of it: `driver CASE` runs one case,
// each in a process of its own since the double aborts on misuse. test/native/double.test.ts holds
// what is to be said. Runs as root, in a network namespace of its own without IPv6, so that nothing
// but the driver says anything on the TAP.
#include "driver.h"

#include <map>
#include <string>

using namespace vmnet_double;

namespace {

void ReadsWithoutRearming() {
  Subject subject;
  Batch batch(2);
  int count = 2;
  auto read = [&](const char* what) { Say(what, static_cast<long>(subject.Read(&batch, &count))); };
  auto set_sizes = [&](size_t size) {
    for (auto& packet : batch.packets) packet.vm_pkt_size = size;
  };
  read("fresh");
  Say("packets", count);
  count = 2;
  read("as it was");
  set_sizes(kMaxPacket);
  read("sizes");
  set_sizes(0);
  for (auto& buffer : batch.buffers) buffer.iov_len = kMaxPacket;
  read("lengths");
  set_sizes(kMaxPacket);
  read("both");
}

void ReadLimits() {
  Subject subject;
  subject.SayRead("none", Batch(1), 0);
  subject.SayRead("short buffer", Batch(1, kMaxPacket - 1), 1);
  subject.SayRead("173 of 1514", Batch(173), 173);
  subject.SayRead("174 of 1514", Batch(174), 174);
  subject.SayRead("201", Batch(201), 201);
}

void WriteLimits() {
  Subject subject;
  subject.SayWrite("none", Batch(1), 0);
  subject.SayWrite("runt", Batch(1, 13), 1);
  subject.SayWrite("header", Batch(1, 14), 1);
  subject.SayWrite("longest", Batch(1, kMaxPacket), 1);
  subject.SayWrite("longer", Batch(1, kMaxPacket + 1), 1);
  subject.SayWrite("200", Batch(200, 60), 200);
  subject.SayWrite("201", Batch(201, 60), 201);
  subject.SayWrite("174 of 1514", Batch(174), 174);
  Batch uneven(2, 60);
  uneven.buffers[1].iov_len = 61;
  subject.SayWrite("uneven", uneven, 2);
  Batch runt(2, 60);
  runt.buffers[1].iov_len = runt.packets[1].vm_pkt_size = 13;
  subject.SayWrite("runt among others", runt, 2);
  Batch pieces(1, 60);
  pieces.packets[0].vm_pkt_iovcnt = 2;
  subject.SayWrite("pieces", pieces, 1);
}

void Edges() {
  Subject subject;
  subject.Listen();
  SendFromHost();
  SendFromHost();
  subject.events.Await(1);
  ReadAll(&subject, 2);
  Say("two packets, events", subject.events.times());
  SendFromHost();
  subject.events.Await(2);
  Batch batch(1);
  int count = 1;
  subject.Read(&batch, &count);
  Say("read", count);
  SendFromHost();
  ReadAll(&subject, 1);
  OnQueue(subject.queue, [] {});
  Say("before a read found nothing, events", subject.events.times());
  SendFromHost();
  subject.events.Await(3);
  Say("after it, events", subject.events.times());
}

void LateEvent() {
  Subject subject;
  subject.Listen();
  subject.StopListening();
  OnQueue(subject.queue, [] {});
  Say("after the callback was taken, events", subject.events.times());
  subject.Stop();
  Say("after the stop, events", subject.events.times());
}

// The handler's status for a description in this mode, changed by `change`.
void SayStart(const char* what, uint64_t mode, const std::function<void(xpc_object_t)>& change) {
  xpc_object_t description = Subject::Describe(mode);
  change(description);
  Subject subject(description);
  xpc_release(description);
  Say(what, static_cast<long>(subject.status));
}

std::function<void(xpc_object_t)> Range(const char* start, const char* end, const char* mask) {
  return [=](xpc_object_t description) {
    xpc_dictionary_set_string(description, vmnet_start_address_key, start);
    xpc_dictionary_set_string(description, vmnet_end_address_key, end);
    if (mask != nullptr) xpc_dictionary_set_string(description, vmnet_subnet_mask_key, mask);
  };
}

std::function<void(xpc_object_t)> Text(const char* key, const char* value) {
  return [=](xpc_object_t description) { xpc_dictionary_set_string(description, key, value); };
}

void Refusals() {
  auto nothing = [](xpc_object_t) {};
  auto mtu = [](xpc_object_t description) {
    xpc_dictionary_set_uint64(description, vmnet_mtu_key, 9000);
    xpc_dictionary_set_string(description, vmnet_shared_interface_name_key, "en0");
  };
  auto identifier = [](xpc_object_t description) {
    xpc_dictionary_set_uuid(description, vmnet_network_identifier_key, uuid_t{7});
  };
  SayStart("mode 999", 999, nothing);
  SayStart("bridged, no interface", VMNET_BRIDGED_MODE, nothing);
  SayStart("bridged, unknown", VMNET_BRIDGED_MODE, Text(vmnet_shared_interface_name_key, "en9"));
  SayStart("bridged, MTU", VMNET_BRIDGED_MODE, mtu);
  SayStart("bridged", VMNET_BRIDGED_MODE, Text(vmnet_shared_interface_name_key, "en0"));
  SayStart("shared, identifier", VMNET_SHARED_MODE, identifier);
  SayStart("shared, no mask", VMNET_SHARED_MODE, Range("10.1.0.1", "10.1.0.9", nullptr));
  SayStart("shared, public", VMNET_SHARED_MODE, Range("8.8.8.1", "8.8.8.9", "255.255.255.0"));
  SayStart("shared, two nets", VMNET_SHARED_MODE, Range("10.1.0.1", "10.1.1.9", "255.255.255.0"));
  SayStart("shared, ULA", VMNET_SHARED_MODE, Text(vmnet_nat66_prefix_key, "fd00:1:2:3::"));
  SayStart("shared, no ULA", VMNET_SHARED_MODE, Text(vmnet_nat66_prefix_key, "2001:db8:2:3::"));
  SayStart("host, no identifier", VMNET_HOST_MODE, Text(vmnet_host_ip_address_key, "10.1.0.1"));
  SayStart("host, identifier", VMNET_HOST_MODE, identifier);
  SayStart("shared", VMNET_SHARED_MODE, Range("10.1.0.1", "10.1.0.9", "255.255.255.0"));
  SayStart("host, same subnet", VMNET_HOST_MODE, Range("10.1.0.1", "10.1.0.9", "255.255.255.0"));
}

// Says what a DHCP client would be told: the message's type, and the last byte of the address.
void SayDhcp(Subject* subject, uint8_t station, uint8_t type) {
  Batch ask(1, 14 + 20 + 8 + 240 + 4);
  uint8_t* frame = ask.bytes.data();
  memset(frame, 0xff, 6);
  frame[12] = 8;
  frame[14] = 0x45;
  frame[14 + 9] = IPPROTO_UDP;
  frame[34 + 1] = 68;
  frame[34 + 3] = 67;
  frame[42] = 1;
  frame[42 + 28 + 5] = station;
  const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, type, 255};
  memcpy(frame + 42 + 236, options, sizeof options);
  int count = 1;
  vmnet_write(subject->interface, ask.packets.data(), &count);
  Batch answer(1);
  if (subject->Read(&answer, &count) != VMNET_SUCCESS) Die("driver: cannot read");
  Say("answers", count);
  if (count == 0) return;
  Say("type", answer.bytes[42 + 240 + 2]);
  Say("address", answer.bytes[42 + 19]);
}

void Dhcp() {
  xpc_object_t description = Subject::Describe(VMNET_SHARED_MODE);
  Range("10.1.0.1", "10.1.0.3", "255.255.255.0")(description);
  Subject subject(description);
  xpc_release(description);
  SayDhcp(&subject, 1, 1);
  SayDhcp(&subject, 2, 3);
  SayDhcp(&subject, 3, 1);
}

const std::map<std::string, std::function<void()>> kCases = {
    {"refusals", Refusals},
    {"dhcp", Dhcp},
    {"reads-without-rearming", ReadsWithoutRearming},
    {"read-limits", ReadLimits},
    {"write-limits", WriteLimits},
    {"edges", Edges},
    {"late-event", LateEvent},
    {"stop-on-its-queue",
     [] {
       Subject subject;
       OnQueue(subject.queue, [&] { subject.Stop(); });
     }},
    {"stop-while-listening",
     [] {
       Subject subject;
       subject.Listen();
       subject.Stop();
     }},
    {"stop-twice",
     [] {
       Subject subject;
       subject.Stop();
       subject.Stop();
     }},
    {"read-after-stop",
     [] {
       Subject subject;
       subject.Stop();
       subject.SayRead("read", Batch(1), 1);
     }},
    {"write-after-stop",
     [] {
       Subject subject;
       subject.Stop();
       subject.SayWrite("write", Batch(1), 1);
     }},
    {"release-queue-twice",
     [] {
       dispatch_queue_t queue = dispatch_queue_create(nullptr, nullptr);
       dispatch_release(queue);
       dispatch_release(queue);
     }},
    {"release-xpc-twice",
     [] {
       xpc_object_t object = xpc_dictionary_create(nullptr, nullptr, 0);
       xpc_release(object);
       xpc_release(object);
     }},
    {"no-handle",
     [] {
       Batch batch(1);
       int count = 1;
       vmnet_write(reinterpret_cast<interface_ref>(8), batch.packets.data(), &count);
     }},
};

}  // namespace

int main(int argc, char** argv) {
  auto found = kCases.find(argc == 2 ? argv[1] : "");
  if (found == kCases.end()) {
    for (const auto& [name, run] : kCases) printf("%s\n", name.c_str());
    return 2;
  }
  found->second();
  puts("done");
  fflush(stdout);
  // Threads of the double still run: nothing of theirs is to be taken down.
  _exit(0);
}
