// irdim.differencing and irdim.noise on the GPU: from a ring of 8- or 16-bit frames to the network's input.
//
//   planes  ->  column_sums  ->  high_pass  ->  quartiles  ->  histogram  ->  noise  ->  scale
//
// The NumPy module is the reference; the same steps in the same order, float32 rounded after every operation (built without fused multiply-add).
// HIGH_PASS_RADIUS, KNEE, ... are defined from its constants when this is compiled (irdim.cuda.compiler).
//
// Every thread works for itself: no shared memory, no barriers. So the file compiles as plain C++ too, where the tests run it.
// Sums are of whole numbers: exact in any order, and a Jetson adds them much faster than doubles.

typedef long long Whole;  // counts in units of 2^-24: every float32 count from 1 up is one exactly

constexpr float UNITS = 16777216.0f;

// The frame's place in the ring, and its motion to the newest frame: whole pixels, and -0.5 to 0.5 px beyond them.
struct Placed {
    int slot, whole_y, whole_x;
    float part_y, part_x;
};

struct Stack {
    Placed frames[4];  // newest first
};

struct Size {
    int height, width;
};

// Which pixels are looked at for the noise scale: every stride-th, `count` of them; of these every step-th, `rough` of them, for the quartiles.
struct Sample {
    int stride, count, step, rough;
};

struct Bins {
    float centre, width;
    int reach;
};

__device__ int clipped(int i, int low, int high) { return i < low ? low : i > high ? high : i; }

__device__ size_t pixels_of(Size size) { return (size_t)size.height * size.width; }

// align ---------------------------------------------------------------------------------------------------------------

template <typename Pixel>
__device__ float pixel(const Pixel* ring, Size size, Placed frame, int y, int x) {
    return (float)ring[pixels_of(size) * frame.slot + (size_t)y * size.width + x];
}

// move_whole: what comes from outside is taken from the newest frame.
template <typename Pixel>
__device__ float moved_whole(const Pixel* ring, Size size, Placed frame, Placed newest, int y, int x) {
    int from_y = y - frame.whole_y, from_x = x - frame.whole_x;
    bool inside = from_y >= 0 && from_y < size.height && from_x >= 0 && from_x < size.width;
    return inside ? pixel(ring, size, frame, from_y, from_x) : pixel(ring, size, newest, y, x);
}

// The index before i in the direction of the motion; the border is repeated.
__device__ int beside(int i, float part, int n) { return clipped(part > 0 ? i - 1 : i + 1, 0, n - 1); }

__device__ float between(float here, float neighbour, float part) {
    float weight = fabsf(part);
    return here * (1.0f - weight) + neighbour * weight;
}

template <typename Pixel>
__device__ float moved_down(const Pixel* ring, Size size, Placed frame, Placed newest, int y, int x) {
    float here = moved_whole(ring, size, frame, newest, y, x);
    if (frame.part_y == 0) return here;
    return between(here, moved_whole(ring, size, frame, newest, beside(y, frame.part_y, size.height), x), frame.part_y);
}

template <typename Pixel>
__device__ float aligned(const Pixel* ring, Size size, Placed frame, Placed newest, int y, int x) {
    float here = moved_down(ring, size, frame, newest, y, x);
    if (frame.part_x == 0) return here;
    return between(here, moved_down(ring, size, frame, newest, y, beside(x, frame.part_x, size.width)), frame.part_x);
}

// planes: grid over x, y, channel -------------------------------------------------------------------------------------

// Keeps a pixel for the noise scale where it is one of the sample.
__device__ void note(float* values, Sample sample, size_t index, int channel, float value) {
    if (index % sample.stride == 0) values[(size_t)channel * sample.count + index / sample.stride] = value;
}

// Channels in counts, (C, H, W): the first `differences` are Eq. (1), F[0] - F[c + 1], the others are frames, newest first. A difference's noise is judged
// here, a frame's after its high-pass.
template <typename Pixel>
__device__ void planes(Stack stack, Size size, Sample sample, int differences, const Pixel* ring, float* counts, float* values) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, channel = blockIdx.z;
    if (x >= size.width || y >= size.height) return;
    size_t index = (size_t)y * size.width + x;
    Placed newest = stack.frames[0];
    float value;
    if (channel < differences) {
        value = pixel(ring, size, newest, y, x) - aligned(ring, size, stack.frames[channel + 1], newest, y, x);
        note(values, sample, index, channel, value);
    } else {
        value = aligned(ring, size, stack.frames[channel - differences], newest, y, x);
    }
    counts[channel * pixels_of(size) + index] = value;
}

extern "C" __global__ void planes_8(Stack stack, Size size, Sample sample, int differences, const unsigned char* ring, float* counts,
                                    float* values) {
    planes(stack, size, sample, differences, ring, counts, values);
}

extern "C" __global__ void planes_16(Stack stack, Size size, Sample sample, int differences, const unsigned short* ring, float* counts,
                                     float* values) {
    planes(stack, size, sample, differences, ring, counts, values);
}

// high-pass -----------------------------------------------------------------------------------------------------------

__device__ Whole whole(float count) { return llrintf(count * UNITS); }

// Sums over the window's height, (C, H, W). Grid over x, strips of STRIP rows, channel; a thread runs down its strip.
extern "C" __global__ void column_sums(Size size, const float* counts, Whole* sums) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, top = STRIP * (blockIdx.y * blockDim.y + threadIdx.y);
    if (x >= size.width || top >= size.height) return;
    counts += blockIdx.z * pixels_of(size) + x;
    sums += blockIdx.z * pixels_of(size) + x;
    int below = clipped(top + HIGH_PASS_RADIUS, 0, size.height), end = clipped(top + STRIP, 0, size.height);
    Whole sum = 0;
    for (int y = clipped(top - HIGH_PASS_RADIUS, 0, top); y < below; y++) sum += whole(counts[(size_t)y * size.width]);
    for (int y = top; y < end; y++) {
        int enters = y + HIGH_PASS_RADIUS, leaves = y - HIGH_PASS_RADIUS;
        if (enters < size.height) sum += whole(counts[(size_t)enters * size.width]);
        sums[(size_t)y * size.width] = sum;
        if (leaves >= 0) sum -= whole(counts[(size_t)leaves * size.width]);
    }
}

// Counts less their local mean over what the window covers of the frame, in place. Grid over x, y, channel.
extern "C" __global__ void high_pass(Size size, Sample sample, int differences, const Whole* sums, float* counts, float* values) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, channel = blockIdx.z;
    if (x >= size.width || y >= size.height) return;
    size_t index = (size_t)y * size.width + x;
    int left = clipped(x - HIGH_PASS_RADIUS, 0, x), right = clipped(x + HIGH_PASS_RADIUS, x, size.width - 1);
    int top = clipped(y - HIGH_PASS_RADIUS, 0, y), bottom = clipped(y + HIGH_PASS_RADIUS, y, size.height - 1);
    const Whole* row = sums + channel * pixels_of(size) + (size_t)y * size.width;
    Whole sum = 0;
    for (int i = left; i <= right; i++) sum += row[i];
    int covered = (right - left + 1) * (bottom - top + 1);
    float* count = counts + channel * pixels_of(size) + index;
    float passed = (float)(whole(*count) * covered - sum) / (covered * UNITS);  // a constant frame gives zero exactly
    *count = passed;
    if (channel >= differences) note(values, sample, index, channel, passed);
}

// noise scale ---------------------------------------------------------------------------------------------------------

// The values of rank floor and ceiling of (n - 1) / 4, / 2, * 3 / 4 of each channel's rough sample, (C, 6). Grid over the rough sample, channel. Ranks by
// counting: some million comparisons, which cost a GPU less than a sort.
extern "C" __global__ void quartiles(Sample sample, const float* values, float* ordered) {
    int own = blockIdx.x * blockDim.x + threadIdx.x, channel = blockIdx.y;
    if (own >= sample.rough) return;
    values += (size_t)channel * sample.count;
    float value = values[(size_t)own * sample.step];
    int rank = 0;
    for (int i = 0; i < sample.rough; i++) {
        float other = values[(size_t)i * sample.step];
        rank += other < value || (other == value && i < own);
    }
    for (int quarter = 1; quarter <= 3; quarter++) {
        int low = quarter * (sample.rough - 1) / 4, high = clipped(low + 1, 0, sample.rough - 1);
        if (rank == low) ordered[channel * 6 + 2 * quarter - 2] = value;
        if (rank == high) ordered[channel * 6 + 2 * quarter - 1] = value;
    }
}

// numpy.quantile, its default method.
__device__ double quantile(const float* ordered, int quarter, int n) {
    double low = ordered[2 * quarter - 2], step = ordered[2 * quarter - 1] - low, part = quarter * (n - 1) % 4 / 4.0;
    return part < 0.5 ? low + step * part : ordered[2 * quarter - 1] - step * (1 - part);
}

// Place and width of the histogram: 1/64 of the distance of the quartiles, at least a count.
__device__ Bins bins_of(const float* ordered, int n) {
    double low = quantile(ordered, 1, n), high = quantile(ordered, 3, n), width = fmax(1.0, (high - low) / 64);
    Bins bins = {(float)rint(quantile(ordered, 2, n)), (float)width, (int)ceil(4 * (high - low) / width) + 8};
    return bins;
}

// (C, MOST_BINS), zeroed before. Grid over the sample, channel.
extern "C" __global__ void histogram(Sample sample, const float* values, const float* ordered, int* bins) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, channel = blockIdx.y;
    if (i >= sample.count) return;
    Bins wanted = bins_of(ordered + channel * 6, sample.rough);
    float at = rintf((values[(size_t)channel * sample.count + i] - wanted.centre) / wanted.width);
    int bin = (int)fminf(fmaxf(at, -(float)wanted.reach), (float)wanted.reach) + wanted.reach;
    atomicAdd(bins + channel * MOST_BINS + bin, 1);
}

// The normal's quantile of share/total, by Newton's method from its middle, on the side where it rises to the place without passing it.
__device__ double probit(int share, int total) {
    double tail = (double)(2 * share < total ? share : total - share) / total, z = 0.0;
    for (int i = 0; i < 40; i++) {
        double step = (0.5 * erfc(z * 0.70710678118654752) - tail) / (0.39894228040143268 * exp(-0.5 * z * z));
        z += step;
        if (fabs(step) <= 1e-12 * z) break;
    }
    return 2 * share < total ? -z : z;
}

// Where, in bins, the cumulative share of the values has the quantile `wanted` of a normal: on the line through the two edges beside it, each the first of its
// share; the outermost line is prolonged, or ends. Nothing where all values lie in one or two bins.
__device__ bool crossing(const int* bins, int edges, int total, double wanted, bool prolonged, double* place) {
    double wanted_share = total * 0.5 * erfc(-wanted * 0.70710678118654752);
    int before = -1, after = -1, share_before = 0, share_after = 0, share = 0;
    for (int edge = 0; edge < edges; edge++) {
        share += bins[edge];
        if (share == share_after || share == total) continue;
        if (before >= 0 && share_after >= wanted_share) break;
        before = after, share_before = share_after;
        after = edge, share_after = share;
    }
    if (before < 0) return false;
    double z = probit(share_before, total);
    double part = (wanted - z) / (probit(share_after, total) - z);
    if (!prolonged) part = fmin(fmax(part, 0.0), 1.0);
    *place = before + part * (after - before);
    return true;
}

// Sigma in counts from the quantiles `place` and -`place` of a normal, of which `roundings` are taken off.
__device__ double sigma_at(double place, bool prolonged, Bins wanted, const int* bins, int total, double roundings) {
    double low, high, sigma = 0;
    int edges = 2 * wanted.reach;
    if (crossing(bins, edges, total, -place, prolonged, &low) && crossing(bins, edges, total, place, prolonged, &high))
        sigma = wanted.width * (high - low) / (2 * place);
    return fmax(sqrt(fmax(sigma * sigma - roundings * SHEPPARD, 0.0)), (double)FLOOR);
}

// Sigma of each channel in counts, (C,). Of `differences` one more rounding is taken off. One thread a channel.
extern "C" __global__ void noise(Sample sample, int channels, int differences, const float* ordered, const int* bins, float* sigmas) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    Bins wanted = bins_of(ordered + channel * 6, sample.rough);
    const int* own = bins + channel * MOST_BINS;
    double roundings = channel < differences ? 1 : 0, sigma = sigma_at(QUARTILE, true, wanted, own, sample.count, roundings);
    if (sigma < NOISY) {
        double tails = sigma_at(TAIL, false, wanted, own, sample.count, roundings);
        sigma += (NOISY - sigma) / (NOISY - FLOOR) * fmax(tails - sigma, 0.0);
    }
    sigmas[channel] = (float)sigma;
}

// scale: grid over x, y of the padded frame, channel ------------------------------------------------------------------

// Into the network's input, (C, H, W) of `padded`: noise sigmas, compressed; zero beyond the frame.
extern "C" __global__ void scale(Size size, Size padded, const float* passed, const float* sigmas, float* input) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, channel = blockIdx.z;
    if (x >= padded.width || y >= padded.height) return;
    float compressed = 0;
    if (x < size.width && y < size.height) {
        float value = passed[channel * pixels_of(size) + (size_t)y * size.width + x] / sigmas[channel];
        float part = fabsf(value) * (1.0f / KNEE);
        compressed = copysignf(logf(sqrtf(part * part + 1.0f) + part) * KNEE, value);
    }
    input[channel * pixels_of(padded) + (size_t)y * padded.width + x] = compressed;
}
