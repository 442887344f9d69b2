// Algorithm 1 in one launch: a thread block runs all index sets for a group of samples.
//
//     y = y0 + bias + W z on the set,  z = σ(y) + z0  or  z = slope · y + z0,  then the next set
//
// Forward, tangent, dual and dual tangent are all this. z of the group is read back from shared memory, or where
// that is too small from global memory, where what a thread wrote before __syncthreads is there for all its block.
// No atomics, and sums in a fixed order: equal calls give equal bits.

template <int P, bool SHARED>
__device__ __forceinline__ void sweep(
    const int* __restrict__ table, long long how, const T* __restrict__ W, const T* __restrict__ bias,
    const T* __restrict__ y0, const T* __restrict__ z0, const T* __restrict__ slope, const T* __restrict__ value,
    const int* __restrict__ ids, T* __restrict__ y, T* z)
{
    extern __shared__ __align__(16) unsigned char room[];
    const int channels = table[CHANNELS], width = SHARED ? table[WIDTH] : channels;
    const int y0_width = how & MOST_CHANNELS, z0_width = (how >> Z0_WIDTH) & MOST_CHANNELS, mode = (how >> MODE) & 3;
    const bool turned = (how >> TURNED) & 1;
    const int first = blockIdx.x * table[GROUP];
    const int samples = min(table[GROUP], table[SAMPLES] - first);
    const long long base = (long long)first * table[POSITIONS];
    z += base * channels;
    if (y) y += base * channels;
    if (y0) y0 += base * y0_width;
    if (z0) z0 += base * z0_width;
    if (slope) slope += base * channels;
    if (value) value += base * channels;
    T* known = SHARED ? reinterpret_cast<T*>(room) : z;

    const int* __restrict__ at = table + table[STEPS];
    Step step = read_step(at);
    for (int left = table[STEP_COUNT]; left; left--) {
        const int lane_bits = step.tap_bits + step.channel_bits, lanes = 1 << lane_bits;
        const int count = samples * step.extent[0] * step.extent[1] * step.extent[2];
        const int items = ((count + P - 1) / P * step.size) << lane_bits, id = ids ? ids[step.number] : 0;
        for (int from = 0; from < items; from += blockDim.x) {
            const int item = from + threadIdx.x, lane = item & (lanes - 1), unit = item >> lane_bits;
            const int row = unit / step.size, channel = step.first + unit - row * step.size;
            const Rows<P> rows = place<P>(row * P, count, table, step);
            T sum[P], start[P], factor[P];
#pragma unroll
            for (int p = 0; p < P; p++) {  // asked for before the taps, needed after them
                sum[p] = start[p] = factor[p] = T(0);
                if (rows.in[p] && (p & (lanes - 1)) == lane) {
                    const int here = rows.at[p] * channels + channel;
                    if (y0 && channel < y0_width) start[p] = y0[rows.at[p] * y0_width + channel];
                    if (bias) start[p] += bias[channel];
                    if (mode == SLOPE_GIVEN) factor[p] = slope[here];
                    if (mode == SLOPE_AT)
                        factor[p] = value && by_value(id) ? slope_of_value(id, value[here]) : slope_of(id, slope[here]);
                }
            }
            linear<P>(sum, rows, channel, lane, table, step, W, turned, known, width);
            gather<P>(sum, lanes);
#pragma unroll
            for (int p = 0; p < P; p++) {
                if (rows.in[p] && (p & (lanes - 1)) == lane) {
                    const int here = rows.at[p] * channels + channel;
                    const T before = start[p] + sum[p];
                    T after = mode == CURVE ? activate(id, before) : factor[p] * before;
                    if (z0 && channel < z0_width) after += z0[rows.at[p] * z0_width + channel];
                    if (y) y[here] = before;
                    z[here] = after;
                    if (SHARED) known[rows.at[p] * width + channel] = after;
                }
            }
        }
        at += STEP_SIZE;
        if (left > 1) step = read_step(at);
        __syncthreads();
    }
}

#define SWEEP(NAME, P, SHARED)                                                                                     \
    extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1) NAME(                                             \
        const int* __restrict__ table, long long how, const T* __restrict__ W, const T* __restrict__ bias,         \
        const T* __restrict__ y0, const T* __restrict__ z0, const T* __restrict__ slope,                           \
        const T* __restrict__ value, const int* __restrict__ ids, T* __restrict__ y, T* z)                         \
    {                                                                                                              \
        sweep<P, SHARED>(table, how, W, bias, y0, z0, slope, value, ids, y, z);                                    \
    }

SWEEP(sweep1_shared, 1, true)
SWEEP(sweep4_shared, 4, true)
SWEEP(sweep1_global, 1, false)
SWEEP(sweep4_global, 4, false)
