"""The LSTM on a GPU: a whole sequence in one launch, if the GPU is large enough; formulas in ops/lstm.py.

What costs time is that frames wait for each other. A launch takes some microseconds, and between two launches each
multiprocessor forgets what it had in its shared memory: the weights. So one launch walks through all frames:

    each block owns a few units of H, and keeps in shared memory the weights that lead to their four gates
    each thread owns one unit of one item of the batch: its four gates, its c
    in a frame every unit needs all h of the frame before: units write theirs to global memory, and all blocks wait for
    each other, once a frame, at a counter that each of them adds 1 to

Blocks can only wait for each other if all of them run at the same time: no more blocks than multiprocessors, and a
cooperative launch, which fails where it could deadlock. On an H100 (132 multiprocessors) with H = 512: 128 blocks of 4
units, 32 KiB of weights each, and for 64 items 256 threads. h is exchanged transposed, (H,B), since neighbouring
threads are neighbouring items. The backward walks the same way back, with the columns of weights that lead from a
unit, and exchanges dz (4H,B).

A layer that does not fit, because a block would need more shared memory or threads than there are, goes frame by frame:
a product by cuBLAS and a kernel for the gates. All else are products with all frames at once.
"""

from typing import NamedTuple

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.arithmetic import column_sums_cupy
from minicodec.kernels.gpu.cublas import Matrices, gemm, multiply_transposed
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.kernels.gpu.linear import linear_backward_cupy, linear_forward_cupy
from minicodec.ops.lstm import lstm

TILE = 64  # numbers of each item that are in shared memory at a time, beside the weights
MOST_THREADS = 1024  # of a block: each then has 64 registers, which is enough

GATES = r"""
__device__ float sigmoid(float z) { return 0.5f + 0.5f * tanhf(0.5f * z); }

// One unit in one frame: z comes as the four gates' inputs and leaves as i, f, g, o; c is updated; returns h.
__device__ float unit_forward(float4* z, float* c) {
    z->x = sigmoid(z->x), z->y = sigmoid(z->y), z->z = tanhf(z->z), z->w = sigmoid(z->w);
    *c = z->y * *c + z->x * z->z;
    return z->w * tanhf(*c);
}

// gates i, f, g, o, and c after and before the frame; dh, dc complete. Returns dz, and in dc that of the frame before.
__device__ float4 unit_backward(float4 gate, float c, float c_before, float dh, float* dc) {
    float s = tanhf(c), d = *dc + dh * gate.w * (1 - s * s);
    *dc = d * gate.y;
    float4 dz;
    dz.x = d * gate.z * gate.x * (1 - gate.x);
    dz.y = d * c_before * gate.y * (1 - gate.y);
    dz.z = d * gate.x * (1 - gate.z * gate.z);
    dz.w = dh * s * gate.w * (1 - gate.w);
    return dz;
}

// The four numbers of a unit in a frame's (4H): H apart.
__device__ float4 read_gates(const float* z, int H) {
    float4 gate;
    gate.x = z[0], gate.y = z[H], gate.z = z[2 * H], gate.w = z[3 * H];
    return gate;
}

__device__ void write_gates(float* z, int H, float4 gate) {
    z[0] = gate.x, z[H] = gate.y, z[2 * H] = gate.z, z[3 * H] = gate.w;
}
"""

FRAME = Kernels(
    "lstm_frame",
    GATES
    + r"""
// Frame t of gates (B,T,4H): inputs -> i, f, g, o; y (B,T,2H) gets h and c. A thread for each of B·H units.
extern "C" __global__ void frame_forward(float* gates, const float* bias, const float* c0, float* y, long long t,
                                         long long T, long long H, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long b = i / H, unit = i % H, frame = b * T + t;
    float* y_now = y + frame * 2 * H + unit;
    float c = t > 0 ? y_now[H - 2 * H] : c0[i];
    float4 z = read_gates(gates + frame * 4 * H + unit, H), extra = read_gates(bias + unit, H);
    z.x += extra.x, z.y += extra.y, z.z += extra.z, z.w += extra.w;
    y_now[0] = unit_forward(&z, &c);
    y_now[H] = c;
    write_gates(gates + frame * 4 * H + unit, H, z);
}

// dh, dc (B,H): what frame t + 1 sends back. dz (B,T,4H) gets frame t, dc becomes what goes on to frame t - 1.
extern "C" __global__ void frame_backward(const float* gates, const float* c0, const float* y, const float* dy,
                                          const float* dh, float* dc, float* dz, long long t, long long T, long long H,
                                          long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long b = i / H, unit = i % H, frame = b * T + t;
    const float *y_now = y + frame * 2 * H + unit, *dy_now = dy + frame * 2 * H + unit;
    float c_before = t > 0 ? y_now[H - 2 * H] : c0[i], d = dc[i] + dy_now[H];
    float4 gate = read_gates(gates + frame * 4 * H + unit, H);
    float4 result = unit_backward(gate, y_now[H], c_before, dh[i] + dy_now[0], &d);
    write_gates(dz + frame * 4 * H + unit, H, result);
    dc[i] = d;
}
""",
)

SEQUENCE = Kernels(
    "lstm_sequence",
    GATES
    + r"""
// Waits until all blocks have come here for the turn-th time. What they wrote before is then visible to all.
__device__ void wait_for_all_blocks(unsigned* arrived, unsigned turn) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(arrived, 1u);
        while (*(volatile unsigned*)arrived < turn * gridDim.x) __nanosleep(20);
        __threadfence();
    }
    __syncthreads();
}

// `rows` rows of B numbers into shared memory. volatile: past the L1 cache, which ignores what other blocks wrote.
__device__ void load_tile(float* tile, volatile const float* from, int rows, int B) {
    __syncthreads();  // nobody still reads the tile before
    for (int i = threadIdx.x; i < rows * B; i += blockDim.x) tile[i] = from[i];
    __syncthreads();
}

// gates (B,T,4H): inputs without bias -> i, f, g, o. w (H,4H). h (2,H,B): the h of even and of odd frames; h0 in the
// first. y (B,T,2H). The block has U units: shared memory for their weights, (H,U) float4, and a tile (TILE,B).
extern "C" __global__ void __launch_bounds__(1024) sequence_forward(
        float* gates, const float* w, const float* bias, const float* c0, float* h, float* y, unsigned* arrived,
        long long B_, long long T_, long long H_, long long U_, long long TILE_) {
    extern __shared__ float shared[];
    int B = B_, T = T_, H = H_, U = U_, TILE = TILE_;
    float4* weights = (float4*)shared;
    float* tile = shared + 4 * H * U;
    int first = blockIdx.x * U, b = threadIdx.x % B, u = threadIdx.x / B, unit = first + u;
    bool works = u < U && unit < H;  // other threads help to load

    for (int i = threadIdx.x; i < H * U; i += blockDim.x) {
        float4 none = {0, 0, 0, 0};
        weights[i] = first + i % U < H ? read_gates(w + (long long)(i / U) * 4 * H + first + i % U, H) : none;
    }
    float4 extra = {0, 0, 0, 0};
    if (works) extra = read_gates(bias + unit, H);
    float c = works ? c0[b * H + unit] : 0;

    for (int t = 0; t < T; t++) {
        const float* before = h + (long long)(t % 2) * H * B;
        float4 z = extra;
        for (int p = 0; p < H; p += TILE) {
            int rows = min(TILE, H - p);
            load_tile(tile, before + (long long)p * B, rows, B);
            if (works)
                for (int k = 0; k < rows; k++) {
                    float x = tile[k * B + b];
                    float4 a = weights[(p + k) * U + u];
                    z.x += x * a.x, z.y += x * a.y, z.z += x * a.z, z.w += x * a.w;
                }
        }
        if (works) {
            long long frame = (long long)b * T + t;
            float4 input = read_gates(gates + frame * 4 * H + unit, H);
            z.x += input.x, z.y += input.y, z.z += input.z, z.w += input.w;
            float shown = unit_forward(&z, &c);
            write_gates(gates + frame * 4 * H + unit, H, z);
            y[frame * 2 * H + unit] = shown, y[frame * 2 * H + H + unit] = c;
            h[((long long)((t + 1) % 2) * H + unit) * B + b] = shown;
        }
        wait_for_all_blocks(arrived, t + 1);
    }
}

// w (H,4H); shared memory for the U rows of it that lead from the block's units, (4H,U), and a tile.
// d (2,4H,B): dz of even and of odd frames. dz (B,T,4H), dh and dc (B,H) are filled.
extern "C" __global__ void __launch_bounds__(1024) sequence_backward(
        const float* gates, const float* w, const float* c0, const float* y, const float* dy, float* d, float* dz,
        float* dh, float* dc, unsigned* arrived, long long B_, long long T_, long long H_, long long U_,
        long long TILE_) {
    extern __shared__ float shared[];
    int B = B_, T = T_, H = H_, U = U_, TILE = TILE_;
    float *weights = shared, *tile = shared + 4 * H * U;
    int first = blockIdx.x * U, b = threadIdx.x % B, u = threadIdx.x / B, unit = first + u;
    bool works = u < U && unit < H;

    for (int i = threadIdx.x; i < 4 * H * U; i += blockDim.x)
        weights[i] = first + i % U < H ? w[(long long)(first + i % U) * 4 * H + i / U] : 0;
    float dh_next = 0, dc_next = 0;

    for (int t = T - 1; t >= 0; t--) {
        float* now = d + (long long)(t % 2) * 4 * H * B;
        if (works) {
            long long frame = (long long)b * T + t;
            const float *y_now = y + frame * 2 * H + unit, *dy_now = dy + frame * 2 * H + unit;
            float c_before = t > 0 ? y_now[H - 2 * H] : c0[b * H + unit];
            dc_next += dy_now[H];
            float4 gate = read_gates(gates + frame * 4 * H + unit, H);
            float4 result = unit_backward(gate, y_now[H], c_before, dh_next + dy_now[0], &dc_next);
            write_gates(dz + frame * 4 * H + unit, H, result);
            write_gates(now + (long long)unit * B + b, H * B, result);
        }
        wait_for_all_blocks(arrived, T - t);
        dh_next = 0;
        for (int p = 0; p < 4 * H; p += TILE) {
            int rows = min(TILE, 4 * H - p);
            load_tile(tile, now + (long long)p * B, rows, B);
            if (works)
                for (int k = 0; k < rows; k++) dh_next += tile[k * B + b] * weights[(p + k) * U + u];
        }
    }
    if (works) dh[b * H + unit] = dh_next, dc[b * H + unit] = dc_next;
}
""",
    cooperative=True,
)


class Plan(NamedTuple):
    """How the sequence kernels are launched."""

    blocks: int
    threads: int
    units: int  # of a block
    shared: int  # bytes


def plan(cupy, B, H):
    """The Plan for B items and H units on the GPU at hand; None if they do not fit it."""
    runtime = cupy.cuda.runtime
    device = runtime.getDevice()
    multiprocessors = runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, device)
    most_shared = runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, device)
    units = -(-H // multiprocessors)
    threads = max(128, -(-B * units // 32) * 32)  # even for one item there is a lot to load
    shared = 4 * (4 * H * units + TILE * B)
    fits = threads <= MOST_THREADS and shared <= most_shared
    return Plan(-(-H // units), threads, units, shared) if fits else None


def lstm_forward_cupy(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), [h_t | c_t]."""
    x, w_ih, w_hh, b, h0, c0 = contiguous(x, w_ih, w_hh, b, h0, c0)
    (B, T, _), H, cupy = x.shape, len(w_hh), xp(x)
    gates, _ = linear_forward_cupy(x, w_ih)
    y = cupy.empty((B, T, 2 * H), np.float32)
    how = plan(cupy, B, H)
    if how:
        h, arrived = cupy.empty((2, H, B), np.float32), cupy.zeros(1, np.uint32)
        h[0] = h0.T
        args = (gates, w_hh, b, c0, h, y, arrived, B, T, H, how.units, TILE)
        SEQUENCE.launch("sequence_forward", how.blocks, how.threads, *args, shared=how.shared)
        return y, (x, w_ih, w_hh, h0, c0, gates, y)
    for t in range(T):
        before = Matrices(y, T * 2 * H, (t - 1) * 2 * H) if t else Matrices(h0, H)
        gemm(before, Matrices(w_hh, 4 * H), Matrices(gates, T * 4 * H, t * 4 * H), (B, 4 * H, H), add=True)
        FRAME.each("frame_forward", B * H, gates, b, c0, y, t, T, H, B * H)
    return y, (x, w_ih, w_hh, h0, c0, gates, y)


def lstm_backward_cupy(dy, saved, *, needs=(True,) * 6):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H)."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    (dy,) = contiguous(dy)
    (B, T, _), H, cupy = x.shape, len(w_hh), xp(x)
    dz = cupy.empty(gates.shape, np.float32)
    dh, dc = cupy.zeros((B, H), np.float32), cupy.zeros((B, H), np.float32)
    how = plan(cupy, B, H)
    if how:
        d, arrived = cupy.empty((2, 4 * H, B), np.float32), cupy.zeros(1, np.uint32)
        args = (gates, w_hh, c0, y, dy, d, dz, dh, dc, arrived, B, T, H, how.units, TILE)
        SEQUENCE.launch("sequence_backward", how.blocks, how.threads, *args, shared=how.shared)
    else:
        for t in reversed(range(T)):
            FRAME.each("frame_backward", B * H, gates, c0, y, dy, dh, dc, dz, t, T, H, B * H)
            now, back = Matrices(dz, T * 4 * H, t * 4 * H), Matrices(w_hh, 4 * H, transposed=True)
            gemm(now, back, Matrices(dh, H), (B, H, 4 * H))

    dx, dw_ih = linear_backward_cupy(dz, (x, w_ih), needs=needs[:2])
    dw_hh = db = None
    if needs[2]:
        h_before = cupy.concatenate([h0[:, None], y[:, :-1, :H]], axis=1)
        flat = dz.reshape(1, B * T, 4 * H)
        dw_hh = multiply_transposed(h_before, flat, taps=1, P=H, batch_step=0, row_step=H)[0]
    if needs[3]:
        db = column_sums_cupy(dz.reshape(B * T, 4 * H))
    return dx, dw_ih, dw_hh, db, dh, dc


lstm.add("cupy", lstm_forward_cupy, lstm_backward_cupy)
