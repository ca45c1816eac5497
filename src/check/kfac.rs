//! K-FAC and EKFAC next to what they approximate.

use burn_backend::AutodiffBackend;

use super::{Check, CheckLine, LayerError};
use crate::{
    curvature::Fisher,
    derive::{Likelihood, Metric, Product},
    error::Error,
    kfac::{Ekfac, Kfac, KfacConfig, KfacFisher},
    objective::{Objective, ObjectiveError, PreparedProduct},
    operator::{LinearOperator, SelfAdjoint},
    space::{ParamLayout, read_tensor},
    tensor::Operand,
};

/// Layers that are compared with their exact blocks, each by one product.
const MOST_LAYERS: usize = 12;

/// Samples whose gradients are computed one by one.
const MOST_SAMPLES: usize = 64;

/// Relative errors of the layers' blocks, estimated with random signs.
pub(super) fn layer_errors<B: AutodiffBackend>(
    objective: &Objective<B>,
    likelihood: Likelihood,
    (config, seed): (&KfacConfig, u64),
) -> Result<Vec<LayerError>, Error> {
    let objective = &objective.without_loss_check(); // another line compares it
    let kfac = config.init(objective, likelihood)?;
    let ekfac = match config.fisher {
        KfacFisher::ForwardOnly => None,
        _ => Some(Ekfac::from_kfac(&kfac, objective, likelihood, config)?),
    };
    let fisher = Fisher::exact(objective, likelihood)?;
    let fisher: &dyn SelfAdjoint<B> = &fisher;
    let layers = kfac.layers().iter().take(MOST_LAYERS);
    let layers = layers.map(|layer| {
        let names = [Some(layer.weight()), layer.bias()];
        let subset = objective.layout().select_by(|block| names.contains(&Some(block.name())))?;
        let exact = fisher.restricted(subset.clone())?;
        let signs = exact.domain().rademacher(seed);
        let product = exact.apply(&signs)?;
        // ‖K v − F v‖ / ‖F v‖
        let error_of = |approximation: &dyn SelfAdjoint<B>| -> Result<f64, Error> {
            let found = approximation.restricted(subset.clone())?.apply(&signs)?;
            let difference = found.sub(&product)?.norm()?;
            Ok(if difference == 0.0 { 0.0 } else { difference / product.norm()? })
        };
        Ok(LayerError {
            layer: layer.weight().into(),
            elements: subset.layout().len(),
            kfac: error_of(&kfac)?,
            ekfac: ekfac.as_ref().map(|ekfac| error_of(ekfac)).transpose()?,
        })
    });
    layers.collect()
}

/// Whether every layer that was compared has finite blocks.
pub(super) fn blocks(layers: &[LayerError]) -> CheckLine {
    let broken = layers.iter().find(|layer| {
        !layer.kfac.is_finite() || layer.ekfac.is_some_and(|error| !error.is_finite())
    });
    match broken {
        Some(layer) => {
            CheckLine::failed(Check::KfacBlocks, format!("no finite block of {}", layer.layer))
        }
        None => CheckLine::passed(Check::KfacBlocks, format!("{} layers compared", layers.len())),
    }
}

/// tr of every layer's block of EKFAC with the targets of the data against c·Σₙ ‖∇ℓₙ‖² of its parameters.
pub(super) fn traces<B: AutodiffBackend>(
    objective: &Objective<B>,
    likelihood: Likelihood,
    config: &KfacConfig,
) -> Result<CheckLine, Error> {
    let samples = samples(objective)?;
    if samples > MOST_SAMPLES {
        let reason = format!(
            "{samples} samples, and this check takes the gradient of each one, for at most {MOST_SAMPLES}: check on a \
             smaller batch, by `objective.on(…)`"
        );
        return Ok(CheckLine::skipped(Check::KfacTrace, reason));
    }
    let config = KfacConfig { fisher: KfacFisher::Empirical, ..*config };
    let kfac: Kfac<B> = config.init(objective, likelihood)?;
    let ekfac = Ekfac::from_kfac(&kfac, objective, likelihood, &config)?;
    let squares = squared_gradients(objective)?;
    let (mut worst, mut place) = (0.0, String::new());
    for (layer, parts) in ekfac.layers().iter().zip(kfac.layers()) {
        let names = [Some(parts.weight()), parts.bias()];
        let blocks = objective.layout().blocks().iter().zip(&squares);
        let own = blocks.filter(|(block, _)| names.contains(&Some(block.name())));
        let expected: f64 = own.map(|(_, square)| square).sum();
        let found = layer.trace()?;
        let difference = if found == expected { 0.0 } else { (found / expected - 1.0).abs() };
        if difference > worst || difference.is_nan() {
            worst = difference;
            place = format!("{}: {found:.3e} for {expected:.3e}", layer.weight());
        }
    }
    if worst <= ALLOWED {
        place.clear();
    }
    Ok(CheckLine::measured(Check::KfacTrace, worst, ALLOWED, place))
}

/// Largest relative difference of traces.
const ALLOWED: f64 = 1e-2;

/// Samples of all batches, by the first dimension of the outputs.
fn samples<B: AutodiffBackend>(objective: &Objective<B>) -> Result<usize, Error> {
    let layout = objective.outputs_layout()?;
    Ok(layout.blocks().iter().filter_map(|block| block.shape().first()).sum())
}

/// c·Σₙ ‖∇ℓₙ‖² of every parameter, one vector-Jacobian product per sample.
fn squared_gradients<B: AutodiffBackend>(objective: &Objective<B>) -> Result<Vec<f64>, Error> {
    let reduction = objective.stated_reduction()?;
    let product = PreparedProduct::new(Product::Root(Metric::Empirical));
    let mut squares = vec![0.0; objective.layout().blocks().len()];
    objective.each_product(&product, |part, ready| {
        let shape = part.outputs_type()?.shape.to_vec();
        let samples = shape.first().copied().unwrap_or(1);
        let weight = part.weight / part.share(reduction);
        let layout = ParamLayout::from_shapes([("outputs", shape)])?;
        let space = objective.parameters().space().with_layout(&layout);
        let own = layout.len() / samples.max(1);
        for sample in 0..samples {
            let mask = (0..layout.len()).map(|index| f64::from(u8::from(index / own == sample)));
            let mask = space.vector(&mask.collect::<Vec<_>>())?.into_blocks().pop();
            let mask = mask.ok_or(ObjectiveError::NoBatches)?;
            let gradient = ready.run(vec![Operand::Float(mask)])?;
            for (square, block) in squares.iter_mut().zip(gradient) {
                let values = read_tensor::<B>(block.into_float()?)?;
                *square += weight * values.iter().map(|value| value * value).sum::<f64>();
            }
        }
        Ok(())
    })?;
    Ok(squares)
}
