/* What a compiled model exports: its descriptor (fk_model) and the record of one inference in flight (fk_call).
 *
 * A model object has no undefined symbol. It defines one constant descriptor under the name that its `symbol` field
 * holds, and puts one pointer to it in the section `fk_models`, so that a program may link many models and find them
 * all between __start_fk_models and __stop_fk_models. */
#ifndef FUSEKIT_H
#define FUSEKIT_H

#include <stdint.h>

#define FK_ABI 1

typedef struct fk_call fk_call;

struct fk_call {                  /* owned by the caller; no two inferences in flight share one */
    const void *const *inputs;    /* in the manifest's order */
    void *const *outputs;         /* in the manifest's order */
    const void *weights;          /* weights_bytes, 64-byte aligned */
    void *arena;                  /* arena_bytes, 64-byte aligned; needs no initial value */
    void *scratch;                /* scratch_bytes for all threads together, 64-byte aligned */
    void (*barrier)(fk_call *, int64_t thread);            /* never called when threads == 1 */
    void (*tick)(fk_call *, int64_t thread, int64_t step); /* called by profile() only: every thread, after the
                                                              barrier that ends each step */
};

typedef struct {
    uint32_t abi;     /* FK_ABI */
    uint32_t threads; /* run() and profile() must be entered by exactly this many threads */
    uint32_t n_inputs, n_outputs, n_steps, reserved;
    uint64_t weights_bytes, arena_bytes, scratch_bytes;
    const uint64_t *input_bytes, *output_bytes;
    const char *symbol;   /* "fk_model_<16 hex>", the descriptor's own name */
    const char *features; /* CPU features it needs, named as in /proc/cpuinfo, comma separated; may be empty */
    void (*run)(fk_call *, int64_t thread); /* SPMD: every thread 0..threads-1 enters it with the same fk_call */
    void (*profile)(fk_call *, int64_t thread);
} fk_model;

#endif
