//! Recurrences.

use burn::{
    module::{Module, Param},
    nn::{
        Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, Lstm,
        LstmConfig, PaddingConfig1d,
        conv::{Conv1d, Conv1dConfig},
    },
    prelude::*,
    tensor::activation::{sigmoid, silu, softplus},
};
use burn_curvature::Likelihood;

use crate::{
    parts::classified,
    stranger::{as_given, device, evaluated, labels, normal},
};

/// Burn's LSTM over words, its last state classified.
#[derive(Module, Debug)]
struct Sentiment {
    words: Embedding,
    lstm: Lstm,
    head: Linear,
}

#[test]
fn lstm() {
    let model = Sentiment {
        words: EmbeddingConfig::new(10, 6).init(&device()),
        lstm: LstmConfig::new(6, 5, true).init(&device()),
        head: LinearConfig::new(5, 3).init(&device()),
    };
    let batch = (labels([6, 5], 10, 1), labels([6], 3, 2));
    as_given(model, batch, |model, (words, targets): (Tensor<2, Int>, Tensor<1, Int>)| {
        let (_, state) = model.lstm.forward(model.words.forward(words), None);
        classified(model.head.forward(state.hidden), targets)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// An LSTM cell by hand: one product for all gates, with layer norms.
#[derive(Module, Debug)]
struct NormedLstm {
    weight_ih: Linear,
    weight_hh: Linear,
    norm_x: LayerNorm,
    norm_h: LayerNorm,
    norm_c: LayerNorm,
    head: Linear,
}

#[test]
fn lstm_with_layer_norms() {
    const HIDDEN: usize = 5;
    let norm = |width| LayerNormConfig::new(width).init(&device());
    let model = NormedLstm {
        weight_ih: LinearConfig::new(2, 4 * HIDDEN).init(&device()),
        weight_hh: LinearConfig::new(HIDDEN, 4 * HIDDEN).init(&device()),
        norm_x: norm(4 * HIDDEN),
        norm_h: norm(4 * HIDDEN),
        norm_c: norm(HIDDEN),
        head: LinearConfig::new(HIDDEN, 1).init(&device()),
    };
    let batch = (normal([8, 6, 2], 1), normal([8, 1], 2));
    evaluated(model, batch, |model, (x, targets): (Tensor<3>, Tensor<2>)| {
        let [batch, length, _] = x.dims();
        let mut h = Tensor::<2>::zeros([batch, HIDDEN], &x.device());
        let mut c = h.clone();
        for step in 0..length {
            let input: Tensor<2> = x.clone().narrow(1, step, 1).squeeze_dim(1);
            let gates = model.norm_x.forward(model.weight_ih.forward(input))
                + model.norm_h.forward(model.weight_hh.forward(h));
            let gates = gates.chunk(4, 1);
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate: usize| gates[gate].clone());
            c = sigmoid(f) * c + sigmoid(i) * g.tanh();
            h = sigmoid(o) * model.norm_c.forward(c.clone()).tanh();
        }
        let outputs = model.head.forward(h);
        (outputs.clone(), (outputs - targets).powf_scalar(2.0).mean())
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}

/// A selective state space, scanned step by step.
#[derive(Module, Debug)]
struct Mamba {
    in_proj: Linear,
    conv: Conv1d,
    x_proj: Linear,
    dt_proj: Linear,
    a_log: Param<Tensor<2>>,
    d: Param<Tensor<1>>,
    out_proj: Linear,
}

const INNER: usize = 6;
const STATES: usize = 3;

impl Mamba {
    fn new() -> Self {
        let linear = |i, o| LinearConfig::new(i, o).with_bias(false).init(&device());
        let conv = Conv1dConfig::new(INNER, INNER, 3)
            .with_groups(INNER)
            .with_padding(PaddingConfig1d::Explicit(2, 0));
        Self {
            in_proj: linear(4, 2 * INNER),
            conv: conv.init(&device()),
            x_proj: linear(INNER, 2 + 2 * STATES),
            dt_proj: LinearConfig::new(2, INNER).init(&device()),
            a_log: Param::from_tensor(Tensor::ones([INNER, STATES], &device())),
            d: Param::from_tensor(Tensor::ones([INNER], &device())),
            out_proj: linear(INNER, 4),
        }
    }

    /// `[batch, length, 4]` to the same.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let parts = self.in_proj.forward(x).chunk(2, 2);
        let (x, gate) = (parts[0].clone(), parts[1].clone());
        let x = silu(self.conv.forward(x.swap_dims(1, 2)).swap_dims(1, 2));
        self.out_proj.forward(self.scan(x) * silu(gate))
    }

    fn scan(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, length, _] = x.dims();
        let selected = self.x_proj.forward(x.clone());
        let delta = softplus(self.dt_proj.forward(selected.clone().narrow(2, 0, 2)), 1.0);
        let b = selected.clone().narrow(2, 2, STATES);
        let c = selected.narrow(2, 2 + STATES, STATES);
        let a = self.a_log.val().exp().neg().unsqueeze::<3>();
        let mut state = Tensor::<3>::zeros([batch, INNER, STATES], &x.device());
        let mut outputs = Vec::new();
        for step in 0..length {
            let at = |t: &Tensor<3>| t.clone().narrow(1, step, 1);
            let delta = at(&delta).swap_dims(1, 2);
            let input = at(&x).swap_dims(1, 2);
            state = (delta.clone() * a.clone()).exp() * state + delta * at(&b) * input.clone();
            let output =
                (state.clone() * at(&c)).sum_dim(2) + input * self.d.val().reshape([1, INNER, 1]);
            outputs.push(output.swap_dims(1, 2));
        }
        Tensor::cat(outputs, 1)
    }
}

#[test]
fn mamba() {
    let batch = (normal([4, 6, 4], 1), normal([4, 6, 4], 2));
    as_given(Mamba::new(), batch, |model, (x, y): (Tensor<3>, Tensor<3>)| {
        let outputs = model.forward(x);
        // Summed over places and channels, as the likelihood is.
        (outputs.clone(), (outputs - y).powf_scalar(2.0).mean() * 24.0)
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}
