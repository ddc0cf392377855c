/* A model that was linked in, with the memory, the files and the crew that it runs with. */
#ifndef RUNNER_VARIANT_H
#define RUNNER_VARIANT_H

#include "crew.h"
#include "options.h"

typedef struct {
    const fk_model *model;
    fk_crew *crew;
    fk_call call;
} variant;

/* The models to run, in the order asked for; their ABI and CPU features are verified, none of their code has run.
 * Fills `chosen` and returns how many. Kinds: "usage", "abi", "isa" */
size_t choose_models(const options *o, const fk_model *chosen[MAX_VARIANTS]);

/* Maps its weights, reads its inputs, allocates the rest, starts its crew, runs it once, writes OUT/<symbol>.<i>.bin
 * and prints its "variant" line. */
variant start_variant(const options *o, const fk_model *model);

void run_once(const variant *v);

#endif
