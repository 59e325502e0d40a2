
static void play_silence(${name}_state *s, int n)
{
  float samples[$period];
  for (; n > 0; n -= $period) {
    memset(samples, 0, sizeof samples);
    ${name}_process(s, samples, samples, n < $period ? n : $period);
  }
}

/* Keeps n numbers; returns the largest change from those kept before, as a share of a number larger than 1. */
static float keep(float *kept, const float *now, int n)
{
  float change = all_finite(now, n) ? 0.0f : 1.0f;
  int i;
  for (i = 0; i < n; i++) {
    change = fmaxf(change, fabsf(now[i] - kept[i]) / fmaxf(1.0f, fabsf(now[i])));
    kept[i] = now[i];
  }
  return change;
}

static float keep_state(const ${name}_state *s, float *kept)
{
  float change = 0.0f;
$keep
  return change;
}

/* Silence in dry alone, until the state no longer changes; forced again if it oscillates. */
static void come_to_rest(${name}_state *s)
{
  float kept[$kept] = {0.0f}, change;
  int n = $rest_blocks;
  keep_state(s, kept);
  do {
    play_silence(s, $rest_block);
    change = keep_state(s, kept);
  } while (--n > 0 && !(change <= $still));
  if (!(change <= $oscillating)) force_silence(s);
}
