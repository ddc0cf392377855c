#include "variant.h"

#include "clock.h"
#include "file.h"
#include "isa.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* The linker defines both around the section into which every model puts one pointer. */
extern const fk_model *const __start_fk_models[] __attribute__((weak, visibility("hidden")));
extern const fk_model *const __stop_fk_models[] __attribute__((weak, visibility("hidden")));

static const fk_model *find_model(const char *symbol) {
    for (const fk_model *const *m = __start_fk_models; m < __stop_fk_models; m++)
        if (strcmp((*m)->symbol, symbol) == 0) return *m;
    fail("usage", "--variants names %s, which is not linked into this runner", symbol);
}

static void require_fit(const options *o, const fk_model *model) {
    if (model->abi != FK_ABI)
        fail("abi", "%s was compiled for ABI %u, and this runner has ABI %u", model->symbol, model->abi, FK_ABI);
    if (model->n_inputs != o->n_inputs)
        fail("usage", "%s takes %u inputs, and --input is given %zu times", model->symbol, model->n_inputs, o->n_inputs);
    if (model->threads > MAX_THREADS || (o->n_cpus && model->threads > o->n_cpus))
        fail("usage", "%s runs on %u threads, and --cpus names %zu CPUs (%d at most)", model->symbol, model->threads,
             o->n_cpus, MAX_THREADS);
    require_features(model->features, model->symbol);
}

size_t choose_models(const options *o, const fk_model *chosen[MAX_VARIANTS]) {
    size_t linked = (size_t)(__stop_fk_models - __start_fk_models);
    if (linked == 0 || linked > MAX_VARIANTS)
        fail("usage", "%zu models are linked into this runner, and it runs 1 to %d", linked, MAX_VARIANTS);
    size_t count = o->n_variants ? o->n_variants : linked;
    for (size_t i = 0; i < count; i++) {
        chosen[i] = o->n_variants ? find_model(o->variants[i]) : __start_fk_models[i];
        require_fit(o, chosen[i]);
    }
    return count;
}

static const char *weights_path(const options *o, const char *symbol) {
    for (size_t i = 0; i < o->n_weights; i++)
        if (strcmp(o->weights[i].symbol, symbol) == 0) return o->weights[i].path;
    fail("usage", "%s needs its weights: --weights %s=FILE", symbol, symbol);
}

static const void *const *load_inputs(const options *o, const fk_model *model) {
    const void **inputs = allocate("the list of inputs", o->n_inputs * sizeof *inputs);
    for (size_t i = 0; i < o->n_inputs; i++) inputs[i] = read_input(o->inputs[i], model->input_bytes[i]);
    return inputs;
}

static void *const *allocate_outputs(const fk_model *model) {
    void **outputs = allocate("the list of outputs", model->n_outputs * sizeof *outputs);
    for (uint32_t i = 0; i < model->n_outputs; i++) outputs[i] = allocate("an output", model->output_bytes[i]);
    return outputs;
}

static void write_outputs(const options *o, const variant *v) {
    for (uint32_t i = 0; i < v->model->n_outputs; i++) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s.%u.bin", o->out, v->model->symbol, i);
        if (length >= (int)sizeof path) fail("output", "the path of --out is longer than %zu bytes", sizeof path);
        write_file(path, v->call.outputs[i], v->model->output_bytes[i]);
    }
}

static fk_crew *start_crew(const options *o, const fk_model *model) {
    fk_crew *crew = fk_crew_create(model->threads, o->n_cpus ? o->cpus : NULL);
    if (!crew && o->n_cpus)
        fail("threads", "%u threads cannot be started and pinned to the CPUs of --cpus", model->threads);
    if (!crew) fail("threads", "%u threads cannot be started", model->threads);
    return crew;
}

variant start_variant(const options *o, const fk_model *model) {
    uint64_t begin = now_ns();
    variant v = {
        .model = model,
        .call = {
            .inputs = load_inputs(o, model),
            .outputs = allocate_outputs(model),
            .weights = model->weights_bytes ? map_weights(weights_path(o, model->symbol), model->weights_bytes) : NULL,
            .arena = allocate("the arena", model->arena_bytes),
            .scratch = allocate("the scratch memory", model->scratch_bytes),
        },
        .crew = start_crew(o, model),
    };
    uint64_t loaded = now_ns();
    run_once(&v);
    uint64_t ran = now_ns();
    write_outputs(o, &v);
    line_begin("variant");
    field_text("symbol", model->symbol);
    field_integer("threads", model->threads);
    field_integer("arena_bytes", (int64_t)model->arena_bytes);
    field_integer("load_ns", (int64_t)(loaded - begin));
    field_integer("first_run_ns", (int64_t)(ran - loaded));
    line_end();
    return v;
}

void run_once(const variant *v) {
    fk_call call = v->call;
    fk_crew_run(v->crew, &call, v->model->run);
}
