//! Every loss, behind a multilayer perceptron.

use burn::nn::loss::{
    BinaryCrossEntropyLossConfig, CosineEmbeddingLossConfig, CrossEntropyLossConfig,
    GaussianNLLLossConfig, HingeEmbeddingLossConfig, HuberLossConfig, KLDivLossConfig,
    LpLossConfig, MarginRankingLossConfig, MseLoss, MultiMarginLossConfig, PoissonNllLossConfig,
    Reduction, SmoothL1LossConfig, SoftMarginLoss, TripletMarginLossConfig,
};
use burn::{
    prelude::*,
    tensor::{
        activation::{log_softmax, sigmoid, softmax, softplus},
        loss::cross_entropy_with_logits,
    },
};

use super::{
    check::Table,
    probe::{Net, data, device, fractions, labels, signs},
};

type Labeled = (Tensor<2>, Tensor<1, Int>);
type Pair = (Tensor<2>, Tensor<2>);

fn labeled() -> Labeled {
    (data([6, 3], 1), labels([6], 4))
}

fn pair() -> Pair {
    (data([6, 3], 1), data([6, 4], 2))
}

fn net() -> Net {
    Net::new(3, 4)
}

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

#[test]
fn regression() {
    let mut table = Table::new("Regression losses");
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::Auto] {
        let name = format!("MSE, {reduction:?}");
        table.everywhere(&name, net(), pair(), move |net: &Net, (x, y): Pair| {
            MseLoss::new().forward(net.forward(x), y, reduction.clone())
        });
    }
    for delta in [0.2, 1.0, 10.0] {
        table.model(&format!("Huber {delta}"), net(), pair(), move |net: &Net, (x, y): Pair| {
            HuberLossConfig::new(delta).init().forward(net.forward(x), y, Reduction::Mean)
        });
    }
    for beta in [0.2, 1.0, 10.0] {
        table.model(&format!("smooth L1 {beta}"), net(), pair(), move |net: &Net, (x, y): Pair| {
            SmoothL1LossConfig::new().with_beta(beta).init().forward_with_reduction(
                net.forward(x),
                y,
                Reduction::Sum,
            )
        });
    }
    for p in [0.5, 1.0, 1.5, 2.0, 3.0, 4.0] {
        table.model(&format!("Lp {p}"), net(), pair(), move |net: &Net, (x, y): Pair| {
            LpLossConfig::new(p).init().forward(net.forward(x), y, Reduction::Mean)
        });
    }
    table.model("Lp 3, reduced dims", net(), pair(), |net: &Net, (x, y): Pair| {
        LpLossConfig::new(3.0).init().forward_reduce_dims(net.forward(x), y, &[1]).sum()
    });
    for full in [false, true] {
        table.model(
            &format!("Gaussian NLL, full {full}"),
            Net::new(3, 8),
            pair(),
            move |net: &Net, (x, y): Pair| {
                let output = net.forward(x);
                let (mean, variance) =
                    (output.clone().narrow(1, 0, 4), softplus(output.narrow(1, 4, 4), 1.0));
                GaussianNLLLossConfig::new().with_full(full).init().forward(
                    mean,
                    y,
                    variance,
                    Reduction::Mean,
                )
            },
        );
    }
    table.finish();
}

/// It reads whether targets, and rates that are no logarithms, are negative.
#[test]
fn counts() {
    let mut table = Table::new("PoissonNllLoss");
    let batch = || (data([6, 3], 1), data([6, 4], 2).abs() * 2.0);
    for (log_input, full) in [(true, false), (true, true), (false, false), (false, true)] {
        for (eps, reduction) in [(1e-8, Reduction::Mean), (0.1, Reduction::Sum)] {
            let loss = PoissonNllLossConfig::new()
                .with_log_input(log_input)
                .with_full(full)
                .with_eps(eps)
                .init();
            let name = format!("log input {log_input}, full {full}, eps {eps}, {reduction:?}");
            table.everywhere(&name, net(), batch(), move |net: &Net, (x, y): Pair| {
                let logarithms = net.forward(x);
                let rates = if log_input { logarithms } else { logarithms.exp() };
                loss.forward(rates, y, reduction.clone())
            });
        }
    }
    table.finish();
}

#[test]
fn distributions() {
    let mut table = Table::new("Divergences");
    for reduction in [Reduction::BatchMean, Reduction::Mean, Reduction::Sum] {
        let name = format!("KL, {reduction:?}");
        let batch = (data([6, 3], 1), softmax(data([6, 4], 2), 1));
        table.model(&name, net(), batch, move |net: &Net, (x, y): Pair| {
            KLDivLossConfig::new().init().forward(
                log_softmax(net.forward(x), 1),
                y,
                reduction.clone(),
            )
        });
    }
    table.model(
        "KL of logarithms",
        net(),
        (data([6, 3], 1), log_softmax(data([6, 4], 2), 1)),
        |net: &Net, (x, y): Pair| {
            KLDivLossConfig::new().with_log_target(true).init().forward(
                log_softmax(net.forward(x), 1),
                y,
                Reduction::Auto,
            )
        },
    );
    table.model(
        "KL, target of the model too",
        net(),
        data([6, 3], 1),
        |net: &Net, x: Tensor<2>| {
            let target = softmax(net.forward(x.clone().flip([0])), 1);
            KLDivLossConfig::new().init().forward(
                log_softmax(net.forward(x), 1),
                target,
                Reduction::Auto,
            )
        },
    );
    table.finish();
}

#[test]
fn margins() {
    let mut table = Table::new("Margin losses");
    for p in [1, 2] {
        for margin in [0.3, 1.0] {
            table.model(
                &format!("multi margin {margin}, p {p}"),
                net(),
                labeled(),
                move |net: &Net, (x, y): Labeled| {
                    MultiMarginLossConfig::new().with_margin(margin).with_p(p).init().forward(
                        net.forward(x),
                        y,
                        Reduction::Mean,
                    )
                },
            );
        }
    }
    let signed = || (data([6, 3], 1), signs([6, 4], 2));
    table.model("soft margin", net(), signed(), |net: &Net, (x, y): Pair| {
        SoftMarginLoss::new().forward(net.forward(x), y, Reduction::Mean)
    });
    table.model("hinge embedding", net(), signed(), |net: &Net, (x, y): Pair| {
        HingeEmbeddingLossConfig::new().init().forward(net.forward(x), y, Reduction::Sum)
    });
    table.model("margin ranking", net(), signed(), |net: &Net, (x, y): Pair| {
        let other = net.forward(x.clone().flip([0]));
        MarginRankingLossConfig::new().with_margin(0.4).init().forward(
            net.forward(x),
            other,
            y,
            Reduction::Mean,
        )
    });
    for p in [1.0, 2.0, 3.0] {
        table.model(
            &format!("triplet, p {p}"),
            net(),
            data([6, 3], 1),
            move |net: &Net, x: Tensor<2>| {
                let [anchor, positive, negative] =
                    [0, 1, 2].map(|i| net.forward(x.clone().narrow(0, 2 * i, 2)));
                let config = TripletMarginLossConfig::new().with_margin(2.0).with_p(p);
                config.init().forward(anchor, positive, negative, Reduction::Mean)
            },
        );
    }
    for margin in [0.0, 0.2] {
        let similar = Tensor::<1, Int>::from_ints([1, -1, 1, -1, -1, 1], &device());
        table.model(
            &format!("cosine embedding {margin}"),
            net(),
            (data([6, 3], 1), similar),
            move |net: &Net, (x, y): Labeled| {
                let other = net.forward(x.clone().flip([0]) * 0.5);
                CosineEmbeddingLossConfig::new().with_margin(margin).init().forward(
                    net.forward(x),
                    other,
                    y,
                )
            },
        );
    }
    table.finish();
}
