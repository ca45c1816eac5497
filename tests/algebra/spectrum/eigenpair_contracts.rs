//! Lanczos' process: every stop reason but success, every bad input, every field out of range.

use burn_curvature::{
    Error, LanczosConfig, LinearOperator, ParamSpace, ParamVector, Precision, SelfAdjoint,
    errors::{ConfigError, KrylovError, OperatorError, SpectrumError, VectorError},
    operator::{Diagonal, FromFn},
    spectrum::{EigenpairsStop, SpectrumEnd},
};

use super::{
    Astray,
    eigenpairs::{check, expect_values},
    even, operator,
};
use crate::{TestBackend, flat, flat_space, oracle::with_spectrum};

/// Every stop reason but success.
fn eigenpairs_stop<B: TestBackend>() {
    let spectrum = even(0.0, 1.0, 100);
    let rows = with_spectrum(&spectrum, 4);
    let space = flat_space::<B>(100, Precision::F32);
    let a = operator(&rows, &space);
    let run = |config: LanczosConfig| config.init().unwrap().eigenpairs(&a).unwrap();
    let few = run(LanczosConfig::new().with_max_products(Some(9)).with_pairs(2));
    assert_eq!(few.report.stop, EigenpairsStop::ProductLimit);
    assert_eq!((few.report.products, few.vectors.len()), (11, 2));
    assert!(few.report.worst_residual() > few.report.threshold);
    check(&few, &rows);
    let fewer = run(LanczosConfig::new().with_max_products(Some(1)).with_pairs(2));
    assert_eq!((fewer.report.stop, fewer.vectors.len()), (EigenpairsStop::ProductLimit, 1));
    let exact = run(LanczosConfig::new().with_relative_tolerance(1e-12));
    assert_eq!(exact.report.stop, EigenpairsStop::Rounding, "{}", exact.report);
    assert!((exact.report.largest() - 1.0).abs() < 1e-5);
    let needed = run(LanczosConfig::new().with_pairs(3).with_confirm_copies(false));
    assert_eq!(needed.report.stop, EigenpairsStop::Converged);
    let unconfirmed =
        run(LanczosConfig::new().with_pairs(3).with_max_products(Some(needed.report.products)));
    assert_eq!(unconfirmed.report.stop, EigenpairsStop::Unconfirmed);
    check(&unconfirmed, &rows);
    for stop in
        [EigenpairsStop::ProductLimit, EigenpairsStop::Rounding, EigenpairsStop::Unconfirmed]
    {
        assert!(!stop.is_success());
    }
}
on_backends!(eigenpairs_stop: ndarray, flex, dispatch);

fn eigenpairs_of_bad_input<B: TestBackend>() {
    let vector = flat::<B>(&[1.0, 2.0, 3.0], Precision::F32);
    let lanczos = LanczosConfig::new().init().unwrap();
    let refused = |a: &dyn SelfAdjoint<B>| lanczos.eigenpairs(a).unwrap_err();
    let diagonal = |values: &[f64]| Diagonal::new(vector.space().vector(values).unwrap()).unwrap();

    let nan = refused(&diagonal(&[1.0, f64::NAN, 2.0]));
    assert!(matches!(nan.downcast_ref(), Some(VectorError::NonFinite { count: 1, .. })), "{nan}");
    let other = flat::<B>(&[1.0, 2.0], Precision::F32);
    let astray = |returned| Astray { promised: vector.space().clone(), returned };
    let mismatch = refused(&astray(other.clone()));
    assert!(matches!(mismatch.downcast_ref(), Some(VectorError::LayoutMismatch { .. })));
    let wide = refused(&astray(flat(&[1.0; 3], Precision::F64)));
    assert!(matches!(wide.downcast_ref(), Some(VectorError::PrecisionMismatch { .. })));
    for scale in [1e25, 1e-25] {
        let range = refused(&diagonal(&[scale, 2.0 * scale, 3.0 * scale]));
        assert!(matches!(range.downcast_ref(), Some(KrylovError::Range { .. })), "{range}");
        let double = vector.clone().cast(Precision::F64).unwrap();
        let found =
            lanczos.eigenpairs(&Diagonal::new(double.clone().scale(scale)).unwrap()).unwrap();
        expect_values(&found.report, &[3.0 * scale], 1e-9 * scale);
    }
    let many = LanczosConfig::new().with_pairs(4).init().unwrap();
    let refused = many.eigenpairs(&diagonal(&[1.0; 3])).unwrap_err();
    assert_eq!(
        refused.downcast_ref(),
        Some(&SpectrumError::TooManyPairs { wanted: 4, unknowns: 3 })
    );

    struct Tall<B: TestBackend, F>(FromFn<B, F>);
    impl<B: TestBackend, F: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>> LinearOperator<B>
        for Tall<B, F>
    {
        fn domain(&self) -> &ParamSpace<B> {
            self.0.domain()
        }
        fn codomain(&self) -> &ParamSpace<B> {
            self.0.codomain()
        }
        fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
            self.0.apply(vector)
        }
    }
    impl<B: TestBackend, F: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>> SelfAdjoint<B>
        for Tall<B, F>
    {
    }
    let tall = Tall(
        FromFn::between(vector.space(), other.space(), |_: &ParamVector<B>| Ok(other.clone()))
            .unwrap(),
    );
    let refused = lanczos.eigenpairs(&tall).unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&OperatorError::NotSquare { domain: 3, codomain: 2 }));
}
on_backends!(eigenpairs_of_bad_input: ndarray, flex, dispatch);

fn lanczos_configurations<B: TestBackend>() {
    let field = |config: LanczosConfig| {
        let error: ConfigError = config.init().unwrap_err();
        assert_eq!(error.config, "LanczosConfig");
        error.field
    };
    let config = LanczosConfig::new;
    assert_eq!(field(config().with_pairs(0)), "pairs");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(config().with_relative_tolerance(bad)), "relative_tolerance");
    }
    assert_eq!(field(config().with_max_products(Some(0))), "max_products");
    assert_eq!(field(config().with_subspace(Some(2))), "subspace");
    assert_eq!(field(config().with_end(SpectrumEnd::Both).with_subspace(Some(3))), "subspace");
    assert!(config().with_subspace(Some(3)).init().is_ok());
    let changed = config().with_pairs(7).with_end(SpectrumEnd::Smallest).with_seed(3);
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<LanczosConfig>(&json).unwrap(), changed);
    assert_eq!(*changed.init().unwrap().config(), changed);
}
on_backends!(lanczos_configurations: ndarray, flex, dispatch);
