#include "dgram_socket.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "environment.h"
#include "unix_datagram.h"
#include "uv_api.h"

namespace vmbridge {

namespace {
// Strangers that JavaScript is asked about in one turn of the loop, and for how long (ms) it is not
// asked again after a refusal: each such call costs more than a frame does.
constexpr int kMeetingsPerTurn = 16;
constexpr double kQuietAfterRefusal = 100;
constexpr size_t kShortestFrame = 14;
}  // namespace

Napi::Function DgramSocket::Define(Napi::Env env) {
  Napi::Function constructor =
      DefineClass(env, "DgramSocket",
                  {InstanceMethod("replace", &DgramSocket::Replace),
                   InstanceMethod("isByPresent", &DgramSocket::IsByPresent),
                   InstanceMethod("resume", &DgramSocket::Resume),
                   InstanceMethod("ignored", &DgramSocket::Ignored),
                   InstanceMethod("close", &DgramSocket::Close)});
  env.GetInstanceData<Environment>()->dgram_socket = Napi::Persistent(constructor);
  return constructor;
}

DgramSocket* DgramSocket::Of(const Napi::Value& value) {
  if (!value.IsObject()) return nullptr;
  auto object = value.As<Napi::Object>();
  const auto& constructor = value.Env().GetInstanceData<Environment>()->dgram_socket;
  if (!object.InstanceOf(constructor.Value())) return nullptr;
  DgramSocket* socket = Unwrap(object);
  return socket->current_ < 0 ? nullptr : socket;
}

DgramSocket::DgramSocket(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DgramSocket>(info) {
  Napi::Env env = info.Env();
  if (!info[0].IsNumber() || !info[1].IsTypedArray() || !info[2].IsNumber() ||
      !info[3].IsFunction() || !info[4].IsFunction() ||
      info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[1].As<Napi::TypedArray>().ByteLength() < 2 * (kLengthBytes + kMaxFrame)) {
    Napi::TypeError::New(env, "expected (fd, run, longest, onPeer, onUnread)")
        .ThrowAsJavaScriptException();
    return;
  }
  auto run = info[1].As<Napi::Uint8Array>();
  run_ = run.Data();
  run_capacity_ = run.ByteLength();
  run_reference_ = Napi::Persistent(run);
  longest_ = std::clamp<size_t>(info[2].As<Napi::Number>().Uint32Value(), 64, kMaxFrame);
  on_peer_ = Napi::Persistent(info[3].As<Napi::Function>());
  on_unread_ = Napi::Persistent(info[4].As<Napi::Function>());
  if (!Bind(env, info[0].As<Napi::Number>().Int32Value())) return;
  self_ = Napi::Persistent(info.This().As<Napi::Object>());
}

DgramSocket::~DgramSocket() { Release(); }

DgramSocket::Bound::~Bound() {
  Unpoll();
  close(fd);
}

bool DgramSocket::Bind(Napi::Env env, int fd) {
  auto bound = std::make_unique<Bound>(this, fd);
  if (!bound->Start(env)) {
    int error = errno;
    bound->fd = -1;  // stays the caller's
    ThrowSystemError(env, error, "poll");
    return false;
  }
  current_ = fd;
  bounds_.push_back(std::move(bound));
  return true;
}

void DgramSocket::Replace(const Napi::CallbackInfo& info) {
  if (current_ < 0) return;
  if (Bind(info.Env(), info[0].ToNumber().Int32Value())) CloseUnused();
}

Napi::Value DgramSocket::IsByPresent(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), current_ >= 0 && arriving_ == current_);
}

void DgramSocket::Resume(const Napi::CallbackInfo&) {
  for (auto& bound : bounds_) bound->Look(true);
}

Napi::Value DgramSocket::Ignored(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ignored_);
}

void DgramSocket::Remove(const std::string& key, DgramIo* io) {
  auto found = peers_.find(key);
  if (found != peers_.end() && found->second == io) peers_.erase(found);
  CloseUnused();
}

// Those before the present one whose peers have all gone. Not while one of them is being read.
void DgramSocket::CloseUnused() {
  if (is_receiving_) return;
  auto is_unused = [this](const std::unique_ptr<Bound>& bound) {
    if (bound->fd == current_) return false;
    for (const auto& [key, io] : peers_) {
      if (io->is_tied() && io->bound_fd() == bound->fd) return false;
    }
    for (const auto& [key, io] : peers_) {
      if (io->bound_fd() == bound->fd) io->ForgetBound();
    }
    return true;
  };
  bounds_.erase(std::remove_if(bounds_.begin(), bounds_.end(), is_unused), bounds_.end());
}

bool DgramSocket::IsOnlyUser(const DgramIo& io) const {
  return io.bound_fd() != current_ &&
         std::none_of(peers_.begin(), peers_.end(), [&](const auto& peer) {
           return peer.second != &io && peer.second->bound_fd() == io.bound_fd();
         });
}

DgramIo* DgramSocket::Find(const std::string& key) {
  auto found = peers_.find(key);
  return found == peers_.end() || !found->second->is_open() ? nullptr : found->second;
}

DgramIo* DgramSocket::Meet(Napi::Env env, const Datagram& sender, const std::string& key,
                           bool greeted) {
  double now = LoopTime(env);
  if (key.empty() || met_ >= kMeetingsPerTurn || now < meet_again_) {
    ignored_++;
    return nullptr;
  }
  // Who is gone already is no reason to keep the others waiting: such senders cost nothing to make.
  PeerPlace place;
  int fd = place.Find(sender.from, sender.uid) ? ConnectDatagram(place) : -1;
  if (fd >= 0) {
    close(fd);
  } else if (errno == ENOENT || errno == ECONNREFUSED) {
    ignored_++;
    return nullptr;
  }
  met_++;
  arriving_uid_ = sender.uid;
  Napi::HandleScope scope(env);
  napi_value address = WriteAddress(env, sender.from);
  if (address == nullptr) return nullptr;
  CallWithScope(env, on_peer_,
                {address, Napi::Boolean::New(env, greeted),
                 Napi::Number::New(env, static_cast<double>(sender.pid)),
                 Napi::Number::New(env, static_cast<double>(sender.uid)),
                 Napi::Number::New(env, static_cast<double>(sender.gid))});
  arriving_uid_ = -1;
  DgramIo* io = current_ < 0 ? nullptr : Find(key);
  if (io == nullptr) meet_again_ = now + kQuietAfterRefusal;
  return io;
}

void DgramSocket::Receive(Bound& bound) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  DgramReader& reader = env.GetInstanceData<Environment>()->dgram_reader;
  int count = reader.Receive(bound.fd, run_, run_capacity_, longest_, true);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    bound.Look(false);
    CallWithScope(env, on_unread_, {Napi::String::New(env, Uv().err_name(-errno))});
    return;
  }
  is_receiving_ = true;
  arriving_ = bound.fd;
  met_ = 0;
  size_t slot_bytes = reader.slot_bytes();
  // The stretch that is being grown: whose it is, and from where.
  DgramIo* io = nullptr;
  UnixAddress address;
  size_t from = 0;
  for (int i = 0; i < count && current_ >= 0; i++) {
    const Datagram& datagram = reader[i];
    size_t at = static_cast<size_t>(i) * slot_bytes;
    bool is_greeting = reader.IsGreeting(i);
    bool is_plain = !is_greeting && reader.FitsSlot(i);
    bool is_same = io != nullptr && datagram.from == address;
    if (is_same && is_plain) continue;
    if (io != nullptr) io->WalkStretch(env, from, at);
    io = nullptr;
    std::string key = datagram.from.Key();
    DgramIo* sender = Find(key);
    if (sender == nullptr && (is_greeting || datagram.length >= kShortestFrame)) {
      sender = Meet(env, datagram, key, is_greeting);
    }
    if (sender == nullptr || is_greeting) continue;
    // A VM that was started anew at the same address has met the present descriptor.
    if (sender->bound_fd() != bound.fd) sender->MoveTo(bound.fd);
    if (is_plain) {
      io = sender;
      address = datagram.from;
      from = at;
    } else if (reader.IsTooBig(i)) {
      sender->CountTooBig();
    } else {
      DgramReader::Place place = reader.Assemble(i);
      sender->WalkStretch(env, place.from, place.end);
    }
  }
  if (io != nullptr) io->WalkStretch(env, from, static_cast<size_t>(count) * slot_bytes);
  arriving_ = -1;
  is_receiving_ = false;
  if (current_ < 0)
    bounds_.clear();
  else
    CloseUnused();
}

void DgramSocket::Release() {
  if (current_ < 0) return;
  current_ = -1;
  for (auto& [key, io] : peers_) io->Forget();
  peers_.clear();
  if (is_receiving_) {
    for (auto& bound : bounds_) bound->Look(false);  // closed when the batch is done
  } else {
    bounds_.clear();
  }
  on_peer_.Reset();
  on_unread_.Reset();
  self_.Reset();
}

}  // namespace vmbridge
