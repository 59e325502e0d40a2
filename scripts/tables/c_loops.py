"""The C that renders are compared with: for each family one straightforward loop, compiled for this machine."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fxemu.models import GRU, LRU, LSTM, MLP, ConvNet, Linear, Predictor, WaveNet

FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")

MLP_C = """
#include <math.h>
void run(int n, const float *x, float *y, const float *wd, const float *ww, const float *b1, const float *w2,
         const float *b2, const float *w3, const float *b3, const float *skip) {
  for (int t = 0; t < n; t++) {
    float h[H], g[H];
    for (int u = 0; u < H; u++) h[u] = b1[u];
    for (int i = 0; i < M; i++) for (int u = 0; u < H; u++) h[u] += x[t + i] * wd[i * H + u];
    for (int i = 0; i < N; i++) for (int u = 0; u < H; u++) h[u] += y[t + i] * ww[i * H + u];
    for (int u = 0; u < H; u++) { h[u] = tanhf(h[u]); g[u] = b2[u]; }
    for (int i = 0; i < H; i++) for (int u = 0; u < H; u++) g[u] += h[i] * w2[i * H + u];
    float p = b3[0] + skip[0] * x[t + M - 1];
    for (int u = 0; u < H; u++) p += tanhf(g[u]) * w3[u];
    y[t + N] = p;
  }
}
"""

LSTM_C = """
#include <math.h>
static float sigmoid(float x) { return 1 / (1 + expf(-x)); }
void run(int n, const float *x, float *y, const float *wi, const float *wh, const float *b, const float *wo,
         const float *bo, const float *skip) {
  float h[H] = {0}, c[H] = {0};
  for (int t = 0; t < n; t++) {
    float g[4 * H];
    for (int u = 0; u < 4 * H; u++) g[u] = b[u] + x[t] * wi[u];
    if (I == 2) for (int u = 0; u < 4 * H; u++) g[u] += y[t] * wi[4 * H + u];
    for (int i = 0; i < H; i++) for (int u = 0; u < 4 * H; u++) g[u] += h[i] * wh[i * 4 * H + u];
    float p = bo[0] + skip[0] * x[t];
    for (int u = 0; u < H; u++) {
      c[u] = sigmoid(g[H + u]) * c[u] + sigmoid(g[u]) * tanhf(g[2 * H + u]);
      h[u] = sigmoid(g[3 * H + u]) * tanhf(c[u]);
      p += h[u] * wo[u];
    }
    y[t + 1] = p;
  }
}
"""

GRU_C = """
#include <math.h>
static float sigmoid(float x) { return 1 / (1 + expf(-x)); }
void run(int n, const float *x, float *y, const float *wi, const float *wh, const float *bi, const float *bh,
         const float *wo, const float *bo, const float *skip) {
  float h[H] = {0};
  for (int t = 0; t < n; t++) {
    float a[3 * H], g[3 * H];
    for (int u = 0; u < 3 * H; u++) { a[u] = bi[u] + x[t] * wi[u]; g[u] = bh[u]; }
    if (I == 2) for (int u = 0; u < 3 * H; u++) a[u] += y[t] * wi[3 * H + u];
    for (int i = 0; i < H; i++) for (int u = 0; u < 3 * H; u++) g[u] += h[i] * wh[i * 3 * H + u];
    float p = bo[0] + skip[0] * x[t];
    for (int u = 0; u < H; u++) {
      float r = sigmoid(a[u] + g[u]), z = sigmoid(a[H + u] + g[H + u]), m = tanhf(a[2 * H + u] + r * g[2 * H + u]);
      h[u] = m - z * m + z * h[u];
      p += h[u] * wo[u];
    }
    y[t + 1] = p;
  }
}
"""

# A ring of PAST rows for each layer's input; all arrays of one width W, as in `LAYERS` layers with dilations D.
WAVENET_C = """
#include <math.h>
#include <string.h>
static const int D[] = {DILATIONS};
static float ring[LAYERS][PAST][W];
void run(int n, const float *x, float *y, const float *re, const float *conv, const float *mix, const float *bias,
         const float *out, const float *ob, const float *head, const float *hb) {
  memset(ring, 0, sizeof ring);
  for (int t = -PAST; t < n; t++) {
    float in[2] = {t < 0 ? 0 : x[t], t < 0 ? 0 : y[t]}, v[W] = {0}, sum[W] = {0};
    for (int i = 0; i < I; i++) for (int u = 0; u < W; u++) v[u] += in[i] * re[i * W + u];
    for (int l = 0; l < LAYERS; l++) {
      float z[W], *now = ring[l][(t + PAST) % PAST];
      memcpy(now, v, sizeof v);
      for (int u = 0; u < W; u++) z[u] = bias[l * W + u];
      for (int i = 0; i < I; i++) for (int u = 0; u < W; u++) z[u] += in[i] * mix[(l * I + i) * W + u];
      for (int k = 0; k < K; k++) {
        const float *past = ring[l][(t + PAST - (K - 1 - k) * D[l] + PAST) % PAST];
        for (int i = 0; i < W; i++) for (int u = 0; u < W; u++) z[u] += past[i] * conv[((l * K + k) * W + i) * W + u];
      }
      for (int u = 0; u < W; u++) { z[u] = tanhf(z[u]); sum[u] += z[u]; v[u] += ob[l * W + u]; }
      if (l < LAYERS - 1)
        for (int i = 0; i < W; i++) for (int u = 0; u < W; u++) v[u] += z[i] * out[(l * W + i) * W + u];
    }
    float p = hb[0];
    for (int u = 0; u < W; u++) p += sum[u] * head[u];
    if (t >= 0) y[t + 1] = p;
  }
}
"""

# As above, of layers one after another: the first has I inputs.
CONVNET_C = """
#include <math.h>
#include <string.h>
static const int D[] = {DILATIONS};
static float ring[LAYERS][PAST][W];
void run(int n, const float *x, float *y, const float *first, const float *conv, const float *bias, const float *out,
         const float *ob) {
  memset(ring, 0, sizeof ring);
  for (int t = -PAST; t < n; t++) {
    float v[W] = {t < 0 ? 0 : x[t]};
    if (I == 2) v[1] = t < 0 ? 0 : y[t];
    for (int l = 0; l < LAYERS; l++) {
      const float *w = l ? conv + (l - 1) * K * W * W : first;
      int in = l ? W : I;
      float z[W];
      memcpy(ring[l][(t + PAST) % PAST], v, sizeof v);
      for (int u = 0; u < W; u++) z[u] = bias[l * W + u];
      for (int k = 0; k < K; k++) {
        const float *past = ring[l][(t + PAST - (K - 1 - k) * D[l] + PAST) % PAST];
        for (int i = 0; i < in; i++) for (int u = 0; u < W; u++) z[u] += past[i] * w[(k * in + i) * W + u];
      }
      for (int u = 0; u < W; u++) v[u] = tanhf(z[u]);
    }
    float p = ob[0];
    for (int u = 0; u < W; u++) p += v[u] * out[u];
    if (t >= 0) y[t + 1] = p;
  }
}
"""

LINEAR_C = """
void run(int n, const float *x, float *y, const float *wd, const float *ww, const float *b) {
  for (int t = 0; t < n; t++) {
    float p = b[0];
    for (int i = 0; i < M; i++) p += x[t + i] * wd[i];
    for (int i = 0; i < N; i++) p += y[t + i] * ww[i];
    y[t + N] = p;
  }
}
"""

LRU_C = """
#include <math.h>
static float sigmoid(float x) { return 1 / (1 + expf(-x)); }
void run(int n, const float *x, float *y, const float *wd, const float *ww, const float *b, const float *pole,
         const float *into, const float *own, const float *states, const float *bias, const float *hidden,
         const float *hb, const float *out, const float *ob, const float *gain, const float *gb, const float *skip) {
  float z[LAYERS][2 * S] = {{0}};
  for (int t = 0; t < n; t++) {
    float v[H], h[H];
    for (int u = 0; u < H; u++) v[u] = b[u];
    for (int i = 0; i < M; i++) for (int u = 0; u < H; u++) v[u] += x[t + i] * wd[i * H + u];
    for (int i = 0; i < M; i++) for (int u = 0; u < H; u++) v[u] += y[t + i] * ww[i * H + u];
    for (int u = 0; u < H; u++) v[u] = tanhf(v[u]);
    for (int l = 0; l < LAYERS; l++) {
      const float *re = pole + l * 2 * S, *im = re + S;
      float d[2 * S] = {0}, g[2 * H];
      for (int i = 0; i < H; i++) for (int s = 0; s < 2 * S; s++) d[s] += v[i] * into[(l * H + i) * 2 * S + s];
      for (int s = 0; s < S; s++) {
        float a = z[l][s], c = z[l][S + s];
        z[l][s] = re[s] * a - im[s] * c + d[s];
        z[l][S + s] = re[s] * c + im[s] * a + d[S + s];
      }
      for (int u = 0; u < 2 * H; u++) g[u] = bias[l * 2 * H + u];
      for (int i = 0; i < H; i++) for (int u = 0; u < 2 * H; u++) g[u] += v[i] * own[(l * H + i) * 2 * H + u];
      for (int s = 0; s < 2 * S; s++)
        for (int u = 0; u < 2 * H; u++) g[u] += z[l][s] * states[(l * 2 * S + s) * 2 * H + u];
      for (int u = 0; u < H; u++) v[u] += g[u] * sigmoid(g[H + u]);
    }
    float p = ob[0], q = gb[0], k = 0;
    for (int u = 0; u < H; u++) h[u] = hb[u];
    for (int i = 0; i < H; i++) for (int u = 0; u < H; u++) h[u] += v[i] * hidden[i * H + u];
    for (int u = 0; u < H; u++) { p += tanhf(h[u]) * out[u]; q += v[u] * gain[u]; }
    for (int i = 0; i < M; i++) k += x[t + i] * skip[i];
    y[t + M] = p + 2 * sigmoid(q) * k;
  }
}
"""


def build(model: Predictor) -> Callable[[Tensor], Tensor]:
    """A C loop with the model's weights, as a function of dry (samples,): one channel of raw samples, dry skip 1."""
    before, zeros, source, defines, weights = LOOPS[type(model)](model)
    arrays = [np.ascontiguousarray(weight.detach().numpy()) for weight in weights]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "loop.c").write_text(source)
        options = [f"-D{name}={value}" for name, value in defines.items()]
        subprocess.run(["cc", *FLAGS, *options, "loop.c", "-o", "loop.so", "-lm"], cwd=folder, check=True)
        function = ctypes.CDLL(str(Path(folder) / "loop.so")).run

    def run(dry: Tensor) -> Tensor:
        x = np.concatenate((np.zeros(before, np.float32), dry.numpy()))
        y = np.zeros(zeros + dry.numel(), np.float32)
        function(dry.numel(), *(a.ctypes.data_as(ctypes.c_void_p) for a in (x, y, *arrays)))
        return torch.from_numpy(y[zeros:])

    return run


def _mlp(model: MLP) -> tuple:
    m, n, h = model.dry.kernel_size[0], model.wet.kernel_size[0], model.dry.out_channels
    layers = (model.dry.weight, model.wet.weight, model.dry.bias, model.hidden[0].weight, model.hidden[0].bias)
    weights = [w.permute(2, 1, 0) if w.ndim == 3 else w for w in layers]
    weights += [model.out.weight.flatten(), model.out.bias, model.skip.weight.flatten()]
    return m - 1, n, MLP_C, {"M": m, "N": n, "H": h}, weights


def _lstm(model: LSTM) -> tuple:
    r = model.recurrent
    weights = [r.weight_ih_l0.T, r.weight_hh_l0.T, r.bias_ih_l0 + r.bias_hh_l0]
    weights += [model.out.weight.flatten(), model.out.bias, model.skip.weight.flatten()]
    return 0, 1, LSTM_C, {"H": model.width, "I": r.input_size}, weights


def _gru(model: GRU) -> tuple:
    r = model.recurrent
    weights = [r.weight_ih_l0.T, r.weight_hh_l0.T, r.bias_ih_l0, r.bias_hh_l0]
    weights += [model.out.weight.flatten(), model.out.bias, model.skip.weight.flatten()]
    return 0, 1, GRU_C, {"H": model.width, "I": r.input_size}, weights


def _wavenet(model: WaveNet) -> tuple:
    (array,) = model.arrays
    layers, width = array.layers, array.rechannel.out_channels
    out = [torch.zeros(width, width) if x.out is None else x.out.weight[..., 0].T for x in layers]
    out_bias = [torch.zeros(width) if x.out is None else x.out.bias for x in layers]
    weights = [
        array.rechannel.weight[..., 0].T,
        torch.stack([x.conv.weight.permute(2, 1, 0) for x in layers]),
        torch.stack([x.mix.weight[..., 0].T for x in layers]),
        torch.stack([x.conv.bias for x in layers]),
        torch.stack(out),
        torch.stack(out_bias),
        array.head.weight.flatten(),
        array.head.bias,
    ]
    dilations = [x.conv.dilation[0] for x in layers]
    defines = {"DILATIONS": ",".join(map(str, dilations)), "LAYERS": len(layers), "W": width}
    defines |= {"K": layers[0].conv.kernel_size[0], "I": array.rechannel.in_channels, "PAST": model.receptive_field + 1}
    return 0, 1, WAVENET_C, defines, weights


def _convnet(model: ConvNet) -> tuple:
    first, *others = model.layers
    weights = [
        first.weight.permute(2, 1, 0),
        torch.stack([x.weight.permute(2, 1, 0) for x in others]),
        torch.stack([x.bias for x in model.layers]),
        model.out.weight.flatten(),
        model.out.bias,
    ]
    dilations = [x.dilation[0] for x in model.layers]
    defines = {"DILATIONS": ",".join(map(str, dilations)), "LAYERS": len(dilations), "W": first.out_channels}
    defines |= {"K": first.kernel_size[0], "I": first.in_channels, "PAST": model.receptive_field + 1}
    return 0, 1, CONVNET_C, defines, weights


def _linear(model: Linear) -> tuple:
    m, n = model.dry.kernel_size[0], model.wet.kernel_size[0]
    weights = [model.dry.weight.flatten(), model.wet.weight.flatten(), model.dry.bias]
    return m - 1, n, LINEAR_C, {"M": m, "N": n}, weights


def _lru(model: LRU) -> tuple:
    layers, window = model.layers, model.first.kernel_size[0]
    poles = [torch.cat((pole.real, pole.imag)) for pole in (layer.pole() for layer in layers)]
    weights = [
        *(model.first.weight[:, side].T for side in (0, 1)),
        model.first.bias,
        torch.stack(poles),
        torch.stack([layer._normalised()[..., 0].T for layer in layers]),
        torch.stack([layer.own.weight[..., 0].T for layer in layers]),
        torch.stack([layer.states.weight[..., 0].T for layer in layers]),
        torch.stack([layer.own.bias for layer in layers]),
        model.hidden.weight[..., 0].T,
        model.hidden.bias,
        model.out.weight.flatten(),
        model.out.bias,
        model.gain.weight.flatten(),
        model.gain.bias,
        model.skip.weight.flatten(),
    ]
    defines = {"M": window, "H": len(model.first.bias), "S": len(poles[0]) // 2, "LAYERS": len(layers)}
    return window - 1, window, LRU_C, defines, weights


LOOPS = {
    MLP: _mlp,
    LSTM: _lstm,
    GRU: _gru,
    WaveNet: _wavenet,
    ConvNet: _convnet,
    Linear: _linear,
    LRU: _lru,
}
