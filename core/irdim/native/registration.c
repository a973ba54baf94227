// irdim.registration.kernels for the CPU that it is compiled on: sums over two frames of which one is moved. Float32 within a row, double for the sum of the rows.

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Two images (height, width) and the part of them that is looked at.
struct pair {
    const float *older, *newer;
    int32_t height, width, top, bottom, left, right;  // the part reaches at most to one pixel before the border
};

static int within(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

struct weights {
    float here, right, below, below_right;
};

static float between(const float *row, const float *below, int x, int next, struct weights w) {
    return w.here * row[x] + w.right * row[next] + w.below * below[x] + w.below_right * below[next];
}

// n pixels of row y, from `left`, of the older image moved by (dy, dx), bilinearly; its border pixels are repeated beyond it.
static void moved_row(const struct pair *p, int y, int left, int n, double dy, double dx, float *restrict row) {
    int from_y = (int)floor(y - dy), from_x = (int)floor(left - dx);
    float part_y = (float)(y - dy - from_y), part_x = (float)(left - dx - from_x);
    struct weights w = {(1 - part_y) * (1 - part_x), (1 - part_y) * part_x, part_y * (1 - part_x), part_y * part_x};
    const float *a = p->older + (size_t)within(from_y, p->height) * p->width, *b = p->older + (size_t)within(from_y + 1, p->height) * p->width;
    int first = within(-from_x, n + 1), last = within(p->width - 1 - from_x, n + 1);  // of those between two pixels that there are
    for (int x = first; x < last; x++) row[x] = between(a, b, from_x + x, from_x + x + 1, w);
    for (int x = 0; x < n; x++) {
        if (x == first && first < last) x = last;
        if (x < n) row[x] = between(a, b, within(from_x + x, p->width), within(from_x + x + 1, p->width), w);
    }
}

// sums: of the products of the newer image's slopes, yy, yx and xx.
void irdim_slopes(const struct pair *p, double *sums) {
    for (int i = 0; i < 3; i++) sums[i] = 0;
    for (int y = p->top; y < p->bottom; y++) {
        const float *here = p->newer + (size_t)y * p->width, *above = here - p->width, *below = here + p->width;
        float yy = 0, yx = 0, xx = 0;
#pragma omp simd reduction(+ : yy, yx, xx)
        for (int x = p->left; x < p->right; x++) {
            float slope_y = (below[x] - above[x]) * 0.5f, slope_x = (here[x + 1] - here[x - 1]) * 0.5f;
            yy += slope_y * slope_y, yx += slope_y * slope_x, xx += slope_x * slope_x;
        }
        sums[0] += yy, sums[1] += yx, sums[2] += xx;
    }
}

// sums: of the residual, newer less moved older, times the newer's slope_y, times its slope_x, times itself, and alone. Returns 0, or 1 where there is no memory.
int irdim_residual(const struct pair *p, double dy, double dx, double *sums) {
    int n = p->right - p->left;
    float *moved = malloc(n * sizeof(float));
    if (!moved) return 1;
    for (int i = 0; i < 4; i++) sums[i] = 0;
    for (int y = p->top; y < p->bottom; y++) {
        moved_row(p, y, p->left, n, dy, dx, moved);
        const float *here = p->newer + (size_t)y * p->width, *above = here - p->width, *below = here + p->width;
        float by_y = 0, by_x = 0, square = 0, sum = 0;
#pragma omp simd reduction(+ : by_y, by_x, square, sum)
        for (int x = p->left; x < p->right; x++) {
            float slope_y = (below[x] - above[x]) * 0.5f, slope_x = (here[x + 1] - here[x - 1]) * 0.5f, residual = here[x] - moved[x - p->left];
            by_y += slope_y * residual, by_x += slope_x * residual, square += residual * residual, sum += residual;
        }
        sums[0] += by_y, sums[1] += by_x, sums[2] += square, sums[3] += sum;
    }
    free(moved);
    return 0;
}

// sums: of the products of the newer image's slopes with those of the moved older one, yy, yx, xy and xx. Returns as above.
int irdim_shared(const struct pair *p, double dy, double dx, double *sums) {
    int n = p->right - p->left + 2;
    float *rows = malloc(3 * n * sizeof(float));  // of the moved image, one pixel more on each side; row y in y mod 3
    if (!rows) return 1;
    for (int i = 0; i < 4; i++) sums[i] = 0;
    for (int y = p->top - 1; y <= p->top; y++) moved_row(p, y, p->left - 1, n, dy, dx, rows + y % 3 * n);
    for (int y = p->top; y < p->bottom; y++) {
        moved_row(p, y + 1, p->left - 1, n, dy, dx, rows + (y + 1) % 3 * n);
        const float *here = p->newer + (size_t)y * p->width + p->left, *above = here - p->width, *below = here + p->width;
        const float *mine = rows + y % 3 * n, *over = rows + (y + 2) % 3 * n, *under = rows + (y + 1) % 3 * n;
        float yy = 0, yx = 0, xy = 0, xx = 0;
#pragma omp simd reduction(+ : yy, yx, xy, xx)
        for (int x = 0; x < n - 2; x++) {
            float slope_y = below[x] - above[x], slope_x = here[x + 1] - here[x - 1];
            float older_y = under[x + 1] - over[x + 1], older_x = mine[x + 2] - mine[x];
            yy += slope_y * older_y, yx += slope_y * older_x, xy += slope_x * older_y, xx += slope_x * older_x;
        }
        sums[0] += yy * 0.25f, sums[1] += yx * 0.25f, sums[2] += xy * 0.25f, sums[3] += xx * 0.25f;
    }
    free(rows);
    return 0;
}

// cells: of each whole square of `side` px of the part, the mean of by how much the motion lowers the squared residual against the opposite motion. Returns as above.
int irdim_gain(const struct pair *p, double dy, double dx, int side, float *cells) {
    int n = p->right - p->left, across = n / side, down = (p->bottom - p->top) / side;
    float *with = malloc(3 * n * sizeof(float)), share = 1.0f / (side * side);
    if (!with) return 1;
    float *against = with + n, *gain = against + n;
    for (int cell = 0; cell < down; cell++) {
        for (int x = 0; x < n; x++) gain[x] = 0;
        for (int y = p->top + cell * side; y < p->top + (cell + 1) * side; y++) {
            const float *here = p->newer + (size_t)y * p->width + p->left;
            moved_row(p, y, p->left, n, dy, dx, with);
            moved_row(p, y, p->left, n, -dy, -dx, against);
            for (int x = 0; x < n; x++) {
                float left = here[x] - with[x], lost = here[x] - against[x];
                gain[x] += lost * lost - left * left;
            }
        }
        float *row = cells + (size_t)cell * across;
        for (int c = 0; c < across; c++) {
            float sum = 0;
            for (int k = 0; k < side; k++) sum += gain[c * side + k];
            row[c] = sum * share;
        }
    }
    free(with);
    return 0;
}

// cross: n complex products of newer and conjugated older over their own strength and the mean strength, which is returned; nothing is divided by what is not above 0.
float irdim_whitened(const float *restrict newer, const float *restrict older, int n, float *restrict cross) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        float real = newer[2 * i] * older[2 * i] + newer[2 * i + 1] * older[2 * i + 1];
        float imaginary = newer[2 * i + 1] * older[2 * i] - newer[2 * i] * older[2 * i + 1];
        cross[2 * i] = real, cross[2 * i + 1] = imaginary;
        sum += sqrtf(real * real + imaginary * imaginary);
    }
    float mean = (float)(sum / n);
    if (!(mean > 0) || isinf(mean)) return mean;
    for (int i = 0; i < n; i++) {
        float weight = 1.0f / (sqrtf(cross[2 * i] * cross[2 * i] + cross[2 * i + 1] * cross[2 * i + 1]) + mean);
        cross[2 * i] *= weight, cross[2 * i + 1] *= weight;
    }
    return mean;
}
