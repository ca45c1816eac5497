//! Single layers: their factors, and the operators on their parameters alone.

use burn_curvature::{
    Error, LinearOperator, Reduction, SelfAdjoint,
    errors::OperatorError,
    kfac::Treatment,
    operator::{Kronecker, check_operator},
};

use super::{
    super::{B, classifier, relative_error, rows, without_draws},
    GAUSSIAN, dense, normalized,
};

#[test]
fn the_views_make_up_the_whole_matrix() {
    let objective = classifier(1, 8);
    let (kfac, matrix) = dense(&objective);
    let layout = objective.layout();
    let mut trace = 0.0;
    for layer in kfac.layers() {
        trace += layer.trace().unwrap();
        let (a, g) = (layer.input(), layer.output());
        let Treatment::Kronecker { input, output, .. } = layer.treatment() else {
            panic!("{}", layer.treatment());
        };
        assert_eq!((a.size(), g.size(), a.groups()), (*input, *output, 1));
        // Weights are stored input by input.
        let start = layout.block(layer.weight()).unwrap().range().start;
        let (a, g) = (a.matrix(0).unwrap().unwrap(), g.matrix(0).unwrap().unwrap());
        let width = g.columns();
        for i in 0..(input - 1) * width {
            for j in 0..(input - 1) * width {
                let expected =
                    a.entry(i / width, j / width).unwrap() * g.entry(i % width, j % width).unwrap();
                let found = matrix[start + i][start + j];
                assert!((found - expected).abs() < 1e-13, "{found}, {expected}");
            }
        }
        let eigenvalues = a.eigenvalues().unwrap();
        let spectrum = layer.input().spectrum().unwrap();
        let largest = eigenvalues.last().unwrap();
        assert!((spectrum.largest - largest).abs() < 1e-12 * largest);
        assert!((spectrum.smallest - eigenvalues[0].max(0.0)).abs() < 1e-12 * largest);
        assert!(spectrum.condition() >= 1.0 && spectrum.damped_by == 0.0);
        assert!(layer.input().matrix(1).unwrap().is_none());
    }
    assert!((trace - kfac.trace().unwrap()).abs() < 1e-12);
    let names: Vec<_> = kfac.layers().iter().map(|layer| layer.weight()).collect();
    assert_eq!(names, ["hidden.weight", "output.weight"]);
    let biases: Vec<_> = kfac.layers().iter().map(|layer| layer.bias()).collect();
    assert_eq!(biases, [Some("hidden.bias"), Some("output.bias")]);
}

#[test]
fn the_bases_and_diagonals_are_those_of_the_operator() {
    let objective = classifier(2, 8);
    let loss = burn_curvature::Likelihood::Categorical;
    let ekfac = without_draws().init_ekfac(&objective, loss).unwrap();
    let traces: f64 = ekfac.layers().iter().map(|layer| layer.trace().unwrap()).sum();
    assert!((traces - ekfac.trace().unwrap()).abs() < 1e-12);
    for layer in ekfac.layers() {
        let (u, w) = (layer.input_basis(0).unwrap(), layer.output_basis(0).unwrap());
        assert_eq!(layer.diagonal().unwrap().len(), u.rows() * w.rows());
        let own = ekfac.layer(layer.weight()).unwrap();
        // The eigenvector of the largest number: u wᵀ, the bias' row last.
        let numbers = layer.diagonal().unwrap().iter().enumerate();
        let (at, &value) = numbers.max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        let (i, j) = (at / w.rows(), at % w.rows());
        let entry =
            |row: usize, column: usize| u.entry(row, i).unwrap() * w.entry(column, j).unwrap();
        let vector: Vec<f64> =
            (0..u.rows() * w.rows()).map(|at| entry(at / w.rows(), at % w.rows())).collect();
        let v = own.domain().vector(&vector).unwrap();
        let product = own.apply(&v).unwrap();
        assert!(relative_error(&product, &v.scale(value)) < 1e-11);
        assert!(layer.input().largest >= layer.input().smallest);
        assert!(layer.output().condition() >= 1.0);
    }
}

#[test]
fn the_operator_of_one_layer_is_its_block_of_the_whole() {
    let objective = normalized(5, Reduction::Mean);
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    type OfLayer<'a> = &'a dyn Fn(&str) -> Result<Kronecker<B>, Error>;
    let whole: [(&dyn SelfAdjoint<B>, OfLayer<'_>); 3] = [
        (&kfac, &|name| kfac.layer(name)),
        (&kfac.inverse(0.1).unwrap(), &|name| kfac.inverse(0.1).unwrap().part_of(name).cloned()),
        (&kfac.factored_inverse(0.1).unwrap(), &|name| {
            kfac.factored_inverse(0.1).unwrap().part_of(name).cloned()
        }),
    ];
    for (operator, layer) in whole {
        check_operator(operator, 1).unwrap();
        for (name, pattern) in [
            ("linear.weight", "linear.*"),
            ("linear.bias", "linear.*"),
            ("norm.gamma", "norm.gamma"),
        ] {
            let own = layer(name).unwrap();
            let subset = objective.layout().select(pattern).unwrap();
            assert_eq!(own.domain().layout(), subset.layout());
            let v = own.domain().normal(3);
            let expected = operator.apply(&subset.embed(&v).unwrap()).unwrap();
            let expected = subset.restrict(&expected).unwrap();
            assert!(relative_error(&own.apply(&v).unwrap(), &expected) < 1e-14);
        }
    }
    let error = kfac.layer("linear").unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OperatorError::NoSuchParameter { .. })));
    assert!(error.to_string().contains("linear.weight"), "{error}");
    let whole = rows(&kfac);
    assert_eq!(whole.len(), 24);
}
