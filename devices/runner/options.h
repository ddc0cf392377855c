/* The command line. */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_INPUTS = 64, MAX_VARIANTS = 64, MAX_THREADS = 64 };

typedef struct {
    const char *symbol;
    const char *path;
} weights_option;

typedef struct {
    const char *nonce;
    const char *out;
    const char *inputs[MAX_INPUTS];
    size_t n_inputs;
    weights_option weights[MAX_VARIANTS];
    size_t n_weights;
    const char *variants[MAX_VARIANTS]; /* none: every model that is linked in */
    size_t n_variants;
    int32_t cpus[MAX_THREADS];
    size_t n_cpus; /* 0: threads are not pinned */
    int64_t warmup, rounds, round_ms, min_samples, profile;
    bool counters, check_only;
} options;

/* Fails with the kind "usage" on anything it does not know. Splits argv's comma lists in place. */
options parse_options(int argc, char **argv);

#endif
