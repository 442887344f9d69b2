// What the kernels have in common: rows of y, and the linear step on them.
//
// T is float or double. The table and the names of its entries come from tables.py; an array lies as
// (sample, grid position, channel), a weight as (lag, in, out), or turned about: see `linear`.

// An index set: a channel block in a box of grid positions, and how threads are dealt out to it.
struct Step {
    int first, size, number, tap_begin, tap_end, tap_bits, channel_bits, start[3], extent[3];
};

__device__ __forceinline__ Step read_step(const int* __restrict__ at)
{
    return {at[FIRST], at[SIZE], at[NUMBER], at[TAP_BEGIN], at[TAP_END], at[TAP_BITS], at[CHANNEL_BITS],
            {at[START0], at[START1], at[START2]}, {at[BOX0], at[BOX1], at[BOX2]}};
}

// P rows of y that one thread computes together, so that a weight is read once for all of them.
template <int P> struct Rows {
    int at[P];       // sample * positions + position
    int x[P][3];     // grid coordinates
    bool in[P];      // whether there is such a row
};

// Rows first, first + 1, …, of so many: sample by sample, in each the positions of a box.
template <int P>
__device__ __forceinline__ Rows<P> place(int first, int count, const int* __restrict__ table, const Step& step)
{
    const int n1 = table[EXTENT1], n2 = table[EXTENT2], positions = table[POSITIONS];
    Rows<P> rows;
#pragma unroll
    for (int p = 0; p < P; p++) {
        int rest = first + p, x[3] = {0, 0, 0};
        rows.in[p] = rest < count;
#pragma unroll
        for (int a = 2; a >= 0; a--) {
            if (step.extent[a] != 1) {
                x[a] = rest;
                rest /= step.extent[a];
                x[a] -= rest * step.extent[a];
            }
            rows.x[p][a] = x[a] + step.start[a];
        }
        rows.at[p] = rest * positions + (rows.x[p][0] * n1 + rows.x[p][1]) * n2 + rows.x[p][2];
    }
    return rows;
}

// Add to sum[p] the share of one lane in Σ W[j, c, channel] z[row − lag_j, c], over the taps j of a block and the
// input channels c that it reads there. The lanes of an output are dealt taps first; those of a tap take 4 channels
// each in turn, whose loads are in flight together. Zero outside the grid: no weight is multiplied there.
//
// `turned`: W is the transpose of a kernel that lies elsewhere, lags reversed; the pointer is at its first entry.
template <int P>
__device__ __forceinline__ void linear(
    T* sum, const Rows<P>& rows, int channel, int lane, const int* __restrict__ table, const Step& step,
    const T* __restrict__ W, bool turned, const T* z, int width)
{
    const int n0 = table[EXTENT0], n1 = table[EXTENT1], n2 = table[EXTENT2], channels = table[CHANNELS];
    const int own = 4 * (lane & ((1 << step.channel_bits) - 1)), in_stride = turned ? 1 : channels;
    W += turned ? (long long)channel * channels : channel;
    for (int j = step.tap_begin + (lane >> step.channel_bits); j < step.tap_end; j += 1 << step.tap_bits) {
        const int* __restrict__ tap = table + table[TAPS] + TAP_SIZE * j;
        const int lag0 = tap[LAG0], lag1 = tap[LAG1], lag2 = tap[LAG2], shift = tap[SHIFT], kernel = tap[KERNEL];
        const int begin = tap[READ_BEGIN], end = tap[READ_END];
        bool in[P], all = true, any = false;
        int source[P], some = 0;
#pragma unroll
        for (int p = 0; p < P; p++) {
            in[p] = rows.in[p] & ((unsigned)(rows.x[p][0] - lag0) < (unsigned)n0)
                & ((unsigned)(rows.x[p][1] - lag1) < (unsigned)n1) & ((unsigned)(rows.x[p][2] - lag2) < (unsigned)n2);
            source[p] = (rows.at[p] - shift) * width;
            some = in[p] ? source[p] : some;
            all &= in[p];
            any |= in[p];
        }
        if (!any) continue;
#pragma unroll
        for (int p = 0; p < P; p++) source[p] = in[p] ? source[p] : some;  // read, and then left out of the sum
        const T* __restrict__ w = W + (turned ? -kernel : kernel);
        for (int c = begin + own; c < end; c += 4 << step.channel_bits) {
            T weight[4], met[P][4];
            if (all && c + 4 <= end) {
#pragma unroll
                for (int u = 0; u < 4; u++) {
                    weight[u] = w[(c + u) * in_stride];
#pragma unroll
                    for (int p = 0; p < P; p++) met[p][u] = z[source[p] + c + u];
                }
#pragma unroll
                for (int u = 0; u < 4; u++)
#pragma unroll
                    for (int p = 0; p < P; p++) sum[p] += weight[u] * met[p][u];
            } else {
#pragma unroll
                for (int u = 0; u < 4; u++) {
                    const int near = min(c + u, end - 1);
                    weight[u] = w[near * in_stride];
#pragma unroll
                    for (int p = 0; p < P; p++) met[p][u] = z[source[p] + near];
                }
#pragma unroll
                for (int u = 0; u < 4; u++)
#pragma unroll
                    for (int p = 0; p < P; p++)
                        if (in[p] && c + u < end) sum[p] += weight[u] * met[p][u];
            }
        }
    }
}

// Add up the lanes of each output, always in the same order; every lane gets the sum.
template <int P> __device__ __forceinline__ void gather(T* sum, int lanes)
{
    for (int far = lanes >> 1; far; far >>= 1) {
#pragma unroll
        for (int p = 0; p < P; p++) sum[p] += __shfl_xor_sync(0xffffffffu, sum[p], far);
    }
}
