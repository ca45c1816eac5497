//! K-FAC, spectra and guards on wgpu against Flex in f64.

use burn::{
    backend::{Autodiff, Cube, Flex},
    module::{Module, Param},
    nn::{
        BatchNorm, BatchNormConfig, Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
    },
    tensor::{Device, Int, Tensor, activation::tanh},
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, Hessian, KfacConfig, LanczosConfig, Likelihood, LinearOperator, Objective,
    Reduction, TraceEstimatorConfig,
    backend::ProgramBackend,
    errors::ObjectiveError,
    kfac::{KfacApproximation, KfacFisher},
    spectrum::{DensityEstimatorConfig, EigenpairsStop, TraceMethod},
};

use super::{assert_close, objective, values};
use crate::{
    models::tiny::{self, Tiny},
    wgpu_device::device,
};

#[test]
fn kronecker_factors_have_the_values_of_flex() {
    let Some(wgpu) = device() else { return };
    let found = convolved::<Autodiff<Cube>>(&wgpu.autodiff());
    let expected = convolved::<Autodiff<Flex>>(&Device::flex().autodiff());
    let expected = expected.in_f64().unwrap();
    for fisher in [KfacFisher::Exact, KfacFisher::Empirical] {
        for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
            let config = KfacConfig::new().with_fisher(fisher).with_approximation(approximation);
            let (found, expected) = (kronecker(&found, &config), kronecker(&expected, &config));
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(found, expected);
            }
        }
    }
}

/// A product, and a product with each of the damped inverses.
fn kronecker<B: AutodiffBackend<InnerBackend: ProgramBackend>>(
    objective: &Objective<B>,
    config: &KfacConfig,
) -> [Vec<f64>; 3] {
    let kfac = config.init(objective, Likelihood::Categorical).unwrap();
    let v = objective.parameters().space().normal(5);
    let inverse = kfac.inverse(0.5).unwrap();
    let factored = kfac.factored_inverse(0.5).unwrap();
    [kfac.apply(&v), inverse.apply(&v), factored.apply(&v)]
        .map(|product| product.unwrap().to_vec().unwrap())
}

#[derive(Module, Debug)]
struct Convolved {
    conv: Conv2d,
    linear: Linear,
}

/// A convolution and a linear layer, three classes.
fn convolved<B>(device: &Device) -> Objective<B>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let mut conv = Conv2dConfig::new([2, 3], [3, 3]).init(device);
    conv.weight = Param::from_tensor(values([3, 2, 3, 3], 6, device));
    conv.bias = Some(Param::from_tensor(values([3], 7, device)));
    let mut linear = LinearConfig::new(3 * 4 * 3, 3).init(device);
    linear.weight = Param::from_tensor(values([36, 3], 8, device));
    linear.bias = Some(Param::from_tensor(values([3], 9, device)));
    let labels = Tensor::<1, Int>::from_ints([0, 2, 1, 1, 0, 2, 0], device);
    let batch = (values([7, 2, 6, 5], 10, device), labels);
    let loss = |model: &Convolved, (x, labels): (Tensor<4>, Tensor<1, Int>)| {
        let z = tanh(model.conv.forward(x)).flatten::<2>(1, 3);
        let z = model.linear.forward(z);
        let loss = CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z, labels))
    };
    let model = Convolved { conv, linear };
    let objective = Objective::capture_with(&CaptureConfig::new(), &model, batch, loss).unwrap();
    objective.reduced_by(Reduction::Mean).unwrap()
}

#[test]
fn spectra_of_a_hessian_have_the_values_of_flex() {
    let Some(wgpu) = device() else { return };
    let found = spectrum_of(&objective::<Autodiff<Cube>, _, _>(tiny::case(&wgpu.autodiff())));
    let expected = objective::<Autodiff<Flex>, _, _>(tiny::case(&Device::flex().autodiff()));
    let expected = spectrum_of(&expected.in_f64().unwrap());
    // Random vectors are the same on all backends.
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{found} {expected}");
    }
}

/// The largest eigenvalue, estimates of the trace by every method, and what densities say of trace and log det.
fn spectrum_of<B: AutodiffBackend<InnerBackend: ProgramBackend>>(
    objective: &Objective<B>,
) -> Vec<f64> {
    let hessian = Hessian::new(objective).unwrap();
    let lanczos = LanczosConfig::new().init().unwrap();
    let pairs = lanczos.eigenpairs(&hessian).unwrap();
    assert_eq!(pairs.report.stop, EigenpairsStop::Converged);
    let mut found = vec![pairs.report.largest()];
    for method in [TraceMethod::Hutchinson, TraceMethod::HutchPlusPlus, TraceMethod::XTrace] {
        let config = TraceEstimatorConfig::new().with_method(method).with_products(12);
        let estimate = config.init().unwrap().estimate(&hessian).unwrap();
        found.push(estimate.estimate);
    }
    let config = DensityEstimatorConfig::new().with_probes(4).with_steps(8);
    let density = config.init().unwrap().estimate(&hessian).unwrap();
    found.push(density.trace_of(|x| x).unwrap().estimate);
    found.push(density.trace_of(|x| (x + 3.0).ln()).unwrap().estimate);
    found
}

#[test]
fn truth_values_are_read_on_wgpu() {
    let Some(wgpu) = device() else { return };
    let case = tiny::case(&wgpu.autodiff());
    let objective = Objective::<Autodiff<Cube>>::capture_with(
        &CaptureConfig::new(),
        &case.model,
        case.batch,
        |model: &Tiny, (x, y)| {
            let z = model.forward(x);
            assert!(z.clone().abs().lower_scalar(1e3).all().into_scalar::<bool>());
            (z.clone(), (z - y).square().mean())
        },
    )
    .unwrap();
    let far = objective.parameters().clone().scale(1e6);
    let refused = objective.at(&far).unwrap().value().map(drop);
    let expected = ObjectiveError::OtherTruth { position: 0, expected: true };
    assert_eq!(refused.unwrap_err().downcast_ref(), Some(&expected));
}

/// Gradients are compared on the processor, with a copy of the model: its clones share their running statistics, which
/// would have moved there.
#[test]
fn a_captured_model_stays_on_wgpu() {
    let Some(wgpu) = device() else { return };
    let device = wgpu.autodiff();
    let model = (LinearConfig::new(2, 3).init(&device), BatchNormConfig::new(3).init(&device));
    for config in [CaptureConfig::new().evaluation(), CaptureConfig::new().training(1)] {
        let x = values([4, 2], 1, &device);
        let loss = |(linear, norm): &(Linear, BatchNorm), x: Tensor<2>| -> Tensor<1> {
            tanh(norm.forward::<2>(linear.forward(x))).square().mean()
        };
        let objective = config.init(&model, x.clone(), loss).unwrap();
        assert_eq!(model.devices(), std::slice::from_ref(&device));
        assert_eq!(model.1.running_mean.value().device(), device);
        assert!(loss(&model, x).into_scalar::<f32>().is_finite());
        assert!(objective.gradient().unwrap().norm().unwrap() > 0.0);
    }
}
