/* Hardware counters through perf_event_open, where the kernel allows it. */
#ifndef RUNNER_COUNTERS_H
#define RUNNER_COUNTERS_H

#include "variant.h"

/* Prints one "counters" line a variant: events of all threads in user mode over `runs` runs, or null and the reason. */
void count_events(const options *o, const variant *variants, size_t count);

#endif
