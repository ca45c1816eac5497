//! Losses over sequences, which are sums over alignments.

use burn::nn::loss::{CTCLossConfig, RNNTLossConfig, Reduction};
use burn::{prelude::*, tensor::activation::log_softmax};

use super::{
    check::Table,
    probe::{Net, data, device},
};

fn net() -> Net {
    Net::new(3, 4)
}

type Sequences = (Tensor<3>, Tensor<2, Int>, Tensor<1, Int>, Tensor<1, Int>);

#[test]
fn connectionist_temporal_classification() {
    let mut table = Table::new("CTCLoss");
    let device = device();
    let batch = (
        data([6, 2, 3], 1),
        Tensor::<2, Int>::from_ints([[1, 2, 2], [3, 1, 0]], &device),
        Tensor::<1, Int>::from_ints([6, 5], &device),
        Tensor::<1, Int>::from_ints([3, 2], &device),
    );
    for reduction in [Reduction::Mean, Reduction::Sum] {
        for zero in [false, true] {
            let name = format!("{reduction:?}, zero infinity {zero}");
            let reduction = reduction.clone();
            let loss = move |net: &Net, (x, targets, lengths, target_lengths): Sequences| {
                let loss = CTCLossConfig::new().with_zero_infinity(zero).init();
                let scores = log_softmax(net.forward(x), 2);
                loss.forward_with_reduction(
                    scores,
                    targets,
                    lengths,
                    target_lengths,
                    reduction.clone(),
                )
            };
            if cfg!(debug_assertions) {
                table.refused(&name, &["may not read values"], (net(), batch.clone()), loss);
            } else {
                table.model(&name, net(), batch.clone(), loss);
            }
        }
    }
    table.finish();
}

#[test]
fn recurrent_neural_network_transducer() {
    let mut table = Table::new("RNNTLoss");
    let device = device();
    let batch = (
        data([2, 4, 3, 3], 1),
        Tensor::<2, Int>::from_ints([[1, 2], [3, 0]], &device),
        Tensor::<1, Int>::from_ints([4, 3], &device),
        Tensor::<1, Int>::from_ints([2, 1], &device),
    );
    for logits in [true, false] {
        table.model(
            &format!("logits {logits}"),
            net(),
            batch.clone(),
            move |net: &Net, (x, targets, lengths, target_lengths): (Tensor<4>, _, _, _)| {
                let scores = log_softmax(net.forward(x), 3);
                let loss = RNNTLossConfig::new().with_logits(logits).init();
                loss.forward_with_reduction(
                    scores,
                    targets,
                    lengths,
                    target_lengths,
                    Reduction::Mean,
                )
            },
        );
    }
    table.finish();
}
