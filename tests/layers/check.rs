//! Tables of models, each of which is captured and checked. Uses the library's public interface only, and no layer.

use std::{
    fmt::Write,
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
    Batch, BatchMapper, CaptureConfig, Error, Objective, backend::ProgramBackend,
};

use super::{
    figures::{Figures, figures, product},
    probe::{Probe, data, readout, spread},
};
use crate::compare::relative_error;

pub type Flexible = Autodiff<Flex>;
#[allow(deprecated)] // deprecated in Burn 0.22, not gone
pub type Arrays = Autodiff<NdArray>;

/// A loss, its type forgotten: one compilation per model and batch, not per row.
type Loss<M, X> = Arc<dyn Fn(&M, X) -> Tensor<1> + Send + Sync>;

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
