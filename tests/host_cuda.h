// What a CUDA kernel finds on a GPU, for g++ (see host_cuda.py). A thread is a fibre: it runs until it waits, at
// __syncthreads() or in __nanosleep(), or has ended; then comes the next. So runs are repeatable, and the order, first
// thread first or last thread first, is the caller's choice: a result that depends on it is a race.

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__ static
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __syncthreads() host_wait(__LINE__)
#define __nanosleep(nanoseconds) host_wait(YIELDS)

struct dim3 { unsigned x, y, z; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

static inline void __threadfence() {}
template <class T> static inline T atomicAdd(T* at, T value) { T old = *at; *at += value; return old; }
static inline float __int_as_float(int bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }

enum { READY = 0, YIELDS = -1, DONE = -2 };  // or the line of the __syncthreads() at which it waits
enum { FINE, LEFT_OTHERS_WAITING, AT_DIFFERENT_BARRIERS, STUCK, WROTE_BEHIND_SHARED };
static const size_t STACK = 1 << 15, GUARD = 64;

// A fibre is made once and runs one kernel's thread after another: ucontext gives it a stack, and from then on jumps
// lead in and out of it, since swapcontext asks the system each time.
struct Fibre { jmp_buf place; char* stack; bool begun; dim3 thread, block; char* shared; int state; };
static Fibre *fibres, *running;
static size_t room;
static jmp_buf scheduler;
static void (*kernel)();
static char* host_shared;

static void host_wait(int where) {
    running->state = where;
    if (!_setjmp(running->place)) _longjmp(scheduler, 1);
}

static void run_forever() {
    for (;;) {
        kernel();
        host_wait(DONE);
    }
}

static void resume(Fibre* f) {
    running = f;
    threadIdx = f->thread, blockIdx = f->block, host_shared = f->shared, f->state = READY;
    if (_setjmp(scheduler)) return;
    if (f->begun) _longjmp(f->place, 1);
    f->begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = f->stack, context.uc_stack.ss_size = STACK, context.uc_link = 0;
    makecontext(&context, run_forever, 0);
    setcontext(&context);
}

// Opens the barrier at which all threads of a block have arrived; an error if they can never.
static int open_barrier(Fibre* block, size_t threads) {
    size_t waiting = 0, done = 0, line = 0;
    for (size_t i = 0; i < threads; i++) {
        done += block[i].state == DONE;
        if (block[i].state <= 0) continue;
        if (waiting++ && block[i].state != (int)line) return AT_DIFFERENT_BARRIERS;
        line = block[i].state;
    }
    if (waiting && waiting + done == threads && done) return LEFT_OTHERS_WAITING;
    for (size_t i = 0; waiting == threads && i < threads; i++) block[i].state = READY;
    return FINE;
}

// Runs a block until all its threads have ended or wait for other blocks; false if all of them did already. As far as it
// gets, since blocks of a GPU do not keep step either: only if they wait for each other where they must, will it do.
static bool run_block(Fibre* block, size_t threads, int last_first, int* error) {
    bool ran = false;
    for (bool progress = true; progress && !*error; ran |= progress) {
        progress = false;
        for (size_t i = 0; i < threads; i++) {
            Fibre* f = block + (last_first ? threads - 1 - i : i);
            if (f->state != READY && f->state != YIELDS) continue;
            bool waited = f->state == YIELDS;
            resume(f);
            progress |= !waited || f->state != YIELDS;
        }
        *error = open_barrier(block, threads);
    }
    return ran;
}

// Runs blocks first ... first + blocks - 1 of the grid side by side.
static int run_together(size_t first, size_t blocks, size_t threads, size_t shared, int last_first) {
    char* memory = (char*)malloc(blocks * (shared + GUARD));
    memset(memory, 0xFF, blocks * (shared + GUARD));  // as floats, NaN: nobody gets away with reading it unwritten
    for (size_t i = 0; i < blocks * threads; i++) {
        Fibre* f = fibres + i;
        size_t b = first + i / threads, t = i % threads;
        f->block = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y), unsigned(b / gridDim.x / gridDim.y)};
        f->thread = {unsigned(t % blockDim.x), unsigned(t / blockDim.x % blockDim.y),
                     unsigned(t / blockDim.x / blockDim.y)};
        f->shared = memory + i / threads * (shared + GUARD), f->state = READY;
    }
    int error = FINE;
    for (bool ran = true; ran && !error;) {
        ran = false;
        for (size_t b = 0; b < blocks && !error; b++)
            ran |= run_block(fibres + (last_first ? blocks - 1 - b : b) * threads, threads, last_first, &error);
    }
    for (size_t i = 0; i < blocks * threads && !error; i++)
        if (fibres[i].state != DONE) error = STUCK;
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < GUARD; i++)
            if (!error && memory[b * (shared + GUARD) + shared + i] != (char)0xFF) error = WROTE_BEHIND_SHARED;
    for (size_t i = 0; error && i < blocks * threads; i++) fibres[i].begun = false;  // some stand in the middle of it
    free(memory);
    return error;
}

// The same where no thread ever waits: without fibres, some fifty times as fast.
static int run_without_waiting(size_t blocks, size_t threads, int last_first) {
    for (size_t i = 0; i < blocks * threads; i++) {
        size_t at = last_first ? blocks * threads - 1 - i : i, b = at / threads, t = at % threads;
        blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y), unsigned(b / gridDim.x / gridDim.y)};
        threadIdx = {unsigned(t % blockDim.x), unsigned(t / blockDim.x % blockDim.y),
                     unsigned(t / blockDim.x / blockDim.y)};
        kernel();
    }
    return FINE;
}

static int host_run(void (*body)(), const unsigned* grid, const unsigned* block, size_t shared, int cooperative,
                    int last_first, int waits) {
    kernel = body;
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    size_t blocks = (size_t)grid[0] * grid[1] * grid[2], threads = (size_t)block[0] * block[1] * block[2];
    if (!waits) return run_without_waiting(blocks, threads, last_first);
    size_t together = cooperative ? blocks : 1;
    if (room < together * threads) {
        fibres = (Fibre*)realloc(fibres, together * threads * sizeof(Fibre));
        for (; room < together * threads; room++) fibres[room].stack = (char*)malloc(STACK), fibres[room].begun = false;
    }
    int error = FINE;
    for (size_t b = 0; b < blocks && !error; b += together)
        error = run_together(last_first ? blocks - together - b : b, together, threads, shared, last_first);
    return error;
}
