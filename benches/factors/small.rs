//! Small networks of each kind: convolutions, attention, a recurrence, regressions.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, Lstm, LstmConfig,
        conv::{Conv2d, Conv2dConfig},
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    prelude::*,
    tensor::activation::{gelu, relu},
};
use burn_curvature::{Error, Likelihood};

use super::{
    BATCH, Bench, CLASSES, HALF, Labels, below, device, linear, networks::classified, normal,
};

#[derive(Module, Debug)]
struct Images {
    conv: Vec<Conv2d>,
    norm: Vec<BatchNorm>,
    head: Vec<Linear>,
}

fn images() -> (Images, (Tensor<4>, Labels)) {
    let conv = |from, to, stride| {
        Conv2dConfig::new([from, to], [3, 3]).with_stride([stride; 2]).init(&device())
    };
    let norm = |channels| BatchNormConfig::new(channels).init(&device());
    let model = Images {
        conv: vec![conv(1, 16, 1), conv(16, 32, 2)],
        norm: vec![norm(16), norm(32)],
        head: vec![linear(32 * 6 * 6, 64), linear(64, 10)],
    };
    (model, (normal([BATCH, 1, 16, 16]), below([BATCH], 10)))
}

#[derive(Module, Debug)]
struct Text {
    words: Embedding,
    places: Embedding,
    encoder: TransformerEncoder,
    head: Linear,
}

fn text() -> (Text, (Tensor<2, Int>, Labels)) {
    let model = Text {
        words: EmbeddingConfig::new(200, 32).init(&device()),
        places: EmbeddingConfig::new(20, 32).init(&device()),
        encoder: TransformerEncoderConfig::new(32, 64, 4, 2).init(&device()),
        head: linear(32, 4),
    };
    (model, (below([BATCH, 20], 200), below([BATCH], 4)))
}

fn encoded(model: &Text, tokens: Tensor<2, Int>) -> Tensor<3> {
    let [_, length] = tokens.dims();
    let places = Tensor::arange(0..length as i64, &tokens.device()).unsqueeze();
    let embedded = model.words.forward(tokens) + model.places.forward(places);
    model.encoder.forward(TransformerEncoderInput::new(embedded))
}

/// u″ of a network by the chain rule.
#[allow(clippy::ptr_arg, reason = "it is the model of a closure")]
fn residuals(layers: &Vec<Linear>, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let mut jet = [x.clone(), x.ones_like(), x.zeros_like()];
    for (place, layer) in layers.iter().enumerate() {
        let [u, du, ddu] = jet;
        let weight = layer.weight.val();
        let (u, du, ddu) = (layer.forward(u), du.matmul(weight.clone()), ddu.matmul(weight));
        if place + 1 == layers.len() {
            let residual = ddu + u;
            return (residual.clone(), residual.square().mean());
        }
        let t = u.tanh();
        let slope = t.clone().square() * -1.0 + 1.0;
        let bend = t.clone() * slope.clone() * -2.0 * du.clone().square();
        jet = [t, slope.clone() * du, bend + slope * ddu];
    }
    (x.clone(), x.mean())
}

pub fn classifiers(bench: &Bench) -> Result<(), Error> {
    bench.costs("images", images(), CLASSES, |model, (x, y)| {
        let norms = model.norm.iter().zip(&model.conv);
        let x = norms.fold(x, |x, (norm, conv)| gelu(norm.forward(conv.forward(x))));
        classified(model.head[1].forward(relu(model.head[0].forward(x.flatten(1, 3)))), y)
    })?;
    bench.costs("transformer", text(), CLASSES, |model, (tokens, y)| {
        classified(model.head.forward(encoded(model, tokens).mean_dim(1).squeeze_dim(1)), y)
    })?;
    type Sequences = (Tensor<3>, Labels);
    let lstm = (LstmConfig::new(8, 32, true).init(&device()), linear(32, 5));
    let batch = (normal([BATCH, 12, 8]), below([BATCH], 5));
    let loss = |(lstm, head): &(Lstm, Linear), (x, y): Sequences| {
        let (_, state) = lstm.forward(x, None);
        classified(head.forward(state.hidden), y)
    };
    bench.costs("lstm", (lstm, batch), CLASSES, loss)
}

pub fn regressions(bench: &Bench) -> Result<(), Error> {
    let net = vec![linear(1, 32), linear(32, 32), linear(32, 1)];
    bench.costs("pinn", (net, normal([4 * BATCH, 1])), HALF, residuals)?;
    let pair = (vec![linear(20, 64), linear(64, 16)], vec![linear(2, 64), linear(64, 16)]);
    let batch = (normal([BATCH, 20]), normal([BATCH, 2]), normal([BATCH, 1]));
    type Places = (Tensor<2>, Tensor<2>, Tensor<2>);
    bench.costs("deeponet", (pair, batch), HALF, |(branch, trunk), (u, x, y): Places| {
        let through = |net: &Vec<Linear>, x| net[1].forward(net[0].forward(x).tanh());
        let z = (through(branch, u) * through(trunk, x)).sum_dim(1);
        (z.clone(), (z - y).square().mean())
    })?;
    let net = vec![linear(20, 64), linear(64, 16)];
    let batch = (normal([BATCH, 20]), below([BATCH, 16], 6).float());
    bench.costs(
        "counts",
        (net, batch),
        Likelihood::Poisson,
        |net, (x, y): (Tensor<2>, Tensor<2>)| {
            let z = net[1].forward(net[0].forward(x).tanh());
            (z.clone(), (z.clone().exp() - y * z).sum_dim(1).mean())
        },
    )?;
    let net = vec![linear(64, 32), linear(32, 8), linear(8, 32), linear(32, 64)];
    bench.costs("autoencoder", (net, normal([BATCH, 64])), HALF, |net, x| {
        let z = net.iter().fold(x.clone(), |x, layer| layer.forward(x).tanh());
        (z.clone(), (z - x).square().sum_dim(1).mean())
    })
}
