//! Cross-entropies of classes and of single truth values, behind a multilayer perceptron.

use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig};
use burn::{
    prelude::*,
    tensor::{
        activation::{sigmoid, softmax},
        loss::cross_entropy_with_logits,
    },
};

use super::{
    check::Table,
    losses::{Labeled, Pair, labeled, net},
    probe::{Net, data, fractions, labels},
};

#[test]
fn cross_entropy() {
    let mut table = Table::new("CrossEntropyLoss");
    let config = CrossEntropyLossConfig::new;
    let weights = || Some(vec![0.5, 2.0, 1.0, 3.0]);
    let rows = [
        ("plain", config()),
        ("weights", config().with_weights(weights())),
        ("smoothing", config().with_smoothing(Some(0.1))),
        ("padding", config().with_pad_tokens(Some(vec![1]))),
        ("two paddings", config().with_pad_tokens(Some(vec![0, 2]))),
        ("smoothing, weights", config().with_smoothing(Some(0.2)).with_weights(weights())),
        ("smoothing, padding", config().with_smoothing(Some(0.2)).with_pad_tokens(Some(vec![1]))),
        (
            "all",
            config()
                .with_smoothing(Some(0.2))
                .with_weights(weights())
                .with_pad_tokens(Some(vec![1])),
        ),
    ];
    for (name, config) in rows {
        let probabilities = config.clone().with_logits(false);
        table.everywhere(name, net(), labeled(), move |net: &Net, (x, y): Labeled| {
            let logits = net.forward(x);
            config.init(&logits.device()).forward(logits, y)
        });
        table.model(
            &format!("{name}, of probabilities"),
            net(),
            labeled(),
            move |net: &Net, (x, y): Labeled| {
                let probabilities_of = softmax(net.forward(x), 1);
                probabilities.init(&probabilities_of.device()).forward(probabilities_of, y)
            },
        );
    }
    table.model(
        "against probabilities",
        net(),
        (data([6, 3], 1), fractions([6, 4], 2)),
        |net: &Net, (x, y): Pair| cross_entropy_with_logits(net.forward(x), y),
    );
    table.finish();
}

#[test]
fn binary_cross_entropy() {
    let mut table = Table::new("BinaryCrossEntropyLoss");
    let config = || BinaryCrossEntropyLossConfig::new().with_logits(true);
    let weights = || Some(vec![0.5, 2.0, 1.0, 3.0]);
    let rows = [
        ("plain", config()),
        ("weights", config().with_weights(weights())),
        ("smoothing", config().with_smoothing(Some(0.1))),
        ("weights, smoothing", config().with_weights(weights()).with_smoothing(Some(0.1))),
    ];
    let batch = || (data([6, 3], 1), labels([6, 4], 2));
    for (name, config) in rows {
        let plain = config.clone().with_logits(false);
        table.model(name, net(), batch(), move |net: &Net, (x, y): (Tensor<2>, Tensor<2, Int>)| {
            config.init(&x.device()).forward(net.forward(x), y)
        });
        table.model(
            &format!("{name}, of probabilities"),
            net(),
            batch(),
            move |net: &Net, (x, y): (Tensor<2>, Tensor<2, Int>)| {
                plain.init(&x.device()).forward(sigmoid(net.forward(x)), y)
            },
        );
    }
    let weights = config().with_weights(Some(vec![0.5, 2.0]));
    table.model(
        "one output, weights",
        Net::new(3, 1),
        (data([6, 3], 1), labels([6], 2)),
        move |net: &Net, (x, y): Labeled| {
            weights.init(&x.device()).forward(net.forward(x).flatten::<1>(0, 1), y)
        },
    );
    table.finish();
}
