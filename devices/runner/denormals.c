#include "denormals.h"

#include <stdint.h>

#if defined(__aarch64__)
/* FPCR.FZ: Arm ARM, C5.2.8 */
void flush_denormals(void) {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr | 1 << 24));
}
#elif defined(__x86_64__)
#include <xmmintrin.h>

/* MXCSR.FTZ and DAZ: Intel SDM, volume 1, section 10.2.3 */
void flush_denormals(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
#else
#error "no way is known to flush denormals on this architecture"
#endif
