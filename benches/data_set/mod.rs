//! Products over a data set of twenty batches, with none, half and all of the part independent of the vector cached.

use burn::tensor::{Int, Tensor};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, GaussNewton, Hessian, LinearOperator, Objective, Reduction,
    backend::ProgramBackend,
};

use crate::{
    Backend,
    figures::Figures,
    finish,
    harness::{Plan, Rounds},
    models::mlp,
};

const BATCHES: usize = 20;
const ROWS: usize = 64;

/// Unit: one pass of plain Burn gradients over the twenty batches.
const GRADIENTS: &str = "gradients";

/// Prints `data20.<backend>.hv_budget_<none|half|all>` and the same for `ggn`, in gradients of the data set.
pub fn measure<B: AutodiffBackend>((name, device): &Backend, plan: Plan)
where
    B::InnerBackend: ProgramBackend,
{
    let case = mlp::case(&device.clone().autodiff());
    let rows = (case.batch.0.clone().narrow(0, 0, ROWS), case.batch.1.clone().narrow(0, 0, ROWS));
    let batches: Vec<(Tensor<2>, Tensor<1, Int>)> = vec![rows.clone(); BATCHES];
    let risk = Objective::<B>::capture_with(&CaptureConfig::new(), &case.model, rows, case.loss)
        .and_then(|objective| objective.over(batches.clone(), Reduction::Mean))
        .expect("the model of the benchmark can be captured");
    let vector = risk.parameters().space().normal(1);

    let mut rounds = Rounds::default();
    rounds.add(GRADIENTS, || {
        for batch in &batches {
            finish(device, (case.loss)(&case.model, batch.clone()).1.backward());
        }
    });
    let whole = GaussNewton::new(&risk.with_memory_budget(usize::MAX)).expect("outputs");
    whole.prepare().expect("the programs run");
    let budgets = [
        ("hv_budget_none", "ggn_budget_none", 0),
        ("hv_budget_half", "ggn_budget_half", whole.kept_bytes() / 2),
        ("hv_budget_all", "ggn_budget_all", usize::MAX),
    ];
    for (hv, ggn, budget) in budgets {
        let risk = risk.with_memory_budget(budget);
        let (hessian, newton) =
            (Hessian::new(&risk).expect("a Hessian"), GaussNewton::new(&risk).expect("outputs"));
        let (v, w) = (vector.clone(), vector.clone());
        rounds.add(hv, move || finish(device, hessian.apply(&v).expect("a product")));
        rounds.add(ggn, move || finish(device, newton.apply(&w).expect("a product")));
    }
    let samples = rounds.measure(plan);
    let figures = Figures::new("data20", name);
    figures.milliseconds("gradient_ms", samples.seconds(GRADIENTS));
    figures.value("ggn_kept_mb", whole.kept_bytes() as f64 / 1e6);
    for (hv, ggn, _) in budgets {
        figures.quartiles(hv, samples.ratio(hv, GRADIENTS));
        figures.quartiles(ggn, samples.ratio(ggn, GRADIENTS));
    }
}
