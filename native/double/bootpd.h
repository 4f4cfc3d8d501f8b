// As much of a DHCP server (RFC 2131) as shows that DHCP reached the interface: Apple's bootpd
// answers on a shared or host network, so what a guard lets through gets an answer here, too.
#ifndef VMNET_DOUBLE_BOOTPD_H_
#define VMNET_DOUBLE_BOOTPD_H_

#include <array>
#include <map>
#include <vector>

#include "settings.h"

namespace vmnet_double {

class Bootpd {
 public:
  Bootpd(const Pool& pool, const uint8_t (&mac)[6]);
  // The answer to a frame that a station sent, as a frame; empty where there is none.
  std::vector<uint8_t> Answer(const uint8_t* frame, size_t length);

 private:
  using Mac = std::array<uint8_t, 6>;

  // 0 when the pool is used up.
  uint32_t AddressFor(const Mac& mac);

  const Pool pool_;
  Mac mac_;
  std::map<Mac, uint32_t> leases_;
};

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_BOOTPD_H_
