//! A table of models, and what is checked of each. Knows the library's public interface only, no layer.

use std::{
    fmt::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{Module, ModuleDisplay},
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Batch, BatchMapper, CaptureConfig, Engine, Error, Hessian, LinearOperator, Objective,
    ParamVector, Precision, backend::ProgramBackend, check::CurvatureCheckConfig,
};

use super::probe::{Probe, data, readout, spread};
use crate::compare::relative_error;

pub type Flexible = Autodiff<Flex>;
#[allow(deprecated)] // deprecated in Burn 0.22, not gone
pub type Arrays = Autodiff<NdArray>;

/// A loss, its type forgotten: one compilation per model and batch, not per row.
type Loss<M, X> = Arc<dyn Fn(&M, X) -> Tensor<1> + Send + Sync>;

/// Largest errors of a row, each relative.
#[derive(Clone, Debug, Default)]
struct Figures {
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
    arrays: f64,
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
    fn complaint(&self) -> Option<String> {
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

/// Rows of models of one kind.
pub struct Table {
    name: &'static str,
    rows: Vec<(String, Result<String, String>)>,
}

impl Table {
    pub fn new(name: &'static str) -> Self {
        Self { name, rows: Vec::new() }
    }

    /// A layer between a linear map that bends and a readout: derivatives reach its parameters and its input.
    pub fn layer<L, const D: usize, const E: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        layer: L,
        forward: impl Fn(&L, Tensor<D>) -> Tensor<E> + Send + Sync + 'static,
    ) where
        L: Module + ModuleDisplay + 'static,
    {
        let model = Probe::new(shape[D - 1], layer);
        self.model(name, model, data(shape, 1), move |model: &Probe<L>, x| {
            readout(forward(&model.layer, model.bent(x)))
        });
    }

    /// A model of any kind.
    pub fn model<M, X>(
        &mut self,
        name: &str,
        model: M,
        batch: X,
        loss: impl Fn(&M, X) -> Tensor<1> + Send + Sync + 'static,
    ) where
        M: Module + 'static,
        X: Batch + Send + 'static,
    {
        self.row(name, || {
            figures(&trace::<Flexible, M, X>(&config(), &spread(&model), batch, Arc::new(loss))?)
        });
    }

    /// A model that Burn cannot differentiate on Flex, so that its gradient there has no comparison.
    pub fn unchecked<M, X>(
        &mut self,
        name: &str,
        model: M,
        batch: X,
        loss: impl Fn(&M, X) -> Tensor<1> + Send + Sync + 'static,
    ) where
        M: Module + 'static,
        X: Batch + Send + 'static,
    {
        let config = config().unchecked();
        self.row(name, || {
            figures(&trace::<Flexible, M, X>(&config, &spread(&model), batch, Arc::new(loss))?)
        });
    }

    /// A model that is computed on Flex and on ndarray.
    pub fn everywhere<M, X>(
        &mut self,
        name: &str,
        model: M,
        batch: X,
        loss: impl Fn(&M, X) -> Tensor<1> + Send + Sync + 'static,
    ) where
        M: Module + 'static,
        X: Batch + Send + 'static,
    {
        self.row(name, || on_both(&spread(&model), batch, Arc::new(loss)));
    }

    /// A model that must be refused with an error that holds the given words.
    pub fn refused<M, X>(
        &mut self,
        name: &str,
        words: &[&str],
        (model, batch): (M, X),
        loss: impl Fn(&M, X) -> Tensor<1> + Send + Sync + 'static,
    ) where
        M: Module + 'static,
        X: Batch + Send + 'static,
    {
        let run =
            || match trace::<Flexible, M, X>(&config(), &spread(&model), batch, Arc::new(loss)) {
                Ok(_) => Err("was not refused".into()),
                Err(error) => {
                    let said = error.to_string();
                    let missing: Vec<_> =
                        words.iter().filter(|word| !said.contains(**word)).collect();
                    if missing.is_empty() {
                        Ok(format!("refused: {said}"))
                    } else {
                        Err(format!("refused without saying {missing:?}: {said}"))
                    }
                }
            };
        let outcome =
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panicked".into()));
        self.rows.push((name.into(), outcome));
    }

    fn row(&mut self, name: &str, run: impl FnOnce() -> Result<Figures, Error>) {
        let outcome = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(figures)) => match figures.complaint() {
                None => Ok(figures.to_string()),
                Some(complaint) => Err(complaint),
            },
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("panicked".into()),
        };
        self.rows.push((name.into(), outcome));
    }

    /// Fails if a row failed, with all of them.
    pub fn finish(self) {
        let mut failed = String::new();
        for (name, outcome) in &self.rows {
            match outcome {
                Ok(figures) if std::env::var_os("LAYERS").is_some() => {
                    eprintln!("pass | {} | {name} | {figures}", self.name);
                }
                Ok(_) => {}
                Err(complaint) => {
                    let _ = writeln!(failed, "FAIL | {} | {name} | {complaint}", self.name);
                }
            }
        }
        assert!(failed.is_empty(), "\n{failed}");
    }
}

/// Dropout and noise off, batch statistics as gathered.
fn config() -> CaptureConfig {
    CaptureConfig::new().evaluation()
}

fn trace<B, M, X>(
    config: &CaptureConfig,
    model: &M,
    batch: X,
    loss: Loss<M, X>,
) -> Result<Objective<B>, Error>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    Objective::capture_with(config, model, batch, move |model: &M, batch: X| loss(model, batch))
}

/// Model and batch on ndarray.
pub fn moved<M: Module, X: Batch>(model: &M, batch: X) -> (M, X) {
    let device = Device::ndarray().autodiff();
    (model.clone().fork(&device), batch.map_tensors(&mut Move(device)))
}

fn on_both<M, X>(model: &M, batch: X, loss: Loss<M, X>) -> Result<Figures, Error>
where
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let flex = trace::<Flexible, M, X>(&config(), model, batch.clone(), Arc::clone(&loss))?;
    let mut figures = figures(&flex)?;
    let (model, batch) = moved(model, batch);
    let arrays = trace::<Arrays, M, X>(&config(), &model, batch, loss)?;
    let exact = product(&flex.in_f64()?, 1)?.to_vec()?;
    figures.arrays = relative_error(&product(&arrays, 1)?.to_vec()?, &exact);
    Ok(figures)
}

fn product<B: AutodiffBackend>(
    objective: &Objective<B>,
    seed: u64,
) -> Result<ParamVector<B>, Error> {
    objective.hessian_vector_product(&objective.parameters().space().normal(seed))
}

/// Everything that is promised of an objective, for two random directions, and what the library's own check says.
fn figures(objective: &Objective<Flexible>) -> Result<Figures, Error> {
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

#[test]
#[should_panic(expected = "the Hessian vanishes")]
fn a_row_that_tests_nothing_fails() {
    let mut table = Table::new("Linear loss");
    let model = nn::LinearConfig::new(3, 2).init(&super::probe::device());
    table.model("sum", model, data([4, 3], 1), |model: &nn::Linear, x: Tensor<2>| {
        model.forward(x).sum()
    });
    table.finish();
}

/// Moves a batch to another device.
struct Move(Device);

impl BatchMapper for Move {
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        tensor.to_device(&self.0)
    }

    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
        tensor.to_device(&self.0)
    }

    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
        tensor.to_device(&self.0)
    }
}
