/* A model of two steps as the compiler emits them: y = reverse(2 x) + w. Every thread does its part of each step. */
#include "fusekit.h"

enum { N = 16 };

static void range(int64_t thread, int64_t *begin, int64_t *end) {
    *begin = N * thread / THREADS;
    *end = N * (thread + 1) / THREADS;
}

static void twice(fk_call *call, int64_t thread) {
    const float *x = call->inputs[0];
    float *t = call->arena;
    int64_t begin, end;
    range(thread, &begin, &end);
    for (int64_t i = begin; i < end; i++) t[i] = 2 * x[i];
}

static void reverse_and_add(fk_call *call, int64_t thread) {
    const float *t = call->arena, *w = call->weights;
    float *y = call->outputs[0];
    int64_t begin, end;
    range(thread, &begin, &end);
    for (int64_t i = begin; i < end; i++) y[i] = t[N - 1 - i] + w[i] + OFFSET;
}

static void meet(fk_call *call, int64_t thread) {
    if (THREADS > 1) call->barrier(call, thread);
}

static void run(fk_call *call, int64_t thread) {
    twice(call, thread);
    meet(call, thread);
    reverse_and_add(call, thread);
    meet(call, thread);
}

static void profile(fk_call *call, int64_t thread) {
    twice(call, thread);
    meet(call, thread);
    call->tick(call, thread, 0);
    reverse_and_add(call, thread);
    meet(call, thread);
    call->tick(call, thread, 1);
}

static const uint64_t bytes[] = {4 * N};

extern const fk_model SYMBOL;
const fk_model SYMBOL = {
    .abi = ABI,
    .threads = THREADS,
    .n_inputs = 1,
    .n_outputs = 1,
    .n_steps = 2,
    .weights_bytes = 4 * N,
    .arena_bytes = 4 * N,
    .input_bytes = bytes,
    .output_bytes = bytes,
    .symbol = NAME,
    .features = FEATURES,
    .run = run,
    .profile = profile,
};

__attribute__((section("fk_models"), used)) static const fk_model *const entry = &SYMBOL;
