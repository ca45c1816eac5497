//! Solvers and checks on the operators of a recorded model over a data set: softmax regression, 15 parameters.

use burn::{
    module::{Module, Param},
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, DirectConfig, EmpiricalFisher, GaussNewton, Hessian, LinearOperator,
    LinearSolver, NeumannConfig, Objective, Reduction, StopReason, materialize,
    operator::{LowRank, check_self_adjoint},
    solver::{LissaConfig, MethodDetail, NystromConfig, Woodbury},
};

use crate::{TestBackend, assert_close, random::SplitMix64, relative_error};

const SAMPLES: usize = 24;

#[derive(Module, Debug)]
struct Softmax {
    layer: Linear,
}

type Samples = (Tensor<2>, Tensor<1, Int>);

fn softmax(device: &Device) -> Softmax {
    let mut numbers = SplitMix64::new(3);
    let mut fill = |shape: &[usize]| -> TensorData {
        let count = shape.iter().product();
        let values: Vec<f32> = numbers.normals(count).iter().map(|x| 0.3 * *x as f32).collect();
        TensorData::new(values, shape.to_vec())
    };
    let mut layer = LinearConfig::new(4, 3).init(device);
    layer.weight = Param::from_data(fill(&[4, 3]), device);
    layer.bias = Some(Param::from_data(fill(&[3]), device));
    Softmax { layer }
}

/// The samples from one to another.
fn samples(from: usize, to: usize, device: &Device) -> Samples {
    let mut numbers = SplitMix64::new(8);
    let x: Vec<f32> = numbers.normals(4 * SAMPLES).iter().map(|x| *x as f32).collect();
    let y: Vec<i64> = (0..SAMPLES).map(|_| (3.0 * numbers.uniform()) as i64).collect();
    let x = TensorData::new(x[4 * from..4 * to].to_vec(), [to - from, 4]);
    let y = TensorData::new(y[from..to].to_vec(), [to - from]);
    (Tensor::from_data(x, device), Tensor::from_data(y, device))
}

fn batches(size: usize, device: &Device) -> Vec<Samples> {
    let starts = (0..SAMPLES).step_by(size);
    starts.map(|from| samples(from, (from + size).min(SAMPLES), device)).collect()
}

fn risk<B: TestBackend>(size: usize) -> Objective<B> {
    let device = B::user_device().autodiff();
    let batches = batches(size, &device);
    let loss = |model: &Softmax, (x, y): Samples| {
        let logits = model.layer.forward(x);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (logits.clone(), loss.forward(logits, y))
    };
    let config = CaptureConfig::new();
    let objective = Objective::capture_with(&config, &softmax(&device), batches[0].clone(), loss);
    let objective = objective.unwrap().in_f64().unwrap();
    objective.over(batches, Reduction::Mean).unwrap()
}

/// LiSSA over mini-batches, the series and the sketch on the damped Gauss-Newton matrix: all against its factorization.
fn solvers_over_data<B: TestBackend>() {
    let risk = risk::<B>(4);
    let b = risk.gradient().unwrap();
    let matrix = GaussNewton::new(&risk).unwrap();
    check_self_adjoint(&matrix, 1).unwrap();
    check_self_adjoint(&Hessian::new(&risk).unwrap(), 2).unwrap();
    let damped = (&matrix).damped(0.05).unwrap();
    let exact = DirectConfig::new().init().unwrap().solve(&damped, &b).unwrap();
    assert_eq!(exact.report.stop, StopReason::Solved);
    let exact = exact.x.to_vec().unwrap();

    let config = LissaConfig::new().with_depth(200).with_repeats(6);
    let solution = config.init().unwrap().solve(&damped, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::Sampled, "{}", solution.report);
    let Some(MethodDetail::Lissa { standard_error, .. }) = solution.report.detail else {
        panic!("{}", solution.report)
    };
    let x = solution.x.to_vec().unwrap();
    let norm = exact.iter().map(|x| x * x).sum::<f64>().sqrt();
    let error = relative_error(&x, &exact);
    assert!(error < 0.3, "{error}");
    assert!(error * norm < 3.0 * standard_error.unwrap(), "{error} {}", solution.report);

    let solution = NeumannConfig::new().init().unwrap().solve(&damped, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
    assert_close(&solution.x.to_vec().unwrap(), &exact, 1e-3);
    // 15 parameters, of which softmax leaves 5 without curvature.
    let nystrom = NystromConfig::new(12, 0.05).init().unwrap();
    let solution = nystrom.solve(&damped, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
    assert_close(&solution.x.to_vec().unwrap(), &exact, 1e-6);
}
on_backends!(solvers_over_data: ndarray, flex, dispatch);

/// The gradients of the samples one by one make up the empirical Fisher matrix, and Woodbury inverts it.
fn sample_gradients<B: TestBackend>() {
    let single = risk::<B>(1);
    let device = B::user_device().autodiff();
    let gradients = (0..SAMPLES).map(|n| {
        let one = single.on(samples(n, n + 1, &device)).unwrap();
        one.gradient().unwrap()
    });
    let gradients: Vec<_> = gradients.collect();
    let b = single.gradient().unwrap();
    let low_rank = LowRank::mean_of(&gradients).unwrap();
    let fisher = EmpiricalFisher::new(&single).unwrap();
    let expected = materialize(&fisher).unwrap();
    assert_close(materialize(&low_rank).unwrap().values(), expected.values(), 1e-12);
    let solution = Woodbury::new(low_rank.with_damping(1e-3).unwrap()).unwrap().solve(&b).unwrap();
    let damped = fisher.damped(1e-3).unwrap();
    let exact = DirectConfig::new().init().unwrap().solve(&damped, &b).unwrap();
    assert_close(&solution.x.to_vec().unwrap(), &exact.x.to_vec().unwrap(), 1e-10);
}
on_backends!(sample_gradients: ndarray, flex, dispatch);
