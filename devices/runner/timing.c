#include "timing.h"

#include "clock.h"
#include "report.h"

#include <stdlib.h>

enum {
    MAX_SAMPLES = 100000, /* a visit; a bound on memory and on the length of a line */
    PROFILED_VISIT = 10,  /* runs */
};

static size_t visit(const options *o, const variant *v, uint64_t *samples) {
    run_once(v); /* its data is back in the caches, its threads are awake */
    uint64_t end = now_ns() + (uint64_t)o->round_ms * 1000000u;
    size_t count = 0;
    for (uint64_t now = 0; count < MAX_SAMPLES && (count < (size_t)o->min_samples || now < end);) {
        uint64_t begin = now_ns();
        run_once(v);
        now = now_ns();
        samples[count++] = now - begin;
    }
    return count;
}

void time_rounds(const options *o, const variant *variants, size_t count) {
    uint64_t *samples = malloc(MAX_SAMPLES * sizeof *samples);
    if (!samples) fail("memory", "%d samples do not fit into memory", MAX_SAMPLES);
    for (size_t i = 0; i < count; i++)
        for (int64_t run = 0; run < o->warmup; run++) run_once(&variants[i]);
    for (int64_t round = 0; round < o->rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            const variant *v = &variants[round % 2 ? count - 1 - i : i];
            size_t taken = visit(o, v, samples);
            line_begin("samples");
            field_text("symbol", v->model->symbol);
            field_integer("round", round);
            field_times("ns", samples, taken);
            line_end();
        }
    }
    free(samples);
}

/* The run being profiled. Static, because a tick is given nothing but the crew's call; thread 0 alone writes it. */
static struct {
    uint64_t last_ns;
    uint64_t *step_ns;
} profiled;

static void record_step(fk_call *call, int64_t thread, int64_t step) {
    (void)call;
    if (thread != 0) return; /* all threads have just left the same barrier */
    uint64_t now = now_ns();
    profiled.step_ns[step] = now - profiled.last_ns;
    profiled.last_ns = now;
}

static void profile_visit(const variant *v, size_t runs) {
    size_t n_steps = v->model->n_steps;
    uint64_t *steps = calloc(runs * n_steps + 1, sizeof *steps);
    if (!steps) fail("memory", "%zu profiled runs of %zu steps do not fit into memory", runs, n_steps);
    run_once(v);
    for (size_t run = 0; run < runs; run++) {
        fk_call call = v->call;
        call.tick = record_step;
        profiled.step_ns = steps + run * n_steps;
        profiled.last_ns = now_ns();
        fk_crew_run(v->crew, &call, v->model->profile);
    }
    line_begin("steps");
    field_text("symbol", v->model->symbol);
    field_table("ns", steps, runs, n_steps);
    line_end();
    free(steps);
}

void profile_steps(const options *o, const variant *variants, size_t count) {
    for (int64_t done = 0, round = 0; done < o->profile; done += PROFILED_VISIT, round++) {
        int64_t rest = o->profile - done;
        for (size_t i = 0; i < count; i++)
            profile_visit(&variants[round % 2 ? count - 1 - i : i], (size_t)(rest < PROFILED_VISIT ? rest : PROFILED_VISIT));
    }
}
