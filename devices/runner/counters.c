#include "counters.h"

#include "clock.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N_EVENTS = 4, MAX_COUNTERS = N_EVENTS * 2 * MAX_THREADS };

static const char *const event_names[N_EVENTS] = {"cycles", "instructions", "cache-misses", "branch-misses"};
static const uint64_t event_ids[N_EVENTS] = {
    PERF_COUNT_HW_CPU_CYCLES,
    PERF_COUNT_HW_INSTRUCTIONS,
    PERF_COUNT_HW_CACHE_MISSES,
    PERF_COUNT_HW_BRANCH_MISSES,
};

typedef struct {
    int file;
    int event;
} counter;

typedef struct {
    counter opened[MAX_COUNTERS];
    size_t count;
    bool has[N_EVENTS];
} counters;

static void close_all(counters *c) {
    for (size_t i = 0; i < c->count; i++) close(c->opened[i].file);
    c->count = 0;
}

static int is_absent(int error) { return error == ENOENT || error == EOPNOTSUPP; }

/* Opens on one thread the events that its CPU has; 0 or the errno. */
static int open_on_thread(counters *c, pid_t thread) {
    for (int event = 0; event < N_EVENTS; event++) {
        if (c->count == MAX_COUNTERS) return E2BIG;
        struct perf_event_attr attributes = {
            .type = PERF_TYPE_HARDWARE,
            .size = sizeof attributes,
            .config = event_ids[event],
            .disabled = 1,
            .exclude_kernel = 1, /* allowed at the usual perf_event_paranoid level of 2 */
            .exclude_hv = 1,
            .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
        };
        int file = (int)syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
        if (file < 0 && is_absent(errno)) continue;
        if (file < 0) return errno;
        c->opened[c->count++] = (counter){file, event};
        c->has[event] = true;
    }
    return 0;
}

/* Crews exist before the counters do, so each of the process's threads is opened by its id. */
static int open_all(counters *c) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) return errno;
    int error = 0;
    for (struct dirent *task; !error && (task = readdir(tasks));)
        if (task->d_name[0] != '.') error = open_on_thread(c, (pid_t)strtol(task->d_name, NULL, 10));
    closedir(tasks);
    if (!error && !c->count) error = ENOENT;
    if (error) close_all(c);
    return error;
}

static void switch_all(const counters *c, unsigned long request) {
    for (size_t i = 0; i < c->count; i++) ioctl(c->opened[i].file, request, 0);
}

static void read_all(const counters *c, uint64_t totals[N_EVENTS]) {
    for (size_t i = 0; i < c->count; i++) {
        struct {
            uint64_t value, enabled_ns, running_ns;
        } seen = {0};
        if (read(c->opened[i].file, &seen, sizeof seen) != sizeof seen || seen.running_ns == 0) continue;
        /* The kernel takes turns when there are more events than counters. */
        double share = (double)seen.enabled_ns / (double)seen.running_ns;
        totals[c->opened[i].event] += (uint64_t)((double)seen.value * share);
    }
}

static void report_counts(const counters *c, const uint64_t totals[N_EVENTS]) {
    const char *names[N_EVENTS];
    uint64_t values[N_EVENTS];
    size_t count = 0;
    for (int event = 0; event < N_EVENTS; event++) {
        if (!c->has[event]) continue;
        names[count] = event_names[event];
        values[count++] = totals[event];
    }
    field_counts("counts", names, values, count);
}

static int64_t run_for_a_visit(const options *o, const variant *v) {
    uint64_t end = now_ns() + (uint64_t)o->round_ms * 1000000u;
    int64_t runs = 0;
    do {
        run_once(v);
        runs++;
    } while (runs < o->min_samples || now_ns() < end);
    return runs;
}

static const char *sentence(int error) {
    switch (error) {
    case EACCES:
    case EPERM: return "the kernel does not let this user count events (see /proc/sys/kernel/perf_event_paranoid)";
    case ENOSYS: return "this system has no perf_event_open";
    case ENOENT:
    case EOPNOTSUPP:
    case ENODEV: return "this CPU or virtual machine offers no such counter";
    default: return strerror(error);
    }
}

void count_events(const options *o, const variant *variants, size_t count) {
    for (size_t i = 0; i < count; i++) {
        counters c = {.count = 0};
        int error = open_all(&c);
        line_begin("counters");
        field_text("symbol", variants[i].model->symbol);
        if (error) {
            field_null("counts");
            field_text("reason", sentence(error));
            line_end();
            continue;
        }
        run_once(&variants[i]);
        uint64_t totals[N_EVENTS] = {0};
        switch_all(&c, PERF_EVENT_IOC_ENABLE);
        int64_t runs = run_for_a_visit(o, &variants[i]);
        switch_all(&c, PERF_EVENT_IOC_DISABLE);
        read_all(&c, totals);
        close_all(&c);
        field_integer("runs", runs);
        report_counts(&c, totals);
        field_null("reason");
        line_end();
    }
}
