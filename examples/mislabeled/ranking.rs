//! A spam filter trained on labels of which a tenth is wrong, and how soon two rankings find these.

use std::error::Error;

use burn::prelude::*;
use burn_curvature::{
    DirectConfig, Objective,
    influence::{Estimator, InfluenceConfig, InfluenceReport, truth::Detection},
};

use crate::{
    logistic::{Softmax, loss, minimized},
    spam::{Emails, FEATURES},
};

/// Share of the labels that is flipped.
const FLIPPED: f64 = 0.1;
/// w of ½w‖θ‖², in units of the mean loss.
const DECAY: f64 = 0.01;

/// Detection by self-influence and by the loss, and the report of the influences.
///
/// # Errors
/// Those of the data, of the training and of the influences.
pub fn ranked(seed: u64) -> Result<(Detection, Detection, InfluenceReport), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let emails = Emails::flipped(FLIPPED, seed)?;
    let model = Softmax::new(FEATURES, 2, &device);
    let objective = Objective::capture(&model, emails.samples(&device), loss)?.in_f64()?;
    let trained = minimized(objective, DECAY, 1e-9)?;

    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()));
    let influence = config.with_weight_decay(DECAY).init(&trained)?;
    let own = influence.self_influence()?;
    let losses = influence.training_losses()?;
    let by_influence = Detection::new(&own.scores, &emails.flipped)?;
    let by_loss = Detection::new(&losses, &emails.flipped)?;
    Ok((by_influence, by_loss, own.report))
}
