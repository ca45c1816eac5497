//! Methods of Burn that use gradients alone.

use std::error::Error;

use burn::optim::{GradientsParams, LBFGSConfig, LineSearchFn, SgdConfig};

use crate::{
    Curve, GOAL, LIMIT,
    problem::{DECAY, Logistic, Samples, decayed},
};

/// Gradient descent at 1/L: softplus has curvature ¼ at most, and the images have norm 1.
pub fn by_descent(start: &Logistic, data: &Samples) -> Result<Curve, Box<dyn Error>> {
    let (mut model, mut optimizer, mut curve) =
        (start.clone(), SgdConfig::new().init(), Curve::new());
    for step in 1..=LIMIT {
        let gradients = decayed(&model, data.clone()).backward();
        let norm = model.w.val().grad(&gradients).map(|g| g.powf_scalar(2.0).sum().sqrt());
        curve.push((step as f64, norm.ok_or("no gradient")?.into_scalar::<f64>()));
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = optimizer.step(1.0 / (0.25 + DECAY), model, gradients);
    }
    Ok(curve)
}

/// L-BFGS of Burn with the strong Wolfe conditions.
pub fn by_lbfgs(start: &Logistic, data: &Samples) -> Result<Curve, Box<dyn Error>> {
    let config = LBFGSConfig::new().with_max_iter(LIMIT).with_max_eval(Some(LIMIT));
    let config = config.with_line_search_fn(LineSearchFn::StrongWolfe);
    let mut lbfgs = config.with_tolerance_grad(GOAL).with_tolerance_change(0.0).init();
    let (mut curve, mut failure) = (Curve::new(), None);
    lbfgs.step(1.0, start.clone(), |model: Logistic| {
        let loss = decayed(&model, data.clone());
        let value = loss.clone().into_scalar::<f64>();
        let gradients = loss.backward();
        let norm = model.w.val().grad(&gradients).map(|g| g.powf_scalar(2.0).sum().sqrt());
        match norm {
            Some(norm) => curve.push((curve.len() as f64 + 1.0, norm.into_scalar::<f64>())),
            None => failure = Some("no gradient"),
        }
        (value, GradientsParams::from_grads(gradients, &model))
    });
    failure.map_or(Ok(curve), |failure| Err(failure.into()))
}
