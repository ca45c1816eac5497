//! Hessian-free optimization of Martens on the autoencoder of K-FAC, over three starting points: outer steps to a squared
//! error of 0.9 per image.

use std::time::Instant;

use burn::{module::Module, tensor::Device};
use burn_curvature::{Objective, Reduction, optim::HessianFreeConfig};

use crate::{
    Outcome,
    digits::Digits,
    figures::Figures,
    kfac_autoencoder::network::{Autoencoder, loss, squared_error},
};

const IMAGES: usize = 1500;
const GOAL: f64 = 0.9;
const LIMIT: usize = 30;

#[test]
#[ignore = "takes a while, see main.rs"]
fn hessian_free() -> Outcome {
    let device = Device::default().autodiff();
    let images = Digits::load()?.split(IMAGES, 1).0.images(&device);
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let clock = Instant::now();
        let mut model = Autoencoder::new(&device, seed);
        let objective: Objective = Objective::capture(&model, images.clone(), loss)?;
        let objective = objective.reduced_by(Reduction::Mean)?;
        let mut optimizer = HessianFreeConfig::new().with_weight_decay(1e-5).init(&objective)?;
        let (mut steps, mut products, mut error) = (0, 0, f64::INFINITY);
        while error > GOAL && steps < 2 * LIMIT {
            let step;
            (model, step) = optimizer.step(&model, images.clone())?;
            error = squared_error(
                model.valid().forward(images.clone().inner()),
                images.clone().inner(),
            );
            println!("{step}; squared error {error:.4}");
            (steps, products) = (step.step, products + step.products);
        }
        let name = |figure: &str| format!("hessian_free.{seed}.{figure}");
        figures.expect(&name("steps"), steps as f64, 1.0..=LIMIT as f64);
        figures.expect(&name("squared_error"), error, 0.0..=GOAL);
        figures.note(&name("products"), products as f64);
        figures.note(&name("seconds"), clock.elapsed().as_secs_f64());
    }
    assert!(figures.print());
    Ok(())
}
