//! Layers with very many outputs, and layers that nothing reaches.

use burn::{module::Module, nn, prelude::*, tensor::activation::relu};
use burn_curvature::{
    Fisher, KfacConfig, LinearOperator, Reduction, errors::OperatorError, kfac::KfacFisher,
};

use super::{GAUSSIAN, device, squared, weight};

#[derive(Module, Debug)]
struct Two {
    first: nn::Linear,
    last: nn::Linear,
}

fn linear<const N: usize>(sizes: [usize; 2], values: [f32; N]) -> nn::Linear {
    let mut layer = nn::LinearConfig::new(sizes[0], sizes[1]).with_bias(false).init(&device());
    let values = TensorData::new(values.to_vec(), sizes);
    layer.weight = burn::module::Param::from_data(values, &device());
    layer
}

/// G is the identity, and a matrix of its entries would take 3 GB.
#[test]
fn an_identity_of_many_outputs_takes_the_memory_of_its_diagonal() {
    const OUTPUTS: usize = 20_000;
    let mut model = nn::LinearConfig::new(1, OUTPUTS).with_bias(false).init(&device());
    model.weight = weight([1, OUTPUTS], 1);
    let x = Tensor::<2>::from_floats([[3.0], [1.0]], &device()); // A = (9 + 1)/2
    let objective = squared(&model, x, Reduction::Sum, |model: &nn::Linear, x| model.forward(x));
    let kfac = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let kfac = kfac.init(&objective, GAUSSIAN).unwrap();
    let output = kfac.layers()[0].output();
    assert!(output.is_diagonal());
    assert_eq!(output.values().unwrap(), vec![1.0; OUTPUTS]);
    assert_eq!(output.trace().unwrap(), OUTPUTS as f64);
    let refused = output.matrix(0).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(OperatorError::TooLarge { rows: OUTPUTS, .. })));

    let ones = objective.parameters().space().ones();
    let (damping, pi) = (0.04_f64, 5.0_f64.sqrt());
    let factored = ((5.0 + pi * damping.sqrt()) * (1.0 + damping.sqrt() / pi)).recip();
    let inverses = [
        (kfac.factored_inverse(damping).unwrap(), factored),
        (kfac.inverse(damping).unwrap(), (5.0 + damping).recip()),
    ];
    for (inverse, expected) in inverses {
        let found = inverse.apply(&ones).unwrap().to_vec().unwrap();
        assert!(found.iter().all(|found| (found - expected).abs() < 1e-14));
    }
    assert_eq!(kfac.trace().unwrap(), 5.0 * OUTPUTS as f64);
}

/// relu(−x) of positive x: both layers have no curvature at all, exactly.
#[test]
fn layers_without_curvature_are_compared_without_nan() {
    let model = Two { first: linear([1, 1], [-1.0]), last: linear([1, 1], [2.0]) };
    let x = Tensor::<2>::from_floats([[3.0], [1.0]], &device());
    let objective = squared(&model, x, Reduction::Sum, |model: &Two, x| {
        model.last.forward(relu(model.first.forward(x)))
    });
    let kfac = KfacConfig::new().init(&objective, GAUSSIAN).unwrap();
    let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
    let compared = kfac.compare_with(&exact).unwrap();
    assert_eq!(compared.len(), 2);
    for layer in compared {
        assert_eq!((layer.relative_error, layer.trace_ratio), (0.0, 1.0), "{}", layer.layer);
    }
    // G of the first and A of the last.
    let [first, last] = kfac.layers() else { panic!("two layers") };
    assert_eq!(first.output().spectrum().unwrap().condition(), f64::INFINITY);
    assert_eq!(last.input().spectrum().unwrap().condition(), f64::INFINITY);
    assert_eq!(first.input().spectrum().unwrap().condition(), 1.0);
}
