//! Rows that are told to the wrong samples are found by numbers.

use burn::{backend::Flex, prelude::*, tensor::activation::tanh};
use burn_backend::tensor::Device as DeviceOf;

use super::{B, Scaled, numbers};
use crate::{
    CaptureConfig, Objective,
    execute::{Program, apply},
    graph::Graph,
    kfac::{
        layers::{NetworkLayers, Samples, Separation},
        program::reach,
        reach::reaches_others,
    },
    tensor::Operand,
};

/// `[4, 5, 4]` through a layer, pooled over the places, by samples.
fn recorded() -> (Objective<B>, Graph) {
    let model = super::scaled();
    let x = numbers([4, 5, 4], 3.0);
    let objective = Objective::capture_with(
        &CaptureConfig::new(),
        &model,
        x,
        |model: &Scaled, x: Tensor<3>| {
            let rows = x.reshape([20, 4]).matmul(model.weight.val()).reshape([4, 5, 3]);
            let z: Tensor<2> = tanh(rows).mean_dim(1).squeeze_dim(1);
            let z = z * model.scale.val().unsqueeze::<2>();
            (z.clone(), z.powf_scalar(2.0).mean())
        },
    );
    let objective: Objective<B> = objective.unwrap();
    let graph = objective.of_first(|part| Ok(part.recorded().clone())).unwrap();
    (objective, graph)
}

/// Σ (h − cₙ g)² and Σ (cₙ g)² over the rows of each sample.
fn sums(objective: &Objective<B>, network: &NetworkLayers) -> Vec<f64> {
    let program = reach(network, 2).unwrap();
    let device: DeviceOf<Flex> = Default::default();
    let program = Program::<Flex>::new(program, &device, apply::<Flex>).unwrap();
    let parameters = objective.parameters().blocks().iter().cloned().map(Operand::Float);
    let x = Operand::from_data(numbers([4, 5, 4], 3.0).into_data(), &device).unwrap();
    let found = program.run(parameters.chain([x]).collect()).unwrap();
    found[0].clone().into_data().unwrap().iter::<f64>().collect()
}

#[test]
fn rows_of_other_samples_are_found_by_numbers() {
    let (objective, graph) = recorded();
    let mut network = NetworkLayers::of(&graph, 2, Separation::Rows);
    let own = network.layers[0].uses[0].samples;
    assert_eq!(own, Some(Samples { count: 4, stride: 15 }));
    let right = sums(&objective, &network);
    let by_sample: Vec<&[f64]> = right.chunks(2).collect();
    assert_eq!(by_sample.len(), 4);
    assert!(by_sample.iter().all(|pair| pair[0] == 0.0 && pair[1] > 0.0), "{right:?}");
    assert!(!reaches_others(&right));
    // As if samples were the inner part of the merged rows.
    network.layers[0].uses[0].samples = Some(Samples { count: 4, stride: 3 });
    let wrong = sums(&objective, &network);
    assert!(reaches_others(&wrong), "{wrong:?}");
}

/// Sums of a few samples, as a program returns them.
#[test]
fn a_single_sample_that_is_reached_by_another_is_found() {
    let right = [0.0, 4.0, 0.0, 0.0, 1e-9, 2.0];
    assert!(!reaches_others(&right));
    for at in [0, 2, 4] {
        let mut wrong = right;
        wrong[at] = 1e-4;
        assert!(reaches_others(&wrong), "{at}");
    }
}
