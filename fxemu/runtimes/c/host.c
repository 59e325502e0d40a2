/* Any rate: a sinc in a Kaiser window, as fxemu render has it (fxemu/audio/polyphase.py). */
#define CROSSINGS $crossings
#define PHASES $phases
#define KAISER_BETA $kaiser_beta
#define PI 3.14159265358979323846

/* The sinc and its window at t zero crossings from the middle. */
static double windowed_sinc(double t)
{
  const double inside = 1.0 - t * t / (CROSSINGS * CROSSINGS);
  const double quarter = inside > 0.0 ? KAISER_BETA * KAISER_BETA * inside / 4.0 : 0.0;
  double bessel = 1.0, term = 1.0;
  int k;
  for (k = 1; term > 1e-17 * bessel; k++) {
    term *= quarter / ((double)k * k);
    bessel += term;
  }
  return fabs(t) < 1e-9 ? bessel : bessel * sin(PI * t) / (PI * t);
}

/* Half the taps of the filter from a rate to another. */
static int reach(int rate, int target)
{
  return rate > target ? (CROSSINGS * rate + target - 1) / target : CROSSINGS;
}

static void make_table(${name}_resampler *r, int rate, int target)
{
  const double stretch = rate > target ? (double)rate / target : 1.0;
  const int taps = 2 * reach(rate, target);
  const int phases = rate > target ? (int)(((int64_t)PHASES * target + rate - 1) / rate) : PHASES;
  int p, k;
  r->rate = rate, r->target = target, r->taps = taps, r->phases = phases;
  for (p = 0; p <= phases; p++) {
    float *row = r->table + p * taps;
    double sum = 0.0;
    for (k = 0; k < taps; k++) sum += windowed_sinc((k - taps / 2 + 1 - (double)p / phases) / stretch);
    for (k = 0; k < taps; k++)
      row[k] = (float)(windowed_sinc((k - taps / 2 + 1 - (double)p / phases) / stretch) / sum);
  }
}

/* To silence; the next sample is made at `start` in 1 / target of a sample, 0 or before. */
static void rewind_to(${name}_resampler *r, int64_t start)
{
  const int before = (int)((r->target - 1 - start) / r->target);
  r->first = 0;
  r->rest = (int)(start + (int64_t)before * r->target);
  r->held = r->taps / 2 - 1 + before;
  memset(r->x, 0, sizeof r->x);
}

/* At most so many samples, as those held allow; what is done with goes. Returns their number. */
CLONED static int resample(${name}_resampler *r, float *out, int most)
{
  int n, k;
  for (n = 0; n < most && r->first + r->taps <= r->held; n++) {
    const int place = r->rest * r->phases, row = place / r->target, taps = r->taps;
    const float share = (float)(place % r->target) / (float)r->target;
    const float *x = r->x + r->first, *below = r->table + row * taps, *above = below + taps;
    float low = 0.0f, high = 0.0f;
    for (k = 0; k < taps; k++) {
      low += x[k] * below[k];
      high += x[k] * above[k];
    }
    out[n] = low + share * (high - low);
    r->rest += r->rate;
    r->first += r->rest / r->target;
    r->rest %= r->target;
  }
  r->held -= r->first;
  memmove(r->x, r->x + r->first, (size_t)r->held * sizeof *r->x);
  r->first = 0;
  return n;
}

static void rewind_both(${name}_host *h)
{
  if (h->rate == ${name}_SAMPLE_RATE) return;
  rewind_to(&h->in, 0);
  rewind_to(&h->out, (int64_t)${name}_LATENCY * h->rate - (int64_t)h->latency * ${name}_SAMPLE_RATE);
}

int ${name}_host_init(${name}_host *h, int rate)
{
  const int model_rate = ${name}_SAMPLE_RATE, latency = ${name}_LATENCY;
  if (rate != model_rate && (rate < $lowest_rate || rate > $highest_rate)) return -1;
  h->rate = rate;
  h->latency = latency;
  if (rate != model_rate) {
    make_table(&h->in, rate, model_rate);
    make_table(&h->out, model_rate, rate);
    h->latency = (int)((int64_t)(reach(model_rate, rate) + latency) * rate / model_rate) + reach(rate, model_rate);
    h->chunk = (int)((int64_t)(BLOCK - 1) * rate / model_rate);
    h->chunk = h->chunk > BLOCK ? BLOCK : h->chunk < 1 ? 1 : h->chunk;
  }
  ${name}_init(&h->model);
  rewind_both(h);
  return h->latency;
}

void ${name}_host_reset(${name}_host *h)
{
  $reset(&h->model);
  rewind_both(h);
}

void ${name}_host_process(${name}_host *h, const float *dry, float *wet, int n)
{
  if (h->rate == ${name}_SAMPLE_RATE) {
    ${name}_process(&h->model, dry, wet, n);
    return;
  }
  while (n > 0) {
    const int count = n < h->chunk ? n : h->chunk;
    float *model_samples = h->out.x + h->out.held;
    int made;
    copy_finite(h->in.x + h->in.held, dry, count);
    h->in.held += count;
    made = resample(&h->in, model_samples, BLOCK);
    ${name}_process(&h->model, model_samples, model_samples, made);
    h->out.held += made;
    resample(&h->out, wet, count);
    dry += count;
    wet += count;
    n -= count;
  }
}
