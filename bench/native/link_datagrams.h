// What link_vde.c and link_dgram.c share: link_receive, and the memory for it.
#ifndef VMBRIDGE_BENCH_LINK_DATAGRAMS_H
#define VMBRIDGE_BENCH_LINK_DATAGRAMS_H

#include "loadgen.h"

void datagrams_open(struct link* link);

#endif
