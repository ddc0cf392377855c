#include "options.h"

#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int64_t parse_count(const char *flag, const char *text) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < 0 || value > 1000000000)
        fail("usage", "%s needs a whole number from 0 to 1000000000, not '%s'", flag, text);
    return value;
}

static void room_for_one(const char *flag, size_t count, size_t limit) {
    if (count == limit) fail("usage", "%s is given more than %zu times", flag, limit);
}

static weights_option parse_weights(char *text) {
    char *equals = strchr(text, '=');
    if (!equals) fail("usage", "--weights needs SYMBOL=FILE, not '%s'", text);
    *equals = '\0';
    return (weights_option){text, equals + 1};
}

options parse_options(int argc, char **argv) {
    options o = {.warmup = 3, .rounds = 5, .round_ms = 100, .min_samples = 3};
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--counters") == 0) {
            o.counters = true;
            continue;
        }
        if (strcmp(flag, "--check-only") == 0) {
            o.check_only = true;
            continue;
        }
        if (i + 1 == argc) fail("usage", "%s is not a flag, or its value is missing", flag);
        char *value = argv[++i];
        if (strcmp(flag, "--nonce") == 0) o.nonce = value;
        else if (strcmp(flag, "--out") == 0) o.out = value;
        else if (strcmp(flag, "--warmup") == 0) o.warmup = parse_count(flag, value);
        else if (strcmp(flag, "--rounds") == 0) o.rounds = parse_count(flag, value);
        else if (strcmp(flag, "--round-ms") == 0) o.round_ms = parse_count(flag, value);
        else if (strcmp(flag, "--min-samples") == 0) o.min_samples = parse_count(flag, value);
        else if (strcmp(flag, "--profile") == 0) o.profile = parse_count(flag, value);
        else if (strcmp(flag, "--input") == 0) {
            room_for_one(flag, o.n_inputs, MAX_INPUTS);
            o.inputs[o.n_inputs++] = value;
        } else if (strcmp(flag, "--weights") == 0) {
            room_for_one(flag, o.n_weights, MAX_VARIANTS);
            o.weights[o.n_weights++] = parse_weights(value);
        } else if (strcmp(flag, "--variants") == 0) {
            for (char *symbol = strtok(value, ","); symbol; symbol = strtok(NULL, ",")) {
                room_for_one(flag, o.n_variants, MAX_VARIANTS);
                o.variants[o.n_variants++] = symbol;
            }
        } else if (strcmp(flag, "--cpus") == 0) {
            for (char *cpu = strtok(value, ","); cpu; cpu = strtok(NULL, ",")) {
                room_for_one(flag, o.n_cpus, MAX_THREADS);
                o.cpus[o.n_cpus++] = (int32_t)parse_count(flag, cpu);
            }
        } else fail("usage", "'%s' is not a flag of this runner", flag);
    }
    if (!o.nonce) fail("usage", "--nonce is missing");
    if (!o.out) fail("usage", "--out is missing");
    return o;
}
