// CUDA C++ on the host: each thread of a thread block is a fiber that runs until it meets a barrier.
//
// The order in which fibers run between barriers is a setting, so that what depends on it shows. Barriers that some
// threads do not reach, shuffles that lack a lane, and writes beside shared memory end a launch with a message.

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static
#define __constant__ static const
#define __align__(n) __attribute__((aligned(n)))

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

#define STANDIN_PAIR(TYPE)                                                                                         \
    static inline TYPE min(TYPE a, TYPE b) { return b < a ? b : a; }                                                \
    static inline TYPE max(TYPE a, TYPE b) { return a < b ? b : a; }
STANDIN_PAIR(int)
STANDIN_PAIR(unsigned)
STANDIN_PAIR(long long)
STANDIN_PAIR(unsigned long long)
STANDIN_PAIR(float)
STANDIN_PAIR(double)
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __ldg(const float* x) { return *x; }
static inline double __ldg(const double* x) { return *x; }
static inline int __ldg(const int* x) { return *x; }

#ifdef __SANITIZE_ADDRESS__  // what lies beside shared memory must not even be read
extern "C" void __asan_poison_memory_region(const volatile void*, size_t);
extern "C" void __asan_unpoison_memory_region(const volatile void*, size_t);
#define standin_close __asan_poison_memory_region
#define standin_open __asan_unpoison_memory_region
#else
#define standin_close(start, size)
#define standin_open(start, size)
#endif

namespace standin {

enum State { RUNS, AT_BARRIER, AT_SHUFFLE, DONE };
struct Fiber {
    jmp_buf place;
    ucontext_t start;
    State state;
    int line;      // of the barrier that it waits at
    bool begun;
    unsigned far;  // what a shuffle exchanges with
    uint64_t given, got;
};
const int MOST = 1024, PAD = 4096;
const size_t STACK = 1 << 16;
static Fiber fibers[MOST];
static jmp_buf scheduler;
static char* stacks = nullptr;
static int current, threads;
static unsigned char* room;
static void (*body)(void**);
static void** arguments;
static char message[256];

__attribute__((noinline)) static void pause(State state, int line)
{
    Fiber& self = fibers[current];
    self.state = state;
    self.line = line;
    if (_setjmp(self.place) == 0) _longjmp(scheduler, 1);
}

static void enter()
{
    for (;;) {
        body(arguments);
        pause(DONE, 0);
    }
}

__attribute__((noinline)) static void resume(int thread)
{
    Fiber& fiber = fibers[thread];
    current = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
    if (_setjmp(scheduler) != 0) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.start);
}

template <typename V> static inline V exchange(unsigned mask, V value, unsigned far, int line)
{
    static_assert(sizeof(V) <= 8, "too wide a value for a shuffle");
    const int me = current;
    if (mask != 0xffffffffu) {
        snprintf(message, sizeof message, "line %d: a shuffle of some lanes only is not known here", line);
        pause(DONE, 0);
    }
    memcpy(&fibers[me].given, &value, sizeof(V));
    fibers[me].far = far;
    pause(AT_SHUFFLE, line);
    memcpy(&value, &fibers[me].got, sizeof(V));
    return value;
}

// Let one warp go on, if all its lanes are at a shuffle; tell whether there was one.
static bool shuffle(int first)
{
    const int end = min(first + 32, threads);
    for (int t = first; t < end; t++)
        if (fibers[t].state != AT_SHUFFLE || fibers[t].line != fibers[first].line) return false;
    for (int t = first; t < end; t++) {
        const int from = first + ((t - first) ^ (int)fibers[t].far);
        if (from >= end) {
            snprintf(message, sizeof message, "line %d: a shuffle reads a lane that is not there", fibers[t].line);
            return false;
        }
        fibers[t].got = fibers[from].given;
    }
    for (int t = first; t < end; t++) fibers[t].state = RUNS;
    return true;
}

static uint64_t random_state;
static void deal(int* order, int count, int how)
{
    for (int k = 0; k < count; k++) order[k] = how == 1 ? count - 1 - k : k;
    if (how < 2) return;
    for (int k = count - 1; k > 0; k--) {
        random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
        const int other = (int)((random_state >> 33) % (uint64_t)(k + 1)), kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
}

static void run_block(int how)
{
    static int order[MOST];
    for (int t = 0; t < threads; t++) fibers[t].state = RUNS;
    for (;;) {
        deal(order, threads, how);
        for (int k = 0; k < threads; k++) {
            if (fibers[order[k]].state == RUNS) resume(order[k]);
            if (message[0]) return;
        }
        bool moved = false;
        for (int first = 0; first < threads; first += 32) moved |= shuffle(first);
        if (message[0]) return;
        if (moved) continue;
        int waiting = 0, done = 0, line = 0;
        for (int t = threads - 1; t >= 0; t--)
            if (fibers[t].state == AT_BARRIER) line = fibers[t].line;
        for (int t = 0; t < threads; t++) {
            done += fibers[t].state == DONE;
            waiting += fibers[t].state == AT_BARRIER && fibers[t].line == line;
        }
        if (done == threads) return;
        if (waiting < threads) {
            snprintf(message, sizeof message, "divergent: %d of %d threads have ended, %d wait at the barrier of line %d",
                     done, threads, waiting, line);
            return;
        }
        for (int t = 0; t < threads; t++) fibers[t].state = RUNS;
    }
}

static const char* launch(void (*kernel)(void**), const unsigned* sizes, unsigned long long shared, void** given, int how)
{
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    threads = (int)(blockDim.x * blockDim.y * blockDim.z);
    body = kernel;
    arguments = given;
    message[0] = 0;
    random_state = (uint64_t)how;
    if (!stacks) stacks = static_cast<char*>(malloc(MOST * STACK));
    for (int t = 0; t < threads; t++) {
        fibers[t].begun = false;
        getcontext(&fibers[t].start);
        fibers[t].start.uc_stack.ss_sp = stacks + t * STACK;
        fibers[t].start.uc_stack.ss_size = STACK;
        fibers[t].start.uc_link = nullptr;
        makecontext(&fibers[t].start, enter, 0);
    }
    unsigned char* whole = static_cast<unsigned char*>(aligned_alloc(64, (shared + 63) / 64 * 64 + 2 * PAD));
    room = whole + PAD;
    const long long blocks = (long long)gridDim.x * gridDim.y * gridDim.z;
    for (long long k = 0; k < blocks && !message[0]; k++) {
        const long long b = how == 1 ? blocks - 1 - k : k;
        blockIdx = {(unsigned)(b % gridDim.x), (unsigned)(b / gridDim.x % gridDim.y), (unsigned)(b / gridDim.x / gridDim.y)};
        memset(whole, 0xff, shared + 2 * PAD);  // not a number, wherever it is read
        standin_close(whole, PAD);
        standin_close(room + shared, PAD);
        run_block(how);
        standin_open(whole, shared + 2 * PAD);
        for (unsigned long long at = 0; at < PAD && !message[0]; at++)
            if (whole[at] != 0xff || room[shared + at] != 0xff)
                snprintf(message, sizeof message, "block %lld wrote beside its %llu bytes of shared memory", b, shared);
    }
    free(whole);
    return message[0] ? message : nullptr;
}

// What a kernel takes: a letter of NumPy's for each scalar, "p" and one for each pointer.
template <typename V> constexpr char letter()
{
    using B = std::remove_cv_t<V>;
    if (std::is_same<B, bool>::value) return '?';
    if (std::is_same<B, float>::value) return 'f';
    if (std::is_same<B, double>::value) return 'd';
    if (std::is_integral<B>::value) {
        const char* names = std::is_signed<B>::value ? "bhiq" : "BHIQ";
        return names[sizeof(B) == 1 ? 0 : sizeof(B) == 2 ? 1 : sizeof(B) == 4 ? 2 : 3];
    }
    return 'v';
}
template <> constexpr char letter<void>() { return 'v'; }
template <typename V> void spell(char*& text)
{
    if (std::is_pointer<V>::value) *text++ = 'p';
    *text++ = letter<std::remove_pointer_t<V>>();
    *text++ = ' ';
}
template <typename... A> void signature(void (*)(A...), char* text)
{
    const int each[] = {0, (spell<A>(text), 0)...};
    (void)each;
    *text = 0;
}
template <typename... A, size_t... K>
void call(void (*kernel)(A...), void** given, std::index_sequence<K...>)
{
    kernel(*static_cast<std::remove_cv_t<A>*>(given[K])...);
}
template <typename... A> void call(void (*kernel)(A...), void** given)
{
    call(kernel, given, std::index_sequence_for<A...>());
}

}  // namespace standin

#define __syncthreads() standin::pause(standin::AT_BARRIER, __LINE__)
#define __syncwarp(...) ((void)standin::exchange(0xffffffffu, 0, 0u, __LINE__))
#define __shfl_xor_sync(mask, value, far) standin::exchange(mask, value, (unsigned)(far), __LINE__)
#define STANDIN_KERNEL(NAME)                                                                                       \
    extern "C" void signature_##NAME(char* text) { standin::signature(NAME, text); }                                \
    extern "C" const char* launch_##NAME(const unsigned* sizes, unsigned long long shared, void** given, int how)  \
    {                                                                                                              \
        return standin::launch([](void** a) { standin::call(NAME, a); }, sizes, shared, given, how);               \
    }
