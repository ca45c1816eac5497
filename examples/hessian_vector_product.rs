//! An exact Hessian-vector product and a damped inverse one, of an unmodified Burn model, in about forty lines.
#![allow(clippy::print_stdout)]

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::{Distribution, activation::tanh},
};
use burn_curvature::{
    ConjugateGradientConfig, Error, Hessian, LinearOperator, LinearSolver, Objective, ParamVector,
};

#[derive(Module, Debug)]
struct Classifier {
    hidden: Linear,
    output: Linear,
}

impl Classifier {
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.output.forward(tanh(self.hidden.forward(images)))
    }
}

fn main() -> Result<(), Error> {
    let device = Device::default().autodiff();
    let model = Classifier {
        hidden: LinearConfig::new(20, 16).init(&device),
        output: LinearConfig::new(16, 3).init(&device),
    };
    let images = Tensor::<2>::random([64, 20], Distribution::Default, &device);
    let labels = Tensor::<1, Int>::from_data(
        (0..64).map(|i| i % 3).collect::<Vec<i64>>().as_slice(),
        &device,
    );

    // Recorded once, checked against Burn's own backward().
    let objective = Objective::capture(&model, (images, labels), |model, (images, labels)| {
        let logits = model.forward(images);
        let loss =
            CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
        (logits, loss)
    })?;

    let gradient = objective.gradient()?;
    let product = objective.hessian_vector_product(&gradient)?;
    println!("‖g‖ = {:.4}, gᵀHg = {:.4}", gradient.norm()?, gradient.dot(&product)?);

    // (H + λI)⁻¹ g, with the reason it stopped, its true residual and an estimate of the condition number.
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4).init()?;
    let solution = solver.solve(&Hessian::new(&objective)?.damped(1.0)?, &gradient)?;
    println!("{}", solution.report);

    // A damped Newton step, as a Burn module again.
    let stepped = solution.x.add_to(&model, -1.0)?;
    let after = objective.at(&ParamVector::from_module(&stepped)?)?;
    println!("loss {:.4} → {:.4}", objective.value()?, after.value()?);
    Ok(())
}
