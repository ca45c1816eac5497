//! Estimators give an operator several vectors at once where they can.

use std::cell::RefCell;

use burn_curvature::{
    Error, LanczosConfig, LinearOperator, ParamSpace, ParamVector, Precision, SelfAdjoint,
    TraceEstimatorConfig,
    operator::SymmetricDense,
    spectrum::{
        DensityEstimatorConfig, DiagonalEstimatorConfig, DiagonalMethod, FrobeniusNormConfig,
        TraceMethod,
    },
};

use super::{even, operator};
use crate::{TestBackend, flat_space, oracle::with_spectrum};

/// Notes how many vectors come at once.
struct Batches<B: TestBackend> {
    operator: SymmetricDense<B>,
    sizes: RefCell<Vec<usize>>,
}

impl<B: TestBackend> LinearOperator<B> for Batches<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.sizes.borrow_mut().push(1);
        self.operator.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.sizes.borrow_mut().push(vectors.len());
        self.operator.apply_many(vectors)
    }
}

impl<B: TestBackend> SelfAdjoint<B> for Batches<B> {}

fn several_vectors_at_once<B: TestBackend>() {
    let space = flat_space::<B>(90, Precision::F32);
    let a = Batches {
        operator: operator(&with_spectrum(&even(-1.0, 2.0, 90), 1), &space),
        sizes: RefCell::default(),
    };
    let sizes = || a.sizes.take();
    let trace = |method, products| {
        let config = TraceEstimatorConfig::new().with_method(method);
        config.with_products(products).init().unwrap().estimate(&a).unwrap();
        sizes()
    };
    assert_eq!(trace(TraceMethod::Hutchinson, 36), [16, 16, 4]);
    assert_eq!(trace(TraceMethod::HutchPlusPlus, 36), [12, 12, 12]);
    assert_eq!(trace(TraceMethod::XTrace, 36), [16, 2, 16, 2]);
    for (method, expected) in
        [(DiagonalMethod::Bekas, vec![16, 4]), (DiagonalMethod::XDiag, vec![10, 10])]
    {
        let config = DiagonalEstimatorConfig::new().with_method(method);
        config.with_products(20).init().unwrap().estimate(&a).unwrap();
        assert_eq!(sizes(), expected);
    }
    FrobeniusNormConfig::new().with_products(20).init().unwrap().estimate(&a).unwrap();
    assert_eq!(sizes(), [16, 4]);
    let density = DensityEstimatorConfig::new().with_probes(5).with_steps(3);
    density.clone().init().unwrap().estimate(&a).unwrap();
    assert_eq!(sizes(), [5; 3]);
    density.with_together(Some(3)).init().unwrap().estimate(&a).unwrap();
    assert_eq!(sizes(), [3, 3, 3, 2, 2, 2]);
    let lanczos = LanczosConfig::new().with_pairs(4).init().unwrap();
    let found = lanczos.eigenpairs(&a).unwrap();
    let sizes = sizes();
    assert_eq!(sizes.last(), Some(&4)); // the true residuals
    assert_eq!(sizes.iter().sum::<usize>(), found.report.products);
}
on_backends!(several_vectors_at_once: ndarray, flex, dispatch);
