/* A model written by hand against fusekit.h: output = weights + SCALE * (input in reverse order), in two steps with
 * a barrier between them, because a thread reads in the second what another wrote in the first. */
#include "../../compiler/runtime/fusekit.h"

#include <stddef.h>

#ifndef SYMBOL
#define SYMBOL fk_model_0000000000000001
#endif
#ifndef SCALE
#define SCALE 2.0f
#endif
#ifndef THREADS
#define THREADS 1
#endif
#ifndef FEATURES
#define FEATURES ""
#endif
#define N 1000
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static void scale(const fk_call *call, int64_t begin, int64_t end) {
    const float *input = call->inputs[0];
    float *arena = call->arena;
    for (int64_t i = begin; i < end; i++) arena[i] = SCALE * input[i];
}

static void add_reversed(const fk_call *call, int64_t begin, int64_t end) {
    const float *weights = call->weights, *arena = call->arena;
    float *output = call->outputs[0];
    for (int64_t i = begin; i < end; i++) output[i] = weights[i] + arena[N - 1 - i];
}

static void run(fk_call *call, int64_t thread) {
    int64_t begin = N * thread / THREADS, end = N * (thread + 1) / THREADS;
    scale(call, begin, end);
    if (THREADS > 1) call->barrier(call, thread);
    add_reversed(call, begin, end);
    if (THREADS > 1) call->barrier(call, thread);
}

static void profile(fk_call *call, int64_t thread) {
    int64_t begin = N * thread / THREADS, end = N * (thread + 1) / THREADS;
    scale(call, begin, end);
    if (THREADS > 1) call->barrier(call, thread);
    call->tick(call, thread, 0);
    add_reversed(call, begin, end);
    if (THREADS > 1) call->barrier(call, thread);
    call->tick(call, thread, 1);
}

static const uint64_t bytes[] = {N * sizeof(float)};

extern const fk_model SYMBOL;
const fk_model SYMBOL = {
    .abi = FK_ABI,
    .threads = THREADS,
    .n_inputs = 1,
    .n_outputs = 1,
    .n_steps = 2,
    .weights_bytes = N * sizeof(float),
    .arena_bytes = N * sizeof(float),
    .scratch_bytes = 0,
    .input_bytes = bytes,
    .output_bytes = bytes,
    .symbol = TEXT(SYMBOL),
    .features = FEATURES,
    .run = run,
    .profile = profile,
};

static const fk_model *const listed __attribute__((section("fk_models"), used)) = &SYMBOL;
