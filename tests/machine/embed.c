/* A C99 program with a compiled model in it: static memory, no allocation. Prints every output as hexadecimal floats. */
#include <stdio.h>

#include "model.h"

#define ALIGNED __attribute__((aligned(64)))

static unsigned char weights[NET_WEIGHTS_BYTES] ALIGNED;
static unsigned char arena[NET_ARENA_BYTES + 1] ALIGNED;
static unsigned char scratch[NET_SCRATCH_BYTES + 1] ALIGNED;
static float input0[NET_INPUT0_BYTES / sizeof(float)] ALIGNED;
static float output0[NET_OUTPUT0_BYTES / sizeof(float)] ALIGNED;
static float output1[NET_OUTPUT1_BYTES / sizeof(float)] ALIGNED;

static int load(const char *path, void *to, size_t bytes) {
    FILE *file = fopen(path, "rb");
    size_t got;
    if (!file) return -1;
    got = fread(to, 1, bytes, file);
    return fclose(file) || got != bytes ? -1 : 0;
}

static void print(const float *values, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) printf("%a\n", (double)values[i]);
}

int main(int argc, char **argv) {
    const void *inputs[NET_INPUTS];
    void *outputs[NET_OUTPUTS];
    net_call call;
    if (argc != 3 || load(argv[1], weights, sizeof weights) || load(argv[2], input0, sizeof input0)) return 2;
    if (net_init(&call, weights + 1, arena, scratch) != -1) return 3;
    if (net_init(&call, NULL, arena, scratch) != -1) return 3;
    if (net_init(&call, weights, arena, scratch) != 0) return 3;
    inputs[0] = input0;
    outputs[0] = output0;
    outputs[1] = output1;
    net_run(&call, inputs, outputs);
    print(output0, sizeof output0 / sizeof output0[0]);
    print(output1, sizeof output1 / sizeof output1[0]);
    return 0;
}
