
/* Of each knob: its range, and how its position from -1 to 1 follows, as offset + slope * its value or its logarithm. */
static const struct { float low, high, offset, slope; int by_ratio; } knob_tapers[${name}_KNOBS] = {
  $tapers
};

CLONED static void run(${name}_state *s, const float *dry, float *wet, int n);

void ${name}_set_knob(${name}_state *s, int knob, float value)
{
  float low, high, position;
  if (knob < 0 || knob >= ${name}_KNOBS || !all_finite(&value, 1)) return;
  low = knob_tapers[knob].low, high = knob_tapers[knob].high;
  value = value < low ? low : value > high ? high : value;
  position = knob_tapers[knob].offset + knob_tapers[knob].slope * (knob_tapers[knob].by_ratio ? logf(value) : value);
  s->left[knob] = s->fresh ? 0.0f : s->left[knob] + s->aimed[knob] - position;
  s->aimed[knob] = position;
}

/* The line to z from where the last one ended, or from z itself. */
static void next(float *from, float *rise, const float *z, int units, int fresh)
{
  int u;
  for (u = 0; u < units; u++) {
    from[u] = fresh ? z[u] : from[u] + rise[u];
    rise[u] = z[u] - from[u];
  }
}

/* At every ${period}th sample: where the knobs will stand at the next one, by one pole of $smoothing_ms ms, and what follows. */
static void turn(${name}_state *s)
{
  const int t = s->t;
  float *at = $positions;
  int k;
  (void)t;
  for (k = 0; k < ${name}_KNOBS; k++) {
    s->left[k] = fabsf(s->left[k]) > 1e-7f ? $kept * s->left[k] : 0.0f;
    at[k] = s->aimed[k] + s->left[k];
  }
$point
  s->fresh = 0;
}

static int before_point(const ${name}_state *s, int n)
{
  return n < $period - s->phase ? n : $period - s->phase;
}

/* To the state at rest of the defaults, at once; the knobs stand where they do. */
static void restart(${name}_state *s)
{
  float aimed[${name}_KNOBS];
  memcpy(aimed, s->aimed, sizeof aimed);
  ${name}_init(s);
  memcpy(s->aimed, aimed, sizeof aimed);
}

/* Silence in dry and in wet, with the knobs where they stand. */
static void force_silence(${name}_state *s)
{
  const float silence = 0.0f;
  float wet;
  int n;
  restart(s);
$forget
  for (n = $warm_up; n > 0; n--) {
    run(s, &silence, &wet, 1);$silence
  }
}
$rest
void ${name}_settle(${name}_state *s)
{
  force_silence(s);$come_to_rest
  s->fresh = 1;
  s->phase = 0;
}
