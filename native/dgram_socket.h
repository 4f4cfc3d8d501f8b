// A bound datagram socket that VMs send to: reads batches, tells the peers apart by address, and
// hands each one's frames to its port (dgram_io.h).
//
// A peer that connects itself to the socket can be answered from that socket alone, and what such
// a peer does not read fills the socket's send buffer. So that it stalls nobody else, JavaScript
// gives a fresh socket (replace) for those who come later, as accept() would; the older one serves
// until the last of its peers has gone.
#ifndef VMBRIDGE_DGRAM_SOCKET_H_
#define VMBRIDGE_DGRAM_SOCKET_H_

#include <napi.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dgram_io.h"
#include "poller.h"

namespace vmbridge {

class DgramSocket : public Napi::ObjectWrap<DgramSocket> {
 public:
  static Napi::Function Define(Napi::Env env);
  // The native half of a JavaScript object, or nullptr if it is no DgramSocket that is open.
  static DgramSocket* Of(const Napi::Value& value);

  // (fd, run: Uint8Array, longest, onPeer: (address: Uint8Array, greeted, pid, uid, gid) => void,
  // onUnread: (code) => void). Owns `fd`, which is bound and non-blocking, unless it throws.
  // onPeer is called for a sender that has no port, `greeted` if by the greeting; it makes a
  // DgramIo with that address or returns false, and then nobody new is asked about for a moment.
  // onUnread: reading failed, and stops until resume().
  explicit DgramSocket(const Napi::CallbackInfo& info);
  ~DgramSocket() override;

  void Add(const std::string& key, DgramIo* io) { peers_[key] = io; }
  void Remove(const std::string& key, DgramIo* io);
  // Whether nobody else comes by the descriptor that a peer does, or may come to it.
  bool IsOnlyUser(const DgramIo& io) const;
  // The descriptor by which the peer that onPeer is asked about was heard, else the present one.
  int bound_fd() const { return arriving_ >= 0 ? arriving_ : current_; }
  // Of the sender that onPeer is asked about; -1 when that is not known.
  int64_t arriving_uid() const { return arriving_uid_; }

 private:
  struct Bound : Handler {
    Bound(DgramSocket* socket, int descriptor) : owner(socket), fd(descriptor) {}
    ~Bound() override;
    bool Start(Napi::Env env) { return Poll(env, fd, kReadable); }
    void Look(bool wanted) { Watch(wanted ? kReadable : 0); }
    void OnReady(int events, bool failed) override { owner->Receive(*this); }
    DgramSocket* owner;
    int fd;
  };

  void Replace(const Napi::CallbackInfo& info);
  // Within onPeer: whether the stranger was heard by the present descriptor.
  Napi::Value IsByPresent(const Napi::CallbackInfo& info);
  void Resume(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo&) { Release(); }
  // Senders that were not asked about: they came too fast, were gone at once, or have no address.
  Napi::Value Ignored(const Napi::CallbackInfo& info);

  bool Bind(Napi::Env env, int fd);
  void Receive(Bound& bound);
  DgramIo* Find(const std::string& key);
  DgramIo* Meet(Napi::Env env, const Datagram& sender, const std::string& key, bool greeted);
  void CloseUnused();
  void Release();

  std::vector<std::unique_ptr<Bound>> bounds_;
  int current_ = -1;
  int arriving_ = -1;
  int64_t arriving_uid_ = -1;
  bool is_receiving_ = false;
  std::unordered_map<std::string, DgramIo*> peers_;
  uint8_t* run_ = nullptr;
  size_t run_capacity_ = 0;
  size_t longest_ = 0;
  double ignored_ = 0;
  double meet_again_ = 0;
  int met_ = 0;
  Napi::Reference<Napi::Uint8Array> run_reference_;
  Napi::FunctionReference on_peer_;
  Napi::FunctionReference on_unread_;
  Napi::ObjectReference self_;  // holds itself while it is open
};

}  // namespace vmbridge

#endif  // VMBRIDGE_DGRAM_SOCKET_H_
