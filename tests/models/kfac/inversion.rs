//! Inverses of factors on the device: against the factor itself in f64 for many condition numbers, with the residual that the
//! report states, and against the host.

use burn::{
    backend::{Autodiff, Flex},
    module::{Module, Param},
    nn::conv::{Conv1d, Conv1dConfig},
    tensor::{Device, Tensor, TensorData},
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, Kfac, KfacConfig, Likelihood, LinearOperator, Objective, Precision, Reduction,
    backend::ProgramBackend,
    errors::{ConfigError, OperatorError},
    kfac::{InversionPlace, KfacFisher, KfacInversion},
};

use crate::random::SplitMix64;

/// Three blocks of halves, the last of which is smaller.
const ROWS: usize = 300;
const GAUSSIAN: Likelihood = Likelihood::Gaussian { variance: 1.0 };

#[derive(Module, Debug)]
struct Line {
    w: Param<Tensor<2>>,
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Rows x of a linear layer whose factor A = E[x xᵀ] has eigenvalues from 1 down to 1/κ, in a basis made of reflections.
fn inputs(condition: f64, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    let n = ROWS;
    let mut x: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let eigenvalue = condition.powf(-(i as f64) / (n - 1) as f64);
            (0..n).map(|j| if i == j { (eigenvalue * n as f64).sqrt() } else { 0.0 }).collect()
        })
        .collect();
    for _ in 0..3 {
        let u: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let square: f64 = u.iter().map(|u| u * u).sum();
        for row in &mut x {
            let overlap: f64 = row.iter().zip(&u).map(|(x, u)| x * u).sum();
            let factor = 2.0 * overlap / square;
            row.iter_mut().zip(&u).for_each(|(x, u)| *x -= factor * u);
        }
    }
    x.concat()
}

/// K-FAC of z = x w with these inputs: A as stated, G = 1.
fn kfac<B>(condition: f64, seed: u64, precision: Precision, device: &Device) -> Kfac<B>
where
    B: AutodiffBackend<InnerBackend: ProgramBackend>,
{
    let device = device.clone().autodiff();
    let model = Line { w: Param::from_tensor(Tensor::zeros([ROWS, 1], &device)) };
    let x = tensor(&inputs(condition, seed), [ROWS, ROWS], &device);
    let objective =
        Objective::<B>::capture_with(&CaptureConfig::new(), &model, x, |model, x: Tensor<2>| {
            let z = x.matmul(model.w.val());
            (z.clone(), z.powf_scalar(2.0).mean() * 0.5)
        });
    let objective = objective.unwrap().reduced_by(Reduction::Mean).unwrap();
    let objective = objective.in_precision(precision).unwrap();
    KfacConfig::new().with_fisher(KfacFisher::Exact).init(&objective, GAUSSIAN).unwrap()
}

/// ‖M X v − v‖ / ‖v‖ in f64, M the damped factor as the device holds it and X v what the inverse makes of v.
fn residual<B: AutodiffBackend>(kfac: &Kfac<B>, damping: f64, xv: &[f64], v: &[f64]) -> f64 {
    let layer = &kfac.layers()[0];
    let pi = layer.balance().unwrap()[0];
    let (shift, right) = (pi * damping.sqrt(), layer.output().values().unwrap()[0]);
    let right = right + damping.sqrt() / pi;
    let a = layer.input().values().unwrap();
    let n = v.len();
    let rows = a.chunks(n).enumerate().map(|(i, row)| {
        let product: f64 = row.iter().zip(xv).map(|(a, x)| a * x).sum();
        (product + shift * xv[i]) * right - v[i]
    });
    let square: f64 = rows.map(|difference| difference * difference).sum();
    (square / v.iter().map(|v| v * v).sum::<f64>()).sqrt()
}

/// The input factor's damped inverse on the device, for a damping that leaves half of the condition number.
fn inverts<B>(precision: Precision, tolerance: f64, must: fn(f64) -> Option<bool>, device: &Device)
where
    B: AutodiffBackend<InnerBackend: ProgramBackend>,
{
    let mut reached = 0;
    for (seed, condition) in [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7].into_iter().enumerate() {
        let kfac = kfac::<B>(condition, seed as u64, precision, device);
        let damping = (1.0 / condition).powi(2);
        let v = kfac.domain().normal(7);
        let inversion = KfacInversion::Device { tolerance };
        let (inverse, report) = kfac.factored_inverse_with(damping, inversion).unwrap();
        let product = inverse.apply(&v).unwrap().to_vec().unwrap();
        let found = &report.factors[0];
        assert_eq!((found.parameter.as_str(), found.rows), ("w", ROWS));
        match found.place {
            InversionPlace::Device { residual: stated } => {
                reached += 1;
                assert_ne!(must(condition), Some(false), "{condition:e}");
                assert!(stated <= tolerance, "{condition:e}: {stated:e}");
                let v = v.to_vec().unwrap();
                let found = residual(&kfac, damping, &product, &v);
                // What the device's products round off, besides what is stated.
                let rounding = 30.0 * precision.epsilon() * condition;
                assert!(found <= stated + rounding, "{condition:e}: {found:e}, {stated:e}");
            }
            InversionPlace::Fallback { residual, tolerance: asked } => {
                assert_ne!(must(condition), Some(true), "{condition:e}: {residual:?}");
                assert_eq!(asked, tolerance);
                assert!(residual.is_none_or(|residual| residual > tolerance));
                assert_eq!(report.fallbacks().count(), 1);
                assert!(report.to_string().contains("w (300 rows) on the host after"), "{report}");
                let host = kfac.factored_inverse_with(damping, KfacInversion::Host).unwrap().0;
                let host = host.apply(&v).unwrap().to_vec().unwrap();
                let largest = host.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
                for (found, expected) in product.iter().zip(&host) {
                    // The other factor, a number, was inverted on the device.
                    let error = (found - expected).abs() / largest;
                    assert!(error < 1e-6, "{condition:e}: {found} for {expected}");
                }
            }
            InversionPlace::Host => panic!("the device was asked for"),
        }
    }
    assert!(reached >= 4, "{reached}");
}

/// In f32 up to a condition of 1e3, by the host from 1e7 on.
pub fn single<B>(device: &Device)
where
    B: AutodiffBackend<InnerBackend: ProgramBackend>,
{
    let must = |condition| {
        if condition <= 1e3 {
            Some(true)
        } else if condition >= 1e7 {
            Some(false)
        } else {
            None
        }
    };
    inverts::<B>(Precision::F32, 1e-2, must, device);
}

#[test]
fn large_conditions_are_left_to_the_host_in_f32() {
    single::<Autodiff<Flex>>(&Device::flex());
}

#[test]
fn every_condition_is_inverted_on_the_device_in_f64() {
    inverts::<Autodiff<Flex>>(Precision::F64, 1e-6, |_| Some(true), &Device::flex());
}

#[derive(Module, Debug)]
struct Grouped {
    conv: Conv1d,
}

/// Two groups of 140 channels: both matrices of a factor at once, each with its own damping.
pub fn grouped<B>(device: &Device)
where
    B: AutodiffBackend<InnerBackend: ProgramBackend>,
{
    let device = device.clone().autodiff();
    let mut conv = Conv1dConfig::new(280, 4, 1).with_groups(2).with_bias(true).init(&device);
    let mut random = SplitMix64::new(3);
    let mut values = |count: usize| -> Vec<f64> { (0..count).map(|_| random.normal()).collect() };
    conv.weight = Param::from_tensor(tensor(&values(4 * 140), [4, 140, 1], &device));
    conv.bias = Some(Param::from_tensor(tensor(&values(4), [4], &device)));
    let mut x = values(60 * 280 * 2);
    x.iter_mut().enumerate().filter(|(i, _)| i / 2 % 280 < 140).for_each(|(_, x)| *x *= 5.0);
    let x = tensor(&x, [60, 280, 2], &device);
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &Grouped { conv },
        x,
        |model, x: Tensor<3>| {
            let z = model.conv.forward(x);
            (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
        },
    );
    let objective = objective.unwrap().reduced_by(Reduction::Sum).unwrap();
    let config = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed: 1 });
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    let v = kfac.domain().normal(2);
    let products = [KfacInversion::Host, KfacInversion::Device { tolerance: 1e-2 }].map(|place| {
        let (inverse, report) = kfac.factored_inverse_with(10.0, place).unwrap();
        assert_eq!(report.fallbacks().count(), 0, "{report}");
        inverse.apply(&v).unwrap()
    });
    let [host, on_device] = products;
    let error = on_device.sub(&host).unwrap().norm().unwrap() / host.norm().unwrap();
    assert!(error < 1e-3, "{error:e}");
}

#[test]
fn groups_are_inverted_together() {
    grouped::<Autodiff<Flex>>(&Device::flex());
}

/// Small factors, and all on Flex, stay on the host unless the device is asked for; a choice out of range is refused.
#[test]
fn the_rule_and_its_refusals() {
    let kfac = kfac::<Autodiff<Flex>>(10.0, 1, Precision::F32, &Device::flex());
    let (_, report) = kfac.factored_inverse_with(0.1, KfacInversion::Automatic).unwrap();
    assert_eq!(report.factors.len(), 2);
    assert!(report.factors.iter().all(|factor| factor.place == InversionPlace::Host));
    assert_eq!(report.residual(), None);
    assert_eq!(report.to_string(), "inverses: 2 on the host, 0 on the device");
    for tolerance in [0.0, -1.0, 1.0, f64::NAN, f64::INFINITY] {
        let found = kfac.factored_inverse_with(0.1, KfacInversion::Device { tolerance });
        assert!(found.unwrap_err().is::<ConfigError>(), "{tolerance}");
    }
    let inversion = KfacInversion::Device { tolerance: 1e-2 };
    for damping in [-1.0, f64::NAN] {
        let found = kfac.factored_inverse_with(damping, inversion);
        assert!(found.unwrap_err().is::<OperatorError>(), "{damping}");
    }
}
