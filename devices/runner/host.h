/* What a reader of a time must know about the machine at that moment. */
#ifndef RUNNER_HOST_H
#define RUNNER_HOST_H

#include <stdint.h>

/* Prints one line: architecture, CPU, governor, clock, temperature, throttling, load; null for what is not there.
 * `cpu` is the one whose clock is told. */
void describe_host(const char *type, int32_t cpu);

#endif
