// irdim.differencing for the CPU that it is compiled on: a channel from four frames to high-passed counts, and from these to the network's input.
//
// The NumPy module is the reference; the same steps in the same order, float32 rounded after every operation (built without fused multiply-add).
// HIGH_PASS_RADIUS and KNEE are defined from its constants when this is compiled (irdim.native.compiler).

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW (2 * HIGH_PASS_RADIUS + 1)
#define BLOCK 32  // pixels that are compressed by the same formula

// An older frame and its motion to the newest: whole pixels, and -0.5 to 0.5 px beyond them.
struct placed {
    const void *pixels;
    int32_t whole_y, whole_x;
    float part_y, part_x;
};

static int clipped(int i, int low, int high) { return i < low ? low : i > high ? high : i; }

// align ---------------------------------------------------------------------------------------------------------------

static void read_row(const void *pixels, int bytes, size_t from, int count, float *row) {
    if (bytes == 1)
        for (int x = 0; x < count; x++) row[x] = ((const uint8_t *)pixels)[from + x];
    else if (bytes == 2)
        for (int x = 0; x < count; x++) row[x] = ((const uint16_t *)pixels)[from + x];
    else
        memcpy(row, (const float *)pixels + from, count * sizeof(float));
}

// Row y of a frame moved by whole pixels; what comes from outside is taken from the newest frame.
static void moved_whole(const struct placed *frame, const void *newest, int bytes, int height, int width, int y, float *row) {
    int from = y - frame->whole_y, left = clipped(frame->whole_x, 0, width), right = clipped(width + frame->whole_x, 0, width);
    if (from < 0 || from >= height || left >= right) {
        read_row(newest, bytes, (size_t)y * width, width, row);
        return;
    }
    read_row(newest, bytes, (size_t)y * width, left, row);
    read_row(frame->pixels, bytes, (size_t)from * width + left - frame->whole_x, right - left, row + left);
    read_row(newest, bytes, (size_t)y * width + right, width - right, row + right);
}

static void between(float *restrict row, const float *restrict neighbour, float part, int count) {
    float weight = fabsf(part), rest = 1.0f - weight;
    for (int x = 0; x < count; x++) row[x] = row[x] * rest + neighbour[x] * weight;
}

// Row y of a frame laid over the newest. rows: one of width + 2, to work in.
static void aligned(const struct placed *frame, const void *newest, int bytes, int height, int width, int y, float *row, float *rows) {
    moved_whole(frame, newest, bytes, height, width, y, row);
    if (frame->part_y != 0) {
        moved_whole(frame, newest, bytes, height, width, clipped(frame->part_y > 0 ? y - 1 : y + 1, 0, height - 1), rows);
        between(row, rows, frame->part_y, width);
    }
    if (frame->part_x != 0) {
        memcpy(rows + 1, row, width * sizeof(float));
        rows[0] = row[0], rows[width + 1] = row[width - 1];  // the border is repeated
        between(row, frame->part_x > 0 ? rows : rows + 2, frame->part_x, width);
    }
}

// high-pass -----------------------------------------------------------------------------------------------------------

_Static_assert(WINDOW % 3 == 0, "window_sums adds by threes");

// sums[x]: of columns[x .. x + WINDOW - 1], n of them. By threes, then by sevens: a running sum would wait for itself. threes: n + WINDOW values, to work in.
static void window_sums(const double *restrict columns, double *restrict threes, double *restrict sums, int n) {
    for (int x = 0; x < n + WINDOW - 3; x++) threes[x] = columns[x] + columns[x + 1] + columns[x + 2];
    for (int x = 0; x < n; x++) {
        double sum = threes[x];
        for (int i = 3; i < WINDOW; i += 3) sum += threes[x + i];
        sums[x] = sum;
    }
}

// One channel of the input ---------------------------------------------------------------------------------------------

struct channel {
    const void *newest;
    const struct placed *older;  // NULL for the newest frame itself
    int bytes, height, width, difference;  // bytes of a pixel: 1 and 2 unsigned, 4 float32; whether it is Eq. (1), newest less older
};

// Row y in counts. moved: two rows of width + 2, to work in.
static void make_row(const struct channel *c, int y, float *row, float *moved) {
    if (!c->older || c->difference) read_row(c->newest, c->bytes, (size_t)y * c->width, c->width, row);
    if (!c->older) return;
    float *older = c->difference ? moved : row;
    aligned(c->older, c->newest, c->bytes, c->height, c->width, y, older, moved + c->width + 2);
    if (c->difference)
        for (int x = 0; x < c->width; x++) row[x] -= moved[x];
}

// Keeps those pixels of row y that are of the sample, every step-th of the frame. Returns where the next one goes.
static float *note(const float *row, int y, int width, int step, float *values) {
    for (int x = (int)((step - (size_t)y * width % step) % step); x < width; x += step) *values++ = row[x];
    return values;
}

// A channel less its local mean, into rows of `stride` values at `out`. values: every step-th pixel of what its noise is judged by, of a difference in
// counts, of a frame after the high-pass; or NULL. Counts are kept for as long as a window covers them. Returns 0, or 1 where there is no memory.
int irdim_channel(const void *newest, const struct placed *older, int bytes, int height, int width, int difference, int step, float *values, float *out,
                  int stride) {
    struct channel channel = {newest, older, bytes, height, width, difference};
    size_t w = width, doubles = 5 * w + 2 * WINDOW, floats = (WINDOW + 1) * w + 2 * (w + 2);
    double *memory = malloc(doubles * sizeof(double) + floats * sizeof(float));
    if (!memory) return 1;
    double *padded = memory, *columns = padded + HIGH_PASS_RADIUS, *threes = padded + w + WINDOW, *sums = threes + w + WINDOW;
    double *covered = sums + w, *share = covered + w;
    float *kept = (float *)(memory + doubles), *moved = kept + (WINDOW + 1) * w;
    memset(padded, 0, (w + WINDOW) * sizeof(double));  // beyond the border there is nothing
    for (int x = 0; x < width; x++) {
        covered[x] = clipped(x + HIGH_PASS_RADIUS, 0, width - 1) - clipped(x - HIGH_PASS_RADIUS, 0, width - 1) + 1;
        share[x] = 1 / covered[x];
    }
    for (int enters = 0; enters < height + HIGH_PASS_RADIUS; enters++) {
        int y = enters - HIGH_PASS_RADIUS, leaves = enters - WINDOW;
        float *in = kept + enters % (WINDOW + 1) * w;
        const float *out_of = kept + (enters + 1) % (WINDOW + 1) * w;  // row `leaves`
        if (enters < height) {
            make_row(&channel, enters, in, moved);
            if (values && difference) values = note(in, enters, width, step, values);
        }
        if (enters < height && leaves >= 0)
            for (int x = 0; x < width; x++) columns[x] += (double)in[x] - out_of[x];
        else if (enters < height)
            for (int x = 0; x < width; x++) columns[x] += in[x];
        else if (leaves >= 0)
            for (int x = 0; x < width; x++) columns[x] -= out_of[x];
        if (y < 0) continue;
        int rows = clipped(enters, 0, height - 1) - clipped(leaves + 1, 0, height - 1) + 1;
        window_sums(padded, threes, sums, width);
        const float *here = kept + y % (WINDOW + 1) * w;
        float *to = out + (size_t)y * stride;
        double of_rows = 1.0 / rows;
        for (int x = 0; x < width; x++) to[x] = (float)((here[x] * covered[x] * rows - sums[x]) * share[x] * of_rows);  // a constant frame gives zero exactly
        if (values && !difference) values = note(to, y, width, step, values);
    }
    free(memory);
    return 0;
}

// noise ---------------------------------------------------------------------------------------------------------------

#define TABLES 4  // neighbours count in different ones: a count need not wait for the one before, which often is of the same bin

// irdim.noise.histogram, counts being 2 reach + 1 zeros. Returns 0, or 1 where there is no memory.
int irdim_histogram(const float *values, int n, float centre, float width, int reach, int64_t *counts) {
    int bins = 2 * reach + 1, at[64];
    int32_t *tables = calloc((size_t)bins * TABLES, sizeof(int32_t));
    if (!tables) return 1;
    for (int first = 0; first < n; first += 64) {
        int some = n - first < 64 ? n - first : 64;
        for (int i = 0; i < some; i++) {
            float bin = rintf((values[first + i] - centre) / width);
            bin = bin > -reach ? bin : -reach;  // what is no number goes there too
            bin = bin < reach ? bin : reach;
            at[i] = (int)bin + reach;
        }
        for (int i = 0; i < some; i++) tables[(size_t)(i % TABLES) * bins + at[i]]++;
    }
    for (int i = 0; i < bins; i++)
        for (int t = 0; t < TABLES; t++) counts[i] += tables[(size_t)t * bins + i];
    free(tables);
    return 0;
}

// compress ------------------------------------------------------------------------------------------------------------

// Natural logarithm of a float32 from 1 up, to about 1e-7, without a branch: the exponent, and a polynomial (Cephes' logf) on the rest, sqrt(1/2) to sqrt(2).
static inline float logarithm(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    int32_t above = bits - 0x3f3504f3, rest = (above & 0x007fffff) + 0x3f3504f3;
    float exponent = (float)(above >> 23), part;
    memcpy(&part, &rest, sizeof part);
    float f = part - 1.0f, square = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return f + (square * f * p - 0.5f * square + exponent * 0.693147180559945f);
}

static inline float compressed(float knees) {
    float part = fabsf(knees);
    return copysignf(logarithm(sqrtf(part * part + 1.0f) + part) * KNEE, knees) + (knees - knees);  // NaN where it is not finite
}

// The same from -1 to 1: a polynomial through Chebyshev's nodes, off by 1e-7, at a third of the time.
static inline float compressed_little(float knees) {
    float square = knees * knees;
    float p = 6.3558248803e-04f;
    p = p * square - 3.6807842553e-03f;
    p = p * square + 1.0166251101e-02f;
    p = p * square - 1.8948741257e-02f;
    p = p * square + 2.9340730980e-02f;
    p = p * square - 4.4456087053e-02f;
    p = p * square + 7.4982680380e-02f;
    p = p * square - 1.6666603088e-01f;
    p = p * square + 1.0f;
    return p * knees * KNEE;
}

// The first W values of rows of `stride`, over the noise's sigma, compressed in place: 4 asinh(x / 4). Most blocks are noise, of less than KNEE sigmas.
void irdim_compress(float *values, int height, int width, int stride, float sigma) {
    for (int y = 0; y < height; y++) {
        float *row = values + (size_t)y * stride;
        int x = 0;
        for (; x + BLOCK <= width; x += BLOCK) {
            float knees[BLOCK];
            int beyond = 0;
            for (int i = 0; i < BLOCK; i++) knees[i] = row[x + i] / sigma * (1.0f / KNEE);
            for (int i = 0; i < BLOCK; i++) beyond |= !(fabsf(knees[i]) <= 1.0f);
            if (beyond)
                for (int i = 0; i < BLOCK; i++) row[x + i] = compressed(knees[i]);
            else
                for (int i = 0; i < BLOCK; i++) row[x + i] = compressed_little(knees[i]);
        }
        for (; x < width; x++) row[x] = compressed(row[x] / sigma * (1.0f / KNEE));
    }
}

// Patches of a training batch ------------------------------------------------------------------------------------------

struct patches {
    const void *stacks;                // (n, frames, height, width), as of struct channel
    const float *shifts;               // (n, frames - 1, 2) px, see struct placed; NULL: not aligned
    const float *sigma;                // (n, channels) counts
    const float *more, *sign, *noise;  // (n) amplitude of added noise in counts; (n) 1 or -1; a strip of normal noise. more is NULL: as they are
    const int64_t *at;                 // (n, frames) where each frame's noise begins in the strip
    float *out;                        // (n, height, width, channels), or (n, width, height, channels) where turn & 4
    int32_t bytes, frames, height, width, channels, differences, turn, compressed;
};

// Stack i in counts, seen by another camera: with noise of its own, and black-hot where sign is -1.
static void vary(const struct patches *p, int i, float *counts) {
    int pixels = p->height * p->width;
    for (int k = 0; k < p->frames; k++, counts += pixels) {
        read_row(p->stacks, p->bytes, ((size_t)i * p->frames + k) * pixels, pixels, counts);
        if (!p->more) continue;
        const float *noise = p->noise + p->at[(size_t)i * p->frames + k];
        float more = p->more[i], sign = p->sign[i];
        for (int x = 0; x < pixels; x++) counts[x] = (counts[x] + more * noise[x]) * sign;
    }
}

// One plane (height, width) to its channel of `out`: mirrored left-right by bit 0 of turn, up-down by bit 1, rows and columns swapped by bit 2.
static void turned(const float *plane, int height, int width, int turn, int channels, float *out) {
    ptrdiff_t right = turn & 4 ? (ptrdiff_t)height * channels : channels, down = turn & 4 ? channels : (ptrdiff_t)width * channels;
    if (turn & 1) out += (width - 1) * right, right = -right;
    if (turn & 2) out += (height - 1) * down, down = -down;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) out[y * down + x * right] = plane[(size_t)y * width + x];
}

// Patches first .. first + count - 1 to the network's input, or to noise sigmas where not compressed. Returns 0, or 1 where there is no memory.
int irdim_patches(const struct patches *p, int first, int count) {
    size_t pixels = (size_t)p->height * p->width;
    float *memory = malloc((p->frames + 1) * pixels * sizeof(float));
    if (!memory) return 1;
    float *plane = memory + p->frames * pixels;
    int failed = 0;
    for (int i = first; i < first + count && !failed; i++) {
        vary(p, i, memory);
        for (int c = 0; c < p->channels && !failed; c++) {
            int k = c < p->differences ? c + 1 : c - p->differences;
            struct placed older = {memory + k * pixels, 0, 0, 0, 0};
            if (k && p->shifts) {
                const float *shift = p->shifts + ((size_t)i * (p->frames - 1) + k - 1) * 2;
                older.whole_y = (int)rintf(shift[0]), older.whole_x = (int)rintf(shift[1]);
                older.part_y = shift[0] - older.whole_y, older.part_x = shift[1] - older.whole_x;
            }
            failed = irdim_channel(memory, k ? &older : NULL, 4, p->height, p->width, c < p->differences, 0, NULL, plane, p->width);
            float sigma = p->sigma[(size_t)i * p->channels + c];
            if (p->compressed)
                irdim_compress(plane, p->height, p->width, p->width, sigma);
            else
                for (size_t x = 0; x < pixels; x++) plane[x] /= sigma;
            turned(plane, p->height, p->width, p->turn, p->channels, p->out + (size_t)i * pixels * p->channels + c);
        }
    }
    free(memory);
    return failed;
}
