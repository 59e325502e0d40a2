/* z[u] += sum over i < count of x[i] * w[i * units + u]; eight inputs at a time, so that z is stored less often. */
static inline void add(float *__restrict z, const float *__restrict x, const float *__restrict w, int units, int count)
{
  int u, i;
  for (; count >= 8; count -= 8, x += 8, w += 8 * units) {
    const float *w4 = w + 4 * units;
    for (u = 0; u < units; u++)
      z[u] += (x[0] * w[u] + x[1] * w[units + u]) + (x[2] * w[2 * units + u] + x[3] * w[3 * units + u]) +
              ((x[4] * w4[u] + x[5] * w4[units + u]) + (x[6] * w4[2 * units + u] + x[7] * w4[3 * units + u]));
  }
  for (i = 0; i < count; i++)
    for (u = 0; u < units; u++) z[u] += x[i] * w[i * units + u];
}

/* The same for units = 1. */
static inline void add_dot(float *__restrict z, const float *__restrict x, const float *__restrict w, int count)
{
  float sum = 0.0f;
  int i;
  for (i = 0; i < count; i++) sum += x[i] * w[i];
  *z += sum;
}

/* `add` for four rows at once, so that a weight is loaded once for four products. */
static inline void add_four(float *__restrict z, float *__restrict y, float *__restrict q, float *__restrict p,
                            const float *__restrict x, int stride, const float *__restrict w, int units, int count)
{
  const float *b = x + stride, *c = b + stride, *d = c + stride;
  int u;
  for (; count >= 2; count -= 2, x += 2, b += 2, c += 2, d += 2, w += 2 * units) {
    const float *v = w + units;
    const float x0 = x[0], x1 = x[1], b0 = b[0], b1 = b[1], c0 = c[0], c1 = c[1], d0 = d[0], d1 = d[1];
    for (u = 0; u < units; u++) {
      z[u] += x0 * w[u] + x1 * v[u];
      y[u] += b0 * w[u] + b1 * v[u];
      q[u] += c0 * w[u] + c1 * v[u];
      p[u] += d0 * w[u] + d1 * v[u];
    }
  }
  for (; count > 0; count--, x++, b++, c++, d++, w += units)
    for (u = 0; u < units; u++) {
      z[u] += *x * w[u];
      y[u] += *b * w[u];
      q[u] += *c * w[u];
      p[u] += *d * w[u];
    }
}

/* `add` for n rows of z, `units` apart, and of x, `stride` apart. */
static inline void add_rows(float *z, const float *x, int stride, const float *w, int units, int count, int n)
{
  for (; units > 1 && n >= 4; n -= 4, z += 4 * units, x += 4 * stride)
    add_four(z, z + units, z + 2 * units, z + 3 * units, x, stride, w, units, count);
  for (; n > 0; n--, z += units, x += stride)
    if (units == 1) add_dot(z, x, w, count);
    else add(z, x, w, units, count);
}

/* Whether n floats are finite: by their bits, since -ffast-math takes it for granted. */
static inline int all_finite(const float *x, int n)
{
  uint32_t bits, largest = 0;
  int i;
  for (i = 0; i < n; i++) {
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return largest < 0x7f800000;
}

/* z = x, what is NaN or infinite as 0. */
static inline void copy_finite(float *z, const float *x, int n)
{
  uint32_t bits;
  int i;
  for (i = 0; i < n; i++) {
    memcpy(&bits, x + i, sizeof bits);
    bits = (bits & 0x7f800000) == 0x7f800000 ? 0 : bits;
    memcpy(z + i, &bits, sizeof bits);
  }
}

/* n rows of z = row. */
static inline void fill(float *z, const float *row, int units, int n)
{
  for (; n > 0; n--, z += units) memcpy(z, row, (size_t)units * sizeof *z);
}

/* Each of n rows of z = the row of a table of `rows` at the place x in [-1, 1], or between two of them. */
static inline void look_up(float *z, const float *x, const float *table, int units, int rows, int nearest, int n)
{
  int i, u;
  for (i = 0; i < n; i++, z += units) {
    const float at = (fminf(fmaxf(x[i], -1.0f), 1.0f) + 1.0f) * 0.5f * (float)(rows - 1);
    const int row_below = (int)at < rows - 2 ? (int)at : rows - 2, low = row_below > 0 ? row_below : 0;
    const float part = at - (float)low, share = nearest ? (part > 0.5f ? 1.0f : 0.0f) : part;
    const float *row = table + low * units;
    for (u = 0; u < units; u++) z[u] = row[u] + share * (row[units + u] - row[u]);
  }
}

/* n rows of z on straight lines that rise for `period` rows, `phase` of them after their start. */
static inline void ramp(float *z, const float *from, const float *rise, int units, int period, int phase, int n)
{
  int u;
  for (; n > 0; n--, phase++, z += units) {
    const float share = (float)phase / (float)period;
    for (u = 0; u < units; u++) z[u] = from[u] + share * rise[u];
  }
}
