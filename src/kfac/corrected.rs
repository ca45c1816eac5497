//! EKFAC's diagonals on the device, averaged from step to step in bases that stay for a while. Knows layers and bases, not
//! steps.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    Ekfac, EkfacState, Kfac, KfacCoverage, KfacMap, Plans,
    blocks::{BlockMap, Side},
    collect::KfacCollector,
    map::expect_number,
    moment::Moment,
    plan::upload,
    spectra::Spectra,
};
use crate::{
    error::Error,
    objective::Objective,
    operator::OperatorError,
    space::{Inner, InnerFloat, ParamLayout, ParamVector, read_tensor},
};

/// The eigenbases of averaged factors with a moving average of the diagonal in them.
#[derive(Clone)]
pub(crate) struct CorrectedFactors<B: AutodiffBackend> {
    like: ParamVector<B>,
    plans: Plans,
    coverage: KfacCoverage,
    /// The bases; the diagonals in it are those of the time when they were made.
    spectra: Arc<Spectra>,
    /// U_A and U_G of every layer.
    bases: Arc<[(Side<B>, Side<B>)]>,
    /// `[groups, d_in, d_out]` layer by layer; none in a network without layers.
    diagonals: Option<ParamVector<B>>,
}

impl<B: AutodiffBackend> CorrectedFactors<B> {
    /// The bases of given factors, with K-FAC's own eigenvalues.
    pub(crate) fn new(kfac: &Kfac<B>) -> Result<Self, Error> {
        let plans = Arc::clone(&kfac.plans);
        Self::of_spectra(&kfac.like, plans, kfac.coverage.clone(), kfac.spectra()?)
    }

    fn of_spectra(
        like: &ParamVector<B>,
        plans: Plans,
        coverage: KfacCoverage,
        spectra: Spectra,
    ) -> Result<Self, Error> {
        let pairs = spectra.layers.iter().zip(plans.iter());
        let diagonals = pairs.map(|(layer, plan)| {
            let shape = [plan.groups, plan.d_in, plan.d_out];
            upload(&layer.diagonal, shape, like.space())
        });
        let layers = spectra.layers.iter();
        let bases = layers.map(|layer| (Side::basis(&layer.a, like), Side::basis(&layer.g, like)));
        Ok(Self {
            diagonals: on_device(&plans, diagonals.collect())?,
            bases: bases.collect(),
            like: like.clone(),
            plans,
            coverage,
            spectra: Arc::new(spectra),
        })
    }

    /// The moving average decay·s + (1 − decay)·s' of the diagonal, s' that of the objective's batches. Reads nothing back.
    ///
    /// # Errors
    /// [`OperatorError::Factor`] for a decay outside 0 to 1, [`OperatorError::NoDiagonal`] where nothing is propagated back.
    pub(crate) fn averaged(
        mut self,
        collector: &KfacCollector,
        objective: &Objective<B>,
        decay: f64,
    ) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(OperatorError::Factor { found: decay }.into());
        }
        let Some(old) = self.diagonals.take() else {
            return Ok(self);
        };
        let sides = self.bases.iter().flat_map(|(a, g)| [a, g]);
        let bases: Vec<_> = sides.filter_map(Side::matrix).collect();
        let new = collector.device_diagonals(objective, &bases)?;
        let new = ParamVector::from_blocks(old.layout(), new)?;
        self.diagonals = Some(old.mixed(decay, &new)?);
        Ok(self)
    }

    /// (U diag(s) Uᵀ + λI)⁻¹ for a λ above zero.
    ///
    /// # Errors
    /// [`OperatorError::Damping`].
    pub(crate) fn inverse(&self, damping: f64) -> Result<KfacMap<B>, Error> {
        expect_number(damping)?;
        let maps = self.bases.iter().zip(self.blocks()).map(|((a, g), s)| {
            let damped = Inner::<B>::float_add_scalar(s.clone(), damping.into());
            BlockMap::Spectral {
                left: a.clone(),
                right: g.clone(),
                middle: Inner::<B>::float_recip(damped),
            }
        });
        let f = |value: f64| (value + damping).recip();
        let dense = self.spectra.dense.iter();
        let dense: Vec<(usize, Moment)> =
            dense.map(|(position, eigen)| (*position, eigen.function(f))).collect();
        let map = KfacMap::new(&self.like, &self.plans, maps.collect(), &dense, f(0.0));
        Ok(map.with_retries(self.spectra.retries(self.like.layout())))
    }

    /// The bases and the diagonal as data. Reads the diagonal.
    pub(crate) fn state(&self) -> Result<EkfacState, Error> {
        let diagonals = self.blocks().iter().cloned().map(read_tensor::<B>);
        let diagonals = diagonals.collect::<Result<Vec<_>, _>>()?;
        Ok(EkfacState::new(self.spectra.with_diagonals(diagonals), self.coverage.clone()))
    }

    /// What [`state`](Self::state) was the data of.
    ///
    /// # Errors
    /// [`OperatorError::KfacState`] for that of another model.
    pub(crate) fn from_state(objective: &Objective<B>, state: &EkfacState) -> Result<Self, Error> {
        let ekfac = Ekfac::from_state(objective, state)?;
        let plans = Arc::clone(ekfac.plans());
        let coverage = ekfac.coverage().clone();
        Self::of_spectra(ekfac.like(), plans, coverage, ekfac.spectra().clone())
    }

    fn blocks(&self) -> &[InnerFloat<B>] {
        let diagonals = self.diagonals.as_ref();
        diagonals.map_or(&[], |diagonals| diagonals.blocks())
    }
}

fn on_device<B: AutodiffBackend>(
    plans: &Plans,
    diagonals: Vec<InnerFloat<B>>,
) -> Result<Option<ParamVector<B>>, Error> {
    if diagonals.is_empty() {
        return Ok(None);
    }
    let shapes = plans.iter().enumerate().map(|(position, plan)| {
        let shape = vec![plan.groups, plan.d_in, plan.d_out];
        (format!("layer {position}"), shape)
    });
    let layout = ParamLayout::from_shapes(shapes)?;
    Ok(Some(ParamVector::from_blocks(&layout, diagonals)?))
}
