/* Runs models on a machine without an operating system: every model of the plan once, its outputs to the disk.
 *
 * Threads of a model take turns on the one CPU: a thread runs until the barrier, then the next one does. What it says
 * goes to port 0xe9, a line for every model and one at the end. */
#include "fusekit.h"
#include "isa.h"
#include "report.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

enum { PAGE = 4096, SECTOR = 512, MAX_THREADS = 16, MAX_TENSORS = 1024, STACK_BYTES = 16 << 20 };
enum { DEBUG_PORT = 0xe9, ATA = 0x1f0, SHUTDOWN = 0x8900, WRITE_SECTORS = 0x30, BUSY = 0x80, DATA_READY = 0x08 };
enum { MEMORY_ALIGNMENT = 64, TENSOR_ALIGNMENT = 4 };

/* What the host puts behind the program: this, then from the next page on each job's weights and inputs. */
typedef struct {
    uint64_t gigabytes; /* of memory */
    char *outputs;
    uint64_t output_sectors;
    uint64_t disk_sector; /* where the outputs go */
    char *memory;         /* for arenas and scratch memory */
    char *stacks;
    uint64_t *page_tables;
    uint64_t jobs;
    char symbols[][64];
} layout;

extern layout plan;
extern const fk_model *const __start_fk_models[], *const __stop_fk_models[];
void switch_stacks(void **from, void *to);

/* -- The four functions of the C library that are called. -- */

void *memset(void *to, int value, size_t bytes) {
    void *begin = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return begin;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    void *begin = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return begin;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

size_t strcspn(const char *text, const char *stops) {
    size_t length = 0;
    while (text[length] && text[length] != *stops) length++; /* one character is all that is asked for */
    return length;
}

/* -- Devices. -- */

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void say(const char *text) {
    while (*text) out8(DEBUG_PORT, (uint8_t)*text++);
}

static _Noreturn void power_off(void) {
    for (const char *c = "Shutdown"; *c; c++) out8(SHUTDOWN, (uint8_t)*c); /* Bochs ends */
    for (;;) __asm__ volatile("hlt");
}

/* Only %s is known: it is what the check of CPU features says. */
_Noreturn void fail(const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(kind);
    say(": ");
    for (; *format; format++) {
        char one[2] = {*format, 0};
        if (format[0] == '%' && format[1] == 's') {
            say(va_arg(arguments, const char *));
            format++;
        } else say(one);
    }
    va_end(arguments);
    say("\n");
    power_off();
}

/* ATA/ATAPI-6, PIO data-out. */
static void write_sector(uint64_t sector, const void *from) {
    out8(ATA + 2, 1);
    for (int byte = 0; byte < 3; byte++) out8(ATA + 3 + byte, (uint8_t)(sector >> 8 * byte));
    out8(ATA + 6, (uint8_t)(0xe0 | sector >> 24)); /* the first drive, by LBA */
    out8(ATA + 7, WRITE_SECTORS);
    while ((in8(ATA + 7) & (BUSY | DATA_READY)) != DATA_READY) continue;
    size_t words = SECTOR / 4;
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(words) : "d"(ATA) : "memory");
    while (in8(ATA + 7) & BUSY) continue;
}

/* -- Pages. -- */

enum { BOOT_TABLES = 0x1000, PRESENT_AND_WRITABLE = 3, ENTRIES = 512 };

static void use_page_tables(uint64_t address) { __asm__ volatile("mov %0, %%cr3" : : "r"(address) : "memory"); }

/* Every page is mapped to itself by an entry of its own; returns the first page's. */
static uint64_t *map_pages(void) {
    uint64_t *level4 = plan.page_tables, *level3 = level4 + ENTRIES, *level2 = level3 + ENTRIES;
    uint64_t *level1 = level2 + plan.gigabytes * ENTRIES;
    memset(level4, 0, 2 * PAGE);
    level4[0] = (uint64_t)level3 | PRESENT_AND_WRITABLE;
    for (uint64_t i = 0; i < plan.gigabytes; i++) level3[i] = (uint64_t)(level2 + i * ENTRIES) | PRESENT_AND_WRITABLE;
    for (uint64_t i = 0; i < plan.gigabytes * ENTRIES; i++)
        level2[i] = (uint64_t)(level1 + i * ENTRIES) | PRESENT_AND_WRITABLE;
    for (uint64_t i = 0; i < plan.gigabytes * ENTRIES * ENTRIES; i++) level1[i] = i * PAGE | PRESENT_AND_WRITABLE;
    use_page_tables((uint64_t)level4);
    return level1;
}

static uint64_t *page_entries;

static uint64_t round_up(uint64_t bytes, uint64_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

/* The next `bytes` at the cursor, which end where a page does as nearly as their alignment allows. Whoever touches the page behind them faults. */
static void *take(char **cursor, uint64_t bytes, uint64_t alignment) {
    uint64_t size = round_up(bytes, alignment);
    char *end = *cursor + round_up(size, PAGE);
    page_entries[(uint64_t)end / PAGE] = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(end) : "memory");
    *cursor = end + PAGE;
    return end - size;
}

/* Memory that is NaN to whoever reads it before writing. */
static void *take_memory(char **cursor, uint64_t bytes) { return memset(take(cursor, bytes, MEMORY_ALIGNMENT), 0xff, bytes); }

/* -- Threads that take turns, on stacks of their own. -- */

static struct {
    const fk_model *model;
    fk_call *call;
    int64_t running;
    void *stack_pointers[MAX_THREADS + 1]; /* the last is guest_main's */
} crew = {.running = MAX_THREADS};

static void resume(int64_t thread) {
    int64_t from = crew.running;
    crew.running = thread;
    if (from != thread) switch_stacks(&crew.stack_pointers[from], crew.stack_pointers[thread]);
}

/* When the last thread has come here, the first one goes on: all have arrived. */
static void barrier(fk_call *call, int64_t thread) {
    (void)call;
    resume((thread + 1) % crew.model->threads);
}

static _Noreturn void thread_body(void) {
    crew.model->run(crew.call, crew.running);
    resume(MAX_THREADS);
    __builtin_unreachable();
}

static void run(const fk_model *model, fk_call *call) {
    crew.model = model;
    crew.call = call;
    call->barrier = barrier;
    for (uint32_t thread = 0; thread < model->threads; thread++) {
        void **top = (void **)(plan.stacks + (thread + (size_t)1) * STACK_BYTES) - 8;
        top[6] = (void *)thread_body; /* returned to, below six registers; the stack is then aligned as after a call */
        crew.stack_pointers[thread] = top;
    }
    /* The first returns when all have passed the last barrier. */
    for (uint32_t thread = 0; thread < model->threads; thread++) resume(thread);
}

/* -- The plan. -- */

static const fk_model *find_model(const char *symbol) {
    for (const fk_model *const *m = __start_fk_models; m < __stop_fk_models; m++)
        if (strcmp((*m)->symbol, symbol) == 0) return *m;
    fail("plan", "%s is not linked into this image", symbol);
}

/* Runs the model on what lies at `*given`, into what will lie at `*output`. */
static void run_job(const char *symbol, char **given, char **output, char **memory) {
    static const void *inputs[MAX_TENSORS];
    static void *outputs[MAX_TENSORS];
    const fk_model *model = find_model(symbol);
    require_features(model->features, model->symbol);
    if (model->n_inputs > MAX_TENSORS || model->n_outputs > MAX_TENSORS || model->threads > MAX_THREADS)
        fail("plan", "%s has too many inputs, outputs or threads", symbol);

    fk_call call = {.inputs = inputs, .outputs = outputs};
    call.weights = take(given, model->weights_bytes, MEMORY_ALIGNMENT);
    call.arena = take_memory(memory, model->arena_bytes);
    call.scratch = take_memory(memory, model->scratch_bytes);
    for (uint32_t i = 0; i < model->n_inputs; i++) inputs[i] = take(given, model->input_bytes[i], TENSOR_ALIGNMENT);
    for (uint32_t i = 0; i < model->n_outputs; i++) outputs[i] = take(output, model->output_bytes[i], TENSOR_ALIGNMENT);
    run(model, &call);
    say("ran ");
    say(symbol);
    say("\n");
}

_Noreturn void guest_main(void) {
    char *given = (char *)round_up((uint64_t)plan.symbols[plan.jobs], PAGE), *output = plan.outputs, *memory = plan.memory;
    memset(plan.outputs, 0xff, plan.output_sectors * SECTOR);
    page_entries = map_pages();
    for (uint64_t i = 0; i < plan.jobs; i++) run_job(plan.symbols[i], &given, &output, &memory);
    use_page_tables(BOOT_TABLES);
    for (uint64_t i = 0; i < plan.output_sectors; i++) write_sector(plan.disk_sector + i, plan.outputs + i * SECTOR);
    say("end\n");
    power_off();
}
