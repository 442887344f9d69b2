// Products with a z that is known: W z for all index sets at once, and the cotangents of weight and bias.

template <int P>
__device__ __forceinline__ void products(
    const int* __restrict__ table, long long how, const T* __restrict__ W, const T* __restrict__ z, T* __restrict__ y)
{
    const int channels = table[CHANNELS], positions = table[POSITIONS], most = table[PRODUCT_ROWS];
    const Step step = read_step(table + table[BLOCKS] + STEP_SIZE * blockIdx.y);
    const int lane_bits = step.tap_bits + step.channel_bits, lanes = 1 << lane_bits;
    const long long row = (long long)blockIdx.x * most;
    const int sample = row / positions, first = row - (long long)sample * positions;
    const int count = min((long long)first + most, (long long)(table[SAMPLES] - sample) * positions);
    const int items = ((count - first + P - 1) / P * step.size) << lane_bits;
    z += (long long)sample * positions * channels;
    y += (long long)sample * positions * channels;
    for (int from = 0; from < items; from += blockDim.x) {
        const int item = from + threadIdx.x, lane = item & (lanes - 1), unit = item >> lane_bits;
        const int line = unit / step.size, channel = step.first + unit - line * step.size;
        const Rows<P> rows = place<P>(first + line * P, count, table, step);
        T sum[P];
#pragma unroll
        for (int p = 0; p < P; p++) sum[p] = T(0);
        linear<P>(sum, rows, channel, lane, table, step, W, (how >> TURNED) & 1, z, channels);
        gather<P>(sum, lanes);
#pragma unroll
        for (int p = 0; p < P; p++)
            if (rows.in[p] && (p & (lanes - 1)) == lane) y[rows.at[p] * channels + channel] = sum[p];
    }
}

#define PRODUCTS(NAME, P)                                                                                          \
    extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1) NAME(                                                \
        const int* __restrict__ table, long long how, const T* __restrict__ W, const T* __restrict__ z,            \
        T* __restrict__ y)                                                                                         \
    {                                                                                                              \
        products<P>(table, how, W, z, y);                                                                          \
    }

PRODUCTS(products1, 1)
PRODUCTS(products4, 4)

// W̄[j, c, o] = Σ z[g − lag_j, c] v[g, o] over samples and positions g, 0 where dead; and Σ v, if `bias` is given.
//
// A thread block has 32 output channels o, side by side in a warp, and INPUTS channels c of a tap j. Its warps share
// the rows, and add up in the end, always in the same order. With `parts`, so do the chunks, in `total`.
extern "C" __global__ void __launch_bounds__(32 * WARPS) contract(
    const int* __restrict__ table, const T* __restrict__ z, const T* __restrict__ v, const bool* __restrict__ dead,
    T* __restrict__ out, T* __restrict__ bias, T* __restrict__ parts)
{
    extern __shared__ __align__(16) unsigned char room[];
    T* shared = reinterpret_cast<T*>(room);
    const int channels = table[CHANNELS], lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int across = (channels + 31) / 32, down = (channels + INPUTS - 1) / INPUTS, taps = table[KERNEL_TAPS];
    const int strip = blockIdx.x % across, rest = blockIdx.x / across;
    const int j = rest / down, first = rest % down * INPUTS;  // the bias is a tap too many
    const int o = 32 * strip + lane, reads = min(o, channels - 1);
    const int* __restrict__ tap = table + table[MEETINGS] + MEETING_SIZE * j;
    const int* __restrict__ strip_live = table + table[STRIPS] + 2 * (across * j + strip);
    T sum[INPUTS];
    int c[INPUTS];
#pragma unroll
    for (int q = 0; q < INPUTS; q++) {
        sum[q] = T(0);
        c[q] = min(first + q, channels - 1);
    }

    if (j == taps || (first < strip_live[1] && first + INPUTS > strip_live[0])) {
        int count[4], pitch[3], x[3];
#pragma unroll
        for (int a = 0; a < 4; a++) count[a] = tap[COUNT0 + a];
#pragma unroll
        for (int a = 0; a < 3; a++) pitch[a] = tap[PITCH0 + a];
        const long long rows = (long long)count[0] * count[1] * count[2] * count[3];
        const int shares = gridDim.y * WARPS, share = blockIdx.y * WARPS + warp;
        long long row = rows * share / shares;
        const long long stop = rows * (share + 1) / shares;
        long long left = row / count[3];
        int at = row - left * count[3];
        x[2] = left % count[2]; left /= count[2];
        x[1] = left % count[1];
        x[0] = left / count[1];
        while (row < stop) {
            const int run = min((long long)(count[3] - at), stop - row);
            const long long here
                = tap[BEGIN] + (long long)x[0] * pitch[0] + (long long)x[1] * pitch[1] + (long long)x[2] * pitch[2] + at;
            const T* __restrict__ right = v + here * channels + reads;
            if (j == taps) {
#pragma unroll 4
                for (int i = 0; i < run; i++) sum[0] += right[(long long)i * channels];
            } else {
                const T* __restrict__ left_row = z + (here - tap[MEETING_SHIFT]) * channels;
#pragma unroll 4
                for (int i = 0; i < run; i++, left_row += channels, right += channels) {
                    const T met = *right;
#pragma unroll
                    for (int q = 0; q < INPUTS; q++) sum[q] += left_row[c[q]] * met;
                }
            }
            row += run;
            at = 0;
            if (++x[2] == count[2]) {
                x[2] = 0;
                if (++x[1] == count[1]) { x[1] = 0; x[0]++; }
            }
        }
    }

#pragma unroll
    for (int q = 0; q < INPUTS; q++) shared[(warp * INPUTS + q) * 32 + lane] = sum[q];
    __syncthreads();
    if (warp >= INPUTS || first + warp >= channels || o >= channels || (j == taps && warp)) return;
    T all = T(0);
    for (int w = 0; w < WARPS; w++) all += shared[(w * INPUTS + warp) * 32 + lane];
    const int weights = taps * channels * channels, into = first + warp;
    int index = weights + o;
    if (j < taps) {
        index = (j * channels + into) * channels + o;
        const int* __restrict__ live = table + table[LIVE] + 2 * (j * channels + o);
        if (into < live[0] || into >= live[1] || (dead && dead[index])) all = T(0);
    }
    if (parts) parts[(long long)blockIdx.y * (weights + channels) + index] = all;
    else if (j < taps) out[index] = all;
    else bias[o] = all;
}

// Add up what the chunks of `contract` left in parts, of shape (chunks, weights + channels).
extern "C" __global__ void __launch_bounds__(32 * WARPS) total(
    const T* __restrict__ parts, int chunks, int weights, int channels, T* __restrict__ out, T* __restrict__ bias)
{
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= weights + (bias ? channels : 0)) return;
    T all = T(0);
#pragma unroll 4
    for (int k = 0; k < chunks; k++) all += parts[(long long)k * (weights + channels) + index];
    if (index < weights) out[index] = all;
    else bias[index - weights] = all;
}
