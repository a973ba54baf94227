// irdim.differencing for the CPU that it is compiled on: a channel from four frames to high-passed counts, and from these to the network's input.
//
// The NumPy module is the reference; the same steps in the same order, float32 rounded after every operation (built without fused multiply-add).
// HIGH_PASS_RADIUS and KNEE are defined from its constants when this is compiled (irdim.native.compiler).

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW (2 * HIGH_PASS_RADIUS + 1)

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
    else
        for (int x = 0; x < count; x++) row[x] = ((const uint16_t *)pixels)[from + x];
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
    int bytes, height, width, difference;  // bytes of a pixel; whether it is Eq. (1), newest less older
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
// counts, of a frame after the high-pass. Counts are kept for as long as a window covers them. Returns 0, or 1 where there is no memory.
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
    for (int x = 0; x < width; x++) covered[x] = clipped(x + HIGH_PASS_RADIUS, 0, width - 1) - clipped(x - HIGH_PASS_RADIUS, 0, width - 1) + 1;
    int rows = 0;
    for (int enters = 0; enters < height + HIGH_PASS_RADIUS; enters++) {
        int y = enters - HIGH_PASS_RADIUS, leaves = enters - WINDOW, before = rows;
        if (enters < height) {
            float *row = kept + enters % (WINDOW + 1) * w;
            make_row(&channel, enters, row, moved);
            if (difference) values = note(row, enters, width, step, values);
            for (int x = 0; x < width; x++) columns[x] += row[x];
            rows++;
        }
        if (leaves >= 0 && leaves < height) {
            const float *row = kept + leaves % (WINDOW + 1) * w;
            for (int x = 0; x < width; x++) columns[x] -= row[x];
            rows--;
        }
        if (y < 0) continue;
        if (rows != before || y == 0)
            for (int x = 0; x < width; x++) share[x] = 1 / (covered[x] * rows);
        window_sums(padded, threes, sums, width);
        const float *here = kept + y % (WINDOW + 1) * w;
        float *to = out + (size_t)y * stride;
        for (int x = 0; x < width; x++) to[x] = (float)((here[x] * covered[x] * rows - sums[x]) * share[x]);  // a constant frame gives zero exactly
        if (!difference) values = note(to, y, width, step, values);
    }
    free(memory);
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

// The first W values of rows of `stride`, over the noise's sigma, compressed in place: 4 asinh(x / 4).
void irdim_compress(float *values, int height, int width, int stride, float sigma) {
    for (int y = 0; y < height; y++) {
        float *row = values + (size_t)y * stride;
        for (int x = 0; x < width; x++) {
            float value = row[x] / sigma, part = fabsf(value) * (1.0f / KNEE);
            row[x] = copysignf(logarithm(sqrtf(part * part + 1.0f) + part) * KNEE, value);
        }
    }
}
