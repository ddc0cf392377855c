"""model.h: a compiled model for C programs, in C99, without allocation."""

from __future__ import annotations

from .bundle import Manifest, TensorInfo

_TEXT = """\
/* {name}: compiled for {target} by fusekit {compiler}, fusion {fusion}, {threads} thread(s).
 *
 * The caller owns all memory: weights (the bytes of weights.bin), an arena and a scratch area, each aligned to 64 bytes.
 *
 *     {prefix}_call call;
 *     {prefix}_init(&call, weights, arena, scratch);
 *     {prefix}_run(&call, inputs, outputs);
 *
 * Inputs{inputs}
 * Outputs{outputs}
 */
#ifndef FK_{upper}_H
#define FK_{upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_THREADS {threads}
#define {upper}_INPUTS {n_inputs}
#define {upper}_OUTPUTS {n_outputs}
#define {upper}_WEIGHTS_BYTES {weights}
#define {upper}_ARENA_BYTES {arena}
#define {upper}_SCRATCH_BYTES {scratch}
{sizes}
typedef struct {prefix}_call {{
    const void *const *inputs;
    void *const *outputs;
    const void *weights;
    void *arena;
    void *scratch;
    void (*barrier)(struct {prefix}_call *, int64_t thread); /* set by the caller where {upper}_THREADS > 1 */
    void (*tick)(struct {prefix}_call *, int64_t thread, int64_t step);
}} {prefix}_call;

extern const struct {prefix}_model {{
    uint32_t abi, threads, n_inputs, n_outputs, n_steps, reserved;
    uint64_t weights_bytes, arena_bytes, scratch_bytes;
    const uint64_t *input_bytes, *output_bytes;
    const char *symbol, *features;
    void (*run)({prefix}_call *, int64_t thread);
    void (*profile)({prefix}_call *, int64_t thread);
}} {symbol};

/* 0, or -1 where a pointer is null or not aligned to 64 bytes. */
static inline int {prefix}_init({prefix}_call *call, const void *weights, void *arena, void *scratch) {{
    if (!weights || !arena || !scratch || (((uintptr_t)weights | (uintptr_t)arena | (uintptr_t)scratch) & 63)) return -1;
    call->inputs = NULL;
    call->outputs = NULL;
    call->weights = weights;
    call->arena = arena;
    call->scratch = scratch;
    call->barrier = NULL;
    call->tick = NULL;
    return 0;
}}

/* One inference on the calling thread. With more threads each of them calls run_thread with its number instead. */
static inline void {prefix}_run({prefix}_call *call, const void *const *inputs, void *const *outputs) {{
    call->inputs = inputs;
    call->outputs = outputs;
    {symbol}.run(call, 0);
}}

static inline void {prefix}_run_thread({prefix}_call *call, int64_t thread) {{ {symbol}.run(call, thread); }}

#ifdef __cplusplus
}}
#endif
#endif
"""


def header(manifest: Manifest) -> str:
    """The C header of a bundle."""
    prefix = c_name(manifest.name)
    upper = prefix.upper()
    sizes = [f"#define {upper}_INPUT{i}_BYTES {t.bytes}" for i, t in enumerate(manifest.inputs)]
    sizes += [f"#define {upper}_OUTPUT{i}_BYTES {t.bytes}" for i, t in enumerate(manifest.outputs)]
    return _TEXT.format(
        name=_comment(manifest.name), target=manifest.target.name, compiler=manifest.compiler, fusion=manifest.fusion, threads=manifest.threads,
        prefix=prefix, upper=upper, n_inputs=len(manifest.inputs), n_outputs=len(manifest.outputs), weights=manifest.weights_bytes,
        arena=manifest.arena_bytes, scratch=manifest.scratch_bytes, sizes="\n".join(sizes), symbol=manifest.symbol,
        inputs=_described(manifest.inputs), outputs=_described(manifest.outputs),
    )  # fmt: skip


def c_name(name: str) -> str:
    """`name` as a C identifier.

    >>> c_name("mobilenet-v2 1.0")
    'mobilenet_v2_1_0'
    """
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return plain if plain[:1].isalpha() else f"m_{plain}"


def _described(tensors: tuple[TensorInfo, ...]) -> str:
    return "".join(
        f"\n *   {i}: {_comment(t.name)} {t.dtype} [{', '.join(map(str, t.shape))}]"
        for i, t in enumerate(tensors)
    )


def _comment(text: str) -> str:
    return text.replace("*/", "* /").replace("\n", " ")
