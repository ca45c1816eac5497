//! Every loss but cross-entropies, behind a multilayer perceptron.

use burn::nn::loss::{
    CosineEmbeddingLossConfig, GaussianNLLLossConfig, HingeEmbeddingLossConfig, HuberLossConfig,
    KLDivLossConfig, LpLossConfig, MarginRankingLossConfig, MseLoss, MultiMarginLossConfig,
    PoissonNllLossConfig, Reduction, SmoothL1LossConfig, SoftMarginLoss, TripletMarginLossConfig,
};
use burn::{
    prelude::*,
    tensor::activation::{log_softmax, softmax, softplus},
};

use super::{
    check::Table,
    probe::{Net, data, device, labels, signs},
};

pub type Labeled = (Tensor<2>, Tensor<1, Int>);
pub type Pair = (Tensor<2>, Tensor<2>);

pub fn labeled() -> Labeled {
    (data([6, 3], 1), labels([6], 4))
}

pub fn pair() -> Pair {
    (data([6, 3], 1), data([6, 4], 2))
}

pub fn net() -> Net {
    Net::new(3, 4)
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
