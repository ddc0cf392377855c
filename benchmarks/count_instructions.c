/* A plugin for QEMU's emulator of programs: counts the instructions that one thread executes in functions whose names begin as told.
 *
 *     qemu-aarch64 -plugin count.so,out=FILE,prefix=fk_model_,prefix=fk_pool_ PROGRAM
 *
 * FILE gets the number. Distributions do not ship qemu-plugin.h, so the functions that are used are declared here, as QEMU's documentation
 * of TCG plugins has them; they are the same from API version 1 on. A block of code has no branch but at its end and the functions counted
 * raise no signals, so a block that is entered is executed to its end. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t number);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*executed)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*ended)(qemu_plugin_id_t, void *), void *data);

enum { NO_REGISTERS, MOST_PREFIXES = 16, MOST_LETTERS = 4096 };

int qemu_plugin_version = PLUGIN_VERSION;

static char letters[MOST_LETTERS];
static const char *prefixes[MOST_PREFIXES], *out;
static size_t prefix_count;
static uint64_t executed_count;

static bool is_counted(const struct qemu_plugin_insn *instruction) {
    const char *symbol = qemu_plugin_insn_symbol(instruction);
    for (size_t i = 0; symbol && i < prefix_count; i++)
        if (strncmp(symbol, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static void executed(unsigned cpu, void *instructions) {
    (void)cpu;
    executed_count += (uintptr_t)instructions;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    uintptr_t counted = 0;
    for (size_t i = 0, n = qemu_plugin_tb_n_insns(block); i < n; i++) counted += is_counted(qemu_plugin_tb_get_insn(block, i));
    if (counted) qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, (void *)counted);
}

static void ended(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    FILE *file = fopen(out, "w");
    if (!file) return;
    fprintf(file, "%llu\n", (unsigned long long)executed_count);
    fclose(file);
}

/* QEMU frees the arguments when this returns. */
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info;
    size_t used = 0;
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        if (!value || used + strlen(++value) >= MOST_LETTERS) return 1;
        const char *kept = strcpy(letters + used, value);
        used += strlen(value) + 1;
        if (strncmp(argv[i], "out=", 4) == 0)
            out = kept;
        else if (strncmp(argv[i], "prefix=", 7) == 0 && prefix_count < MOST_PREFIXES)
            prefixes[prefix_count++] = kept;
        else
            return 1;
    }
    if (!out || !prefix_count) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
