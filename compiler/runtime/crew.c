/* Parked threads that run one SPMD call after another and meet at a barrier of well under a microsecond.
 *
 * Everything waits at a `gate`: a counter of how often it was opened. A waiter spins for a bounded time, because on a
 * core of its own the gate opens within the next kernel's imbalance, and then sleeps in the kernel (futex), so that
 * more threads than cores make progress instead of burning each other's time slices. */
#include "crew.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_LINE 128 /* two lines of 64: adjacent-line prefetchers pull pairs */
#define MAX_CPUS 1024

/* About 50 to 200 us: PAUSE takes 40 to 140 cycles, ISB 10 to 40. */
#if defined(__x86_64__)
#define SPINS_ALONE 4000
static inline void relax(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
#define SPINS_ALONE 8000
static inline void relax(void) { __asm__ volatile("isb" ::: "memory"); } /* YIELD is a no-op on Cortex-A */
#else
#error "the crew knows x86-64 and aarch64"
#endif
#define SPINS_PER_YIELD 256 /* the scheduler may have put both threads on one core: then the other must run to open the gate */
#define SPINS_CROWDED 32 /* a waiter that spins on another thread's core only delays it */

#ifdef FK_CREW_JITTER
/* Random delays between the steps of the protocol, for the stress test: they widen every window that a wrong order of
 * operations would leave. */
static void jitter(void) {
    static _Thread_local uint32_t state;
    if (state == 0) state = (uint32_t)(uintptr_t)&state | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    if (state % 64 == 0) usleep(state / 64 % 50);
    else if (state % 8 == 0) sched_yield();
    else for (uint32_t i = state % 16; i > 0; i--) relax();
}
#else
static inline void jitter(void) {}
#endif

typedef struct {
    _Alignas(CACHE_LINE) _Atomic uint32_t opened; /* how often; wraps, and only equality is tested */
    _Atomic uint32_t sleepers;
} gate;

struct fk_crew {
    fk_call call; /* first, so that the barrier finds its crew from the call it is given */
    void (*entry)(fk_call *, int64_t);
    int64_t threads;
    int64_t started; /* workers to join */
    pid_t process;   /* that the workers live in */
    int32_t spins;
    bool stop;
    const int32_t *cpus; /* the caller's; read while creating only */
    atomic_bool unpinned;
    gate start;
    gate meet;
    _Alignas(CACHE_LINE) _Atomic int64_t arrived;
    pthread_t workers[];
};

typedef struct {
    fk_crew *crew;
    int64_t thread;
} seat;

/* Waits until the gate has been opened after it was read as `seen`.
 *
 * Acquire on the load that sees the gate open pairs with the opener's release in gate_open: what the opener did or
 * knew before opening is visible after this returns.
 *
 * No wake-up is lost. The sleeper writes `sleepers`, then reads `opened`; the opener writes `opened`, then reads
 * `sleepers`; all four are sequentially consistent, so at least one of the two reads sees the other's write. If the
 * sleeper reads the new value it does not sleep. If the opener reads a sleeper it calls FUTEX_WAKE, and a sleeper that
 * has not yet reached the kernel's queue is turned back, because FUTEX_WAIT compares `opened` under the lock that
 * FUTEX_WAKE takes. */
static void gate_wait(gate *g, uint32_t seen, int32_t spins) {
    for (int32_t i = 0; i < spins; i++) {
        if (atomic_load_explicit(&g->opened, memory_order_acquire) != seen) return;
        if (i % SPINS_PER_YIELD == SPINS_PER_YIELD - 1) sched_yield();
        else relax();
    }
    jitter();
    atomic_fetch_add_explicit(&g->sleepers, 1, memory_order_seq_cst);
    jitter();
    while (atomic_load_explicit(&g->opened, memory_order_seq_cst) == seen) {
        jitter();
        syscall(SYS_futex, &g->opened, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); /* spurious returns: look again */
    }
    /* Relaxed: an opener that still sees this sleeper makes one needless FUTEX_WAKE. */
    atomic_fetch_sub_explicit(&g->sleepers, 1, memory_order_relaxed);
}

static void gate_open(gate *g) {
    jitter();
    atomic_fetch_add_explicit(&g->opened, 1, memory_order_seq_cst); /* release for the waiters, see gate_wait */
    jitter();
    if (atomic_load_explicit(&g->sleepers, memory_order_seq_cst) > 0)
        syscall(SYS_futex, &g->opened, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Returns when all threads have called it; what any of them wrote before is visible to all of them after.
 *
 * `seen` may be read relaxed: the gate opens only after this thread has arrived, and the previous opening was acquired
 * by this thread when it left the previous barrier, so the value cannot be stale nor change before the arrival.
 * The arrivals are read-modify-writes with release, hence one release sequence; the last arrival's acquire makes all
 * earlier threads' writes visible to the last thread, whose opening of the gate hands them on to the waiters.
 * `arrived` is reset relaxed: the reset precedes the opening, and a next arrival follows the acquire of that opening. */
static void meet(fk_crew *crew) {
    uint32_t seen = atomic_load_explicit(&crew->meet.opened, memory_order_relaxed);
    jitter();
    if (atomic_fetch_add_explicit(&crew->arrived, 1, memory_order_acq_rel) + 1 < crew->threads) {
        gate_wait(&crew->meet, seen, crew->spins);
        return;
    }
    jitter();
    atomic_store_explicit(&crew->arrived, 0, memory_order_relaxed);
    gate_open(&crew->meet);
}

static void call_barrier(fk_call *call, int64_t thread) {
    (void)thread;
    meet((fk_crew *)call);
}

/* The plain fields of the crew (call, entry, stop) are written by thread 0 before it opens `start` and read by the
 * workers after they acquire that opening; thread 0 writes them again only after the barrier that ends the run, which
 * each worker reaches after its last read. */
static void *work(void *argument) {
    seat own = *(seat *)argument;
    free(argument);
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&own.crew->start, seen, own.crew->spins);
        if (own.crew->stop) return NULL;
        own.crew->entry(&own.crew->call, own.thread);
        meet(own.crew);
    }
}

/* The raw system call: glibc keeps an older sched_setaffinity of other arity, which an unversioned reference from a
 * shared object may be bound to. */
static bool pin_to(int32_t cpu) {
    unsigned long mask[MAX_CPUS / (8 * sizeof(long))] = {0};
    if (cpu < 0 || cpu >= MAX_CPUS) return false;
    mask[(size_t)cpu / (8 * sizeof(long))] = 1UL << ((size_t)cpu % (8 * sizeof(long)));
    return syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) == 0;
}

static void pin_entry(fk_call *call, int64_t thread) {
    fk_crew *crew = (fk_crew *)call;
    if (crew->cpus && !pin_to(crew->cpus[thread])) atomic_store_explicit(&crew->unpinned, true, memory_order_relaxed);
}

/* Whether every thread can have a core: distinct numbers in `cpus`, or the calling thread's affinity mask. */
static bool have_own_cores(int64_t threads, const int32_t *cpus) {
    if (cpus) {
        for (int64_t i = 1; i < threads; i++)
            for (int64_t j = 0; j < i; j++)
                if (cpus[i] == cpus[j]) return false;
        return true;
    }
    unsigned long mask[MAX_CPUS / (8 * sizeof(long))] = {0};
    if (syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) < 0) return false;
    int64_t usable = 0;
    for (size_t cpu = 0; cpu < MAX_CPUS; cpu++)
        usable += mask[cpu / (8 * sizeof(long))] >> cpu % (8 * sizeof(long)) & 1;
    return threads <= usable;
}

/* Workers block every signal: handlers run on the program's own threads. */
static bool start_workers(fk_crew *crew) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int64_t thread = 1; thread < crew->threads; thread++) {
        seat *own = malloc(sizeof *own);
        if (!own) break;
        *own = (seat){crew, thread};
        if (pthread_create(&crew->workers[thread - 1], NULL, work, own) != 0) {
            free(own);
            break;
        }
        crew->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return crew->started == crew->threads - 1;
}

/* fork() copies the crew but not its workers, who would be waited for for ever: the child starts its own. */
static void start_again(fk_crew *crew) {
    crew->process = getpid();
    crew->started = 0;
    atomic_store_explicit(&crew->arrived, 0, memory_order_relaxed); /* published by pthread_create */
    memset(&crew->start, 0, sizeof crew->start);
    memset(&crew->meet, 0, sizeof crew->meet);
    if (!start_workers(crew)) abort();
}

void fk_crew_run(fk_crew *crew, fk_call *call, void (*entry)(fk_call *, int64_t)) {
    crew->call = *call;
    crew->call.barrier = call_barrier;
    if (crew->threads == 1) {
        entry(&crew->call, 0);
        return;
    }
    if (crew->process != getpid()) start_again(crew);
    crew->entry = entry;
    gate_open(&crew->start);
    entry(&crew->call, 0);
    meet(crew);
}

fk_crew *fk_crew_create(int64_t threads, const int32_t *cpus) {
    if (threads < 1 || threads > MAX_CPUS) return NULL;
    size_t bytes = sizeof(fk_crew) + (size_t)(threads - 1) * sizeof(pthread_t);
    fk_crew *crew = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!crew) return NULL;
    memset(crew, 0, bytes);
    crew->threads = threads;
    crew->spins = have_own_cores(threads, cpus) ? SPINS_ALONE : SPINS_CROWDED;
    crew->cpus = cpus;
    crew->process = getpid();
    if (!start_workers(crew)) {
        fk_crew_destroy(crew);
        return NULL;
    }
    fk_crew_run(crew, &(fk_call){0}, pin_entry); /* also shows that every worker lives */
    crew->cpus = NULL;
    if (atomic_load_explicit(&crew->unpinned, memory_order_relaxed)) { /* ordered by the barrier that ends the run */
        fk_crew_destroy(crew);
        return NULL;
    }
    return crew;
}

void fk_crew_destroy(fk_crew *crew) {
    if (!crew) return;
    if (crew->process == getpid()) { /* the child of a fork has nobody to join */
        crew->stop = true;
        gate_open(&crew->start);
        for (int64_t i = 0; i < crew->started; i++) pthread_join(crew->workers[i], NULL);
    }
    free(crew);
}
