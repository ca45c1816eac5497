//! The losses of `burn::nn::loss`, but Poisson's, which reads truth values while it is recorded.

use burn::{
    nn::loss::{
        BinaryCrossEntropyLossConfig, CTCLossConfig, CosineEmbeddingLossConfig,
        CrossEntropyLossConfig, GaussianNLLLossConfig, HingeEmbeddingLossConfig, HuberLossConfig,
        KLDivLossConfig, LpLossConfig, MarginRankingLossConfig, MseLoss, MultiMarginLossConfig,
        RNNTLossConfig, Reduction, SmoothL1LossConfig, SoftMarginLoss, TripletMarginLossConfig,
    },
    tensor::{Tensor, activation::log_softmax, loss::cross_entropy_with_logits},
};

use super::{Entry, Source, check_all, entry, out};

/// A loss of predictions and targets of one shape.
fn pair(name: &'static str, f: fn(Tensor<2>, Tensor<2>) -> Tensor<1>) -> Entry {
    entry(name, move |s: &Source| {
        let (x, y) = (s.positive([3, 4], 0.0), s.positive([3, 4], 1.0));
        vec![out(f(x, y))]
    })
}

#[test]
fn regression() {
    check_all(vec![
        pair("mse", |x, y| MseLoss::new().forward(x, y, Reduction::Mean)),
        pair("mse sum", |x, y| MseLoss::new().forward(x, y, Reduction::Sum)),
        pair("huber", |x, y| HuberLossConfig::new(0.5).init().forward(x, y, Reduction::Mean)),
        pair("smooth l1", |x, y| {
            SmoothL1LossConfig::new().init().forward_with_reduction(x, y, Reduction::Mean)
        }),
        pair("l1", |x, y| LpLossConfig::new(1.0).init().forward(x, y, Reduction::Mean)),
        pair("l3", |x, y| LpLossConfig::new(3.0).init().forward(x, y, Reduction::Mean)),
        pair("gaussian", |x, y| {
            let variance = x.clone() * 0.3 + 0.1;
            GaussianNLLLossConfig::new().init().forward(x, y, variance, Reduction::Mean)
        }),
        pair("kl divergence", |x, y| {
            KLDivLossConfig::new().init().forward(x.log(), y, Reduction::Mean)
        }),
        pair("margin ranking", |x, y| {
            let sign = (x.clone() - 1.0).sign();
            MarginRankingLossConfig::new().init().forward(x, y, sign, Reduction::Mean)
        }),
        pair("hinge embedding", |x, y| {
            HingeEmbeddingLossConfig::new().init().forward(x, (y - 1.0).sign(), Reduction::Mean)
        }),
        pair("soft margin", |x, y| {
            SoftMarginLoss::new().forward(x, (y - 1.0).sign(), Reduction::Mean)
        }),
        pair("triplet margin", |x, y| {
            let far = x.clone() * 2.0 - 1.0;
            TripletMarginLossConfig::new().init().forward(x, y, far, Reduction::Mean)
        }),
    ]);
}

#[test]
fn classification() {
    check_all(vec![
        entry("cross entropy", |s| {
            let (x, y) = (s.float([4, 3], 0.0), s.int([4], &[0, 2, 1, 2]));
            let device = &s.device;
            let weighted = CrossEntropyLossConfig::new().with_weights(Some(vec![0.2, 0.5, 1.0]));
            let smooth = CrossEntropyLossConfig::new().with_smoothing(Some(0.1));
            let padded = CrossEntropyLossConfig::new().with_pad_tokens(Some(vec![1]));
            vec![
                out(CrossEntropyLossConfig::new().init(device).forward(x.clone(), y.clone())),
                out(weighted.init(device).forward(x.clone(), y.clone())),
                out(smooth.init(device).forward(x.clone(), y.clone())),
                out(padded.init(device).forward(x, y)),
            ]
        }),
        entry("cross entropy of distributions", |s| {
            let (x, y) = (s.float([4, 3], 1.0), s.positive([4, 3], 2.0));
            vec![out(cross_entropy_with_logits(x, y))]
        }),
        entry("binary cross entropy", |s| {
            let (x, y) = (s.float([4], 3.0), s.int([4], &[0, 1, 1, 0]));
            let device = &s.device;
            let logits = BinaryCrossEntropyLossConfig::new().with_logits(true).init(device);
            let plain = BinaryCrossEntropyLossConfig::new().init(device);
            let probability = x.clone() * 0.4 + 0.5;
            vec![out(logits.forward(x, y.clone())), out(plain.forward(probability, y))]
        }),
        entry("cosine embedding", |s| {
            let (x, y) = (s.float([4, 3], 4.0), s.float([4, 3], 5.0));
            let sign = s.int([4], &[1, -1, 1, -1]);
            vec![out(CosineEmbeddingLossConfig::new().init().forward(x, y, sign))]
        }),
        entry("multi margin", |s| {
            let (x, y) = (s.float([4, 3], 6.0), s.int([4], &[0, 2, 1, 2]));
            vec![out(MultiMarginLossConfig::new().init().forward(x, y, Reduction::Mean))]
        }),
    ]);
}

#[test]
fn sequences() {
    check_all(vec![
        entry("ctc", |s| {
            let x = log_softmax(s.float([5, 2, 4], 0.0), 2);
            let targets = s.int([2, 2], &[1, 2, 3, 1]);
            let (input, target) = (s.int([2], &[5, 4]), s.int([2], &[2, 1]));
            vec![out(CTCLossConfig::new().init().forward(x, targets, input, target))]
        }),
        entry("rnnt", |s| {
            let x = s.float([2, 4, 3, 4], 1.0);
            let targets = s.int([2, 2], &[1, 2, 3, 1]);
            let (input, target) = (s.int([2], &[4, 3]), s.int([2], &[2, 1]));
            vec![out(RNNTLossConfig::new().init().forward(x, targets, input, target))]
        }),
    ]);
}
