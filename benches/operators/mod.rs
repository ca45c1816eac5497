//! The operators whose products are measured.

pub mod steps;

use burn::{module::Module, tensor::Device};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Adjoint, Batch, CaptureConfig, Engine, GaussNewton, Hessian, Jacobian, LinearOperator,
    LinearSolver, Objective, ParamVector, backend::ProgramBackend, program::Graph,
    solver::ConjugateGradient,
};

#[cfg(feature = "flex")]
use super::floor::Floor;
use super::{DAMPING, finish, harness::Rounds, models::Case};

/// Vectors in one call of `hv_many16` and `ggn_many16`.
pub const VECTORS: usize = 16;

/// The operators of one objective that are measured.
pub struct Products<B: AutodiffBackend> {
    objective: Objective<B>,
    newton: GaussNewton<B>,
    jacobian: Jacobian<B>,
    pub vector: ParamVector<B>,
    vectors: Vec<ParamVector<B>>,
    cotangent: ParamVector<B>,
    cg20: ConjugateGradient,
}

impl<B: AutodiffBackend> Products<B>
where
    B::InnerBackend: ProgramBackend,
{
    pub fn new<M: Module + 'static, X: Batch + Send + 'static>(case: &Case<M, X>) -> Self {
        let config = CaptureConfig::new();
        let objective =
            Objective::<B>::capture_with(&config, &case.model, case.batch.clone(), case.loss)
                .expect("the models of the benchmark can be captured");
        let vector = objective.parameters().space().normal(1);
        objective.prepare().expect("the programs run");
        let newton = GaussNewton::new(&objective).expect("the models return their outputs");
        let jacobian = Jacobian::new(&objective).expect("the models return their outputs");
        let outputs = objective.outputs().expect("outputs");
        Self {
            cotangent: outputs.space().normal(2),
            vectors: (0..VECTORS).map(|seed| vector.space().normal(seed as u64)).collect(),
            objective,
            newton,
            jacobian,
            vector,
            cg20: steps::of_cg(),
        }
    }

    pub fn add_to<'a>(&'a self, rounds: &mut Rounds<'a>, device: &'a Device) {
        let eager = self.objective.with_engine(Engine::Eager);
        let hessian =
            Hessian::new(&self.objective).expect("a Hessian").damped(DAMPING).expect("a damping");
        rounds.add("loss", || finish(device, self.objective.value().expect("a loss")));
        rounds.add("gradient_program", || {
            finish(device, self.objective.gradient().expect("a gradient"))
        });
        rounds.add("hv", || finish(device, self.product(&self.objective)));
        let plain = Hessian::new(&self.objective).expect("a Hessian");
        rounds.add("hv_many16", move || {
            finish(device, plain.apply_many(&self.vectors).expect("products"));
        });
        rounds.add("hv_prepare", || {
            let fresh =
                self.objective.at_keeping_buffers(self.objective.parameters()).expect("one layout");
            fresh.prepare().expect("the programs run");
            finish(device, ());
        });
        rounds.add("hv_eager", move || finish(device, self.product(&eager)));
        rounds.add("cg20", move || {
            finish(device, self.cg20.solve(&hessian, &self.vector).expect("twenty steps"));
        });
    }

    /// Products that need the outputs.
    pub fn add_outputs_to<'a>(&'a self, rounds: &mut Rounds<'a>, device: &'a Device) {
        let damped = self.newton.clone().damped(DAMPING).expect("a damping");
        rounds.add("ggn", || finish(device, self.newton.apply(&self.vector).expect("a product")));
        rounds.add("ggn_many16", || {
            finish(device, self.newton.apply_many(&self.vectors).expect("products"));
        });
        rounds.add("ggn_prepare", || {
            // Operators of one objective share what is prepared.
            let fresh =
                self.objective.at_keeping_buffers(self.objective.parameters()).expect("one layout");
            let fresh = GaussNewton::new(&fresh).expect("derived before");
            fresh.prepare().expect("the programs run");
            finish(device, ());
        });
        rounds.add("jvp", || finish(device, self.jacobian.apply(&self.vector).expect("a product")));
        rounds.add("vjp", || {
            let product = self.jacobian.apply_adjoint(&self.cotangent);
            finish(device, product.expect("a product"));
        });
        rounds.add("cg20_ggn", move || {
            let solution = self.cg20.solve(&damped, &self.vector);
            finish(device, solution.expect("twenty steps"));
        });
    }

    /// The matrix products of a Hessian and of a Gauss-Newton product alone.
    #[cfg(feature = "flex")]
    pub fn add_floors_to(&self, rounds: &mut Rounds<'_>) {
        let (_, newton) = self.objective.gauss_newton_programs().expect("the programs run");
        for (figure, program) in [("hv_floor", self.program()), ("ggn_floor", newton)] {
            let mut floor = Floor::of(&program);
            rounds.add(figure, move || floor.run());
        }
    }

    fn product(&self, objective: &Objective<B>) -> ParamVector<B> {
        Hessian::new(objective).expect("a Hessian").apply(&self.vector).expect("a product")
    }

    /// Of one prepared Hessian product.
    pub fn flops(&self) -> f64 {
        2.0 * self.program().multiply_adds() as f64
    }

    /// What one prepared Hessian product runs.
    pub fn program(&self) -> Graph {
        self.objective.hessian_programs().expect("the programs run").1
    }

    pub fn prepare_and_multiply(&self) {
        let fresh =
            self.objective.at_keeping_buffers(self.objective.parameters()).expect("one layout");
        std::hint::black_box(self.product(&fresh));
    }
}
