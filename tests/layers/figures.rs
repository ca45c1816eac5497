//! What is promised of an objective, as figures, and how large they may be.

use std::fmt::{self, Write};

use burn_backend::AutodiffBackend;
use burn_curvature::{
    Engine, Error, Hessian, LinearOperator, Objective, ParamVector, Precision,
    check::CurvatureCheckConfig,
};

use super::check::Flexible;
use crate::compare::relative_error;

/// Largest errors of a row, each relative.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Hv against central differences of the gradient.
    product: f64,
    /// Gradient against central differences of the loss.
    gradient: f64,
    /// Compiled against eager.
    engines: f64,
    /// ⟨u, Hv⟩ against ⟨Hu, v⟩.
    symmetry: f64,
    /// Hv in f32 against f64.
    single: f64,
    /// Hv and Hu at once against one after the other.
    several: f64,
    /// Loss by the program as recorded against the one that the gradient is derived from.
    value: f64,
    /// Hv on ndarray in f32 against Flex in f64, where asked for.
    pub arrays: f64,
    /// ‖Hv‖ / ‖v‖: a row whose Hessian vanishes tests nothing.
    curvature: f64,
    /// What the library's own check finds wrong.
    failed: String,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Hv {:.0e} gradient {:.0e} engines {:.0e} symmetry {:.0e} several {:.0e} value {:.0e} f32 {:.0e} ndarray {:.0e} ‖Hv‖/‖v‖ {:.0e}",
            self.product,
            self.gradient,
            self.engines,
            self.symmetry,
            self.several,
            self.value,
            self.single,
            self.arrays,
            self.curvature
        )
    }
}

impl Figures {
    /// What is larger than it may be.
    pub fn complaint(&self) -> Option<String> {
        let limits = [
            ("Hv against differences", self.product, 1e-6),
            ("gradient against differences", self.gradient, 1e-6),
            ("compiled against eager", self.engines, 1e-10),
            ("symmetry", self.symmetry, 1e-10),
            ("two vectors at once", self.several, 1e-12),
            ("loss against its lowered form", self.value, 1e-12),
            ("f32 against f64", self.single, 1e-3),
            ("ndarray against Flex", self.arrays, 1e-3),
        ];
        let mut complaint = self.failed.clone();
        for (what, found, limit) in limits {
            if !(found <= limit) {
                let _ = write!(complaint, "{what}: {found:.1e} > {limit:.0e}; ");
            }
        }
        if !(self.curvature > 1e-6) {
            let _ = write!(
                complaint,
                "the Hessian vanishes ({:.1e}): the row tests nothing",
                self.curvature
            );
        }
        (!complaint.is_empty()).then_some(complaint)
    }
}

pub fn product<B: AutodiffBackend>(
    objective: &Objective<B>,
    seed: u64,
) -> Result<ParamVector<B>, Error> {
    objective.hessian_vector_product(&objective.parameters().space().normal(seed))
}

/// Everything that is promised of an objective, for two random directions, and what the library's own check says.
pub fn figures(objective: &Objective<Flexible>) -> Result<Figures, Error> {
    let exact = objective.in_f64()?;
    let eager = exact.with_engine(Engine::Eager);
    let loss = exact.value()?;
    let value = (loss - exact.value_and_gradient()?.value).abs() / loss.abs();
    let mut worst = Figures { value, curvature: f64::INFINITY, ..Figures::default() };
    for seed in [1, 2] {
        let v = exact.parameters().space().normal(seed);
        let u = exact.parameters().space().normal(seed + 10);
        let (hv, hu) = (exact.hessian_vector_product(&v)?, exact.hessian_vector_product(&u)?);
        let several = Hessian::new(&exact)?.apply_many(&[v.clone(), u.clone()])?;
        for (found, one) in several.iter().zip([&hv, &hu]) {
            let error = relative_error(&found.to_vec()?, &one.to_vec()?);
            worst.several = worst.several.max(error);
        }
        let (product, gradient) = against_differences(&exact, &v, &hv)?;
        worst.product = worst.product.max(product);
        worst.gradient = worst.gradient.max(gradient);
        let eagerly = eager.hessian_vector_product(&v)?;
        worst.engines = worst.engines.max(relative_error(&hv.to_vec()?, &eagerly.to_vec()?));
        let scale = u.norm()? * hv.norm()?;
        worst.symmetry = worst.symmetry.max((u.dot(&hv)? - v.dot(&hu)?).abs() / scale);
        let single = objective.hessian_vector_product(&v.clone().cast(Precision::F32)?)?;
        worst.single = worst.single.max(relative_error(&single.to_vec()?, &hv.to_vec()?));
        worst.curvature = worst.curvature.min(hv.norm()? / v.norm()?);
    }
    let check = CurvatureCheckConfig::new().with_directions(1).with_timings(0).init()?;
    for failure in check.run(objective)?.failures() {
        let _ = write!(worst.failed, "{failure}; ");
    }
    Ok(worst)
}

/// Errors of Hv and of the gradient along v.
fn against_differences(
    objective: &Objective<Flexible>,
    v: &ParamVector<Flexible>,
    hv: &ParamVector<Flexible>,
) -> Result<(f64, f64), Error> {
    let step = 1e-5;
    let at = |offset: f64| {
        objective
            .at_keeping_buffers(&objective.parameters().clone().axpy(offset, v)?)?
            .value_and_gradient()
    };
    let (ahead, behind) = (at(step)?, at(-step)?);
    let difference = ahead.gradient.sub(&behind.gradient)?.scale(0.5 / step);
    let gradient = objective.gradient()?;
    let slope = (ahead.value - behind.value) / (2.0 * step);
    let slope_error = (gradient.dot(v)? - slope).abs() / gradient.norm()?;
    Ok((relative_error(&hv.to_vec()?, &difference.to_vec()?), slope_error))
}
