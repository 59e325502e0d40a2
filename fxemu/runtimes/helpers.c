/* z[u] += sum over i < count of x[i] * w[i * units + u]; four inputs at a time, so that z is stored less often. */
static inline void add(float *restrict z, const float *restrict x, const float *restrict w, int units, int count)
{
  int u;
  for (; count >= 4; count -= 4, x += 4, w += 4 * units) {
    const float a = x[0], b = x[1], c = x[2], d = x[3];
    const float *wb = w + units, *wc = wb + units, *wd = wc + units;
    for (u = 0; u < units; u++) z[u] += a * w[u] + b * wb[u] + c * wc[u] + d * wd[u];
  }
  for (; count > 0; count--, x++, w += units)
    for (u = 0; u < units; u++) z[u] += *x * w[u];
}

/* The same for units = 1. */
static inline void add_dot(float *restrict z, const float *restrict x, const float *restrict w, int count)
{
  float sum = 0.0f;
  int i;
  for (i = 0; i < count; i++) sum += x[i] * w[i];
  *z += sum;
}

/* `add` for four rows at once, so that a weight is loaded once for four products. */
static inline void add_four(float *restrict z, float *restrict y, float *restrict q, float *restrict p,
                            const float *restrict x, int stride, const float *restrict w, int units, int count)
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

/* n rows of z = row. */
static inline void fill(float *z, const float *row, int units, int n)
{
  for (; n > 0; n--, z += units) memcpy(z, row, (size_t)units * sizeof *z);
}

/* Lambert's continued fraction for tanh: within 2e-6. */
static inline float near_tanh(float x)
{
  float s, p, q;
  x = 0.5f * (fabsf(x + 7.62f) - fabsf(x - 7.62f));
  s = x * x;
  p = 64324260.0f + s * (675675.0f + s * (2145.0f + s));
  p = 13749310575.0f + s * (1964187225.0f + s * p);
  q = 413513100.0f + s * (7567560.0f + s * (45045.0f + s * 66.0f));
  q = 13749310575.0f + s * (6547290750.0f + s * q);
  return x * p / q;
}

static inline void to_tanh(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) z[i] = near_tanh(z[i]);
}

static inline void to_relu(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) z[i] = z[i] > 0.0f ? z[i] : 0.0f;
}

static inline void to_sigmoid(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) z[i] = 0.5f + 0.5f * near_tanh(0.5f * z[i]);
}

static inline void to_softsign(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) z[i] = z[i] / (1.0f + fabsf(z[i]));
}

/* Mu-law, continuous form (ITU-T G.711). */
static inline void to_mulaw_compress(float *z, int n, float mu)
{
  const float scale = 1.0f / log1pf(mu);
  int i;
  for (i = 0; i < n; i++) z[i] = copysignf(log1pf(mu * fabsf(z[i])) * scale, z[i]);
}

static inline void to_mulaw_expand(float *z, int n, float mu)
{
  const float scale = log1pf(mu);
  int i;
  for (i = 0; i < n; i++) z[i] = copysignf(expm1f(fminf(fabsf(z[i]), EXPAND_LIMIT) * scale) / mu, z[i]);
}

static inline void to_decay(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) z[i] = expf(fminf(z[i], 0.0f));
}

static inline void to_inverse(float *z, int n, float floor)
{
  int i;
  for (i = 0; i < n; i++) z[i] = z[i] / (z[i] * z[i] + floor);
}

static inline void to_clamp(float *z, int n, float limit)
{
  int i;
  for (i = 0; i < n; i++) z[i] = fminf(fmaxf(z[i], -limit), limit);
}

/* 1 where z is not below 0, else 0. */
static inline void to_step(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) z[i] = z[i] >= 0.0f ? 1.0f : 0.0f;
}

static inline void to_modulo(float *z, int n, float modulus)
{
  int i;
  for (i = 0; i < n; i++) z[i] -= modulus * floorf(z[i] / modulus);
}

/* 1 where the whole number below is odd, else -1. */
static inline void to_bits(float *z, int n)
{
  int i;
  for (i = 0; i < n; i++) {
    const float half = 0.5f * floorf(z[i]);
    z[i] = 4.0f * (half - floorf(half)) - 1.0f;
  }
}

/* The first `classes` of each of n rows to probabilities, the other units to tanh. */
static inline void to_softmax(float *z, int units, int n, int classes)
{
  int i;
  for (; n > 0; n--, z += units) {
    float most = z[0], sum = 0.0f;
    for (i = 1; i < classes; i++) most = fmaxf(most, z[i]);
    for (i = 0; i < classes; i++) sum += z[i] = expf(z[i] - most);
    for (i = 0; i < classes; i++) z[i] /= sum;
    for (; i < units; i++) z[i] = near_tanh(z[i]);
  }
}

/* The first `classes` of each of n rows to 1 for the first largest and 0 for the rest, the other units to tanh. */
static inline void to_argmax(float *z, int units, int n, int classes)
{
  int i;
  for (; n > 0; n--, z += units) {
    int most = 0;
    for (i = 1; i < classes; i++) if (z[i] > z[most]) most = i;
    for (i = 0; i < classes; i++) z[i] = i == most ? 1.0f : 0.0f;
    for (; i < units; i++) z[i] = near_tanh(z[i]);
  }
}

/* Each of n rows of z = the row of a table of `rows` at the place x in [-1, 1], or between two of them. */
static inline void look_up(float *z, const float *x, const float *table, int units, int rows, int nearest, int n)
{
  int i, u;
  for (i = 0; i < n; i++, z += units) {
    const float at = (fminf(fmaxf(x[i], -1.0f), 1.0f) + 1.0f) * 0.5f * (float)(rows - 1);
    const int low = (int)at < rows - 2 ? (int)at : rows - 2;
    const float part = at - (float)low, share = nearest ? (part > 0.5f ? 1.0f : 0.0f) : part;
    const float *row = table + low * units;
    for (u = 0; u < units; u++) z[u] = row[u] + share * (row[units + u] - row[u]);
  }
}
