/* Runs the models that are linked into this program on one set of inputs, writes their outputs, and times them in turn.
 * Everything it has to say is one JSON object a line on stdout; the last line repeats the caller's nonce, so that a
 * connection that was cut is never taken for a result. */
#include "counters.h"
#include "denormals.h"
#include "file.h"
#include "host.h"
#include "report.h"
#include "timing.h"
#include "variant.h"

int main(int argc, char **argv) {
    options o = parse_options(argc, argv);
    int32_t cpu = o.n_cpus ? o.cpus[0] : 0;
    const fk_model *models[MAX_VARIANTS];
    variant variants[MAX_VARIANTS];

    if (!o.check_only) flush_denormals(); /* a check is of every float that there is */
    describe_host("host", cpu);
    size_t count = choose_models(&o, models);
    make_folder(o.out);
    for (size_t i = 0; i < count; i++) variants[i] = start_variant(&o, models[i]);
    if (!o.check_only) time_rounds(&o, variants, count);
    if (o.profile) profile_steps(&o, variants, count);
    if (o.counters) count_events(&o, variants, count);
    describe_host("host_after", cpu);

    line_begin("end");
    field_text("nonce", o.nonce);
    field_true("ok");
    line_end();
    for (size_t i = 0; i < count; i++) fk_crew_destroy(variants[i].crew);
    return 0;
}
