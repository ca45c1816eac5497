//! Hypergradients, tangents and adjoints against differences and the dense formula.

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    Hessian, Objective, ParamVector, Reduction,
    implicit::{HyperObjective, ImplicitConfig, InnerCurvature, Verdict},
    materialize,
    operator::{DenseMatrix, check_adjoint, check_self_adjoint},
};

use super::{
    solvers,
    world::{World, entries, richardson},
};
use crate::{compare::relative_error, oracle::solve};

/// Rows and columns of a dense matrix.
fn block(
    matrix: &DenseMatrix,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> Vec<Vec<f64>> {
    rows.map(|i| columns.clone().map(|j| matrix.entry(i, j).unwrap()).collect()).collect()
}

/// ∂L/∂η − Mᵀ(A + λI)⁻¹∂L/∂θ from the dense Hessian of the joint objective.
fn dense(inner: &HyperObjective, outer: &HyperObjective, damping: f64) -> Vec<f64> {
    let n = inner.parameters().len();
    let all = inner.joint().layout().len();
    let hessian = materialize(&Hessian::new(inner.joint()).unwrap()).unwrap();
    let mut a = block(&hessian, 0..n, 0..n);
    (0..n).for_each(|i| a[i][i] += damping);
    let slope = outer.gradient().unwrap();
    let solved = solve(&a, &entries(&slope.model));
    let mixed = block(&hessian, n..all, 0..n);
    let direct = entries(&slope.hyper);
    direct.iter().zip(&mixed).map(|(d, row)| d - crate::dense::dot(row, &solved)).collect()
}

#[test]
fn hypergradients_are_those_of_differences_and_of_the_dense_formula() {
    for seed in [1, 2, 3] {
        let world = World::new(seed, (12, 4));
        let w = world.minimizer(&world.eta);
        let (inner, outer) = world.captured(&w).unwrap();
        let function = ImplicitConfig::new().init(&inner).unwrap();
        let expected = dense(&inner, &outer, 0.0);
        for (name, solver) in solvers() {
            let found = function.hypergradient(&outer, solver.as_ref()).unwrap();
            assert!(found.report.is_sound(), "{name}\n{}", found.report);
            assert!(found.report.solve.stop.is_success(), "{name}");
            assert!(found.report.stationarity < 1e-13, "{}", found.report.stationarity);
            let gradient = entries(&found.gradient);
            assert!(relative_error(&gradient, &expected) < 1e-12, "{name}");
            let error = relative_error(&gradient, &world.by_differences());
            assert!(error < 1e-9, "{name}, seed {seed}: {error:e}");
            assert!(found.report.direct_norm > 0.0);
        }
    }
}

/// Tangent of an operator and its transpose belong together, and the tangent is the derivative of the minimizer.
#[test]
fn tangents_and_adjoints_are_those_of_the_minimizer() {
    for seed in [4, 5] {
        let world = World::new(seed, (12, 4));
        let (inner, _) = world.captured(&world.minimizer(&world.eta)).unwrap();
        let function = ImplicitConfig::new().init(&inner).unwrap();
        check_adjoint(function.mixed(), seed).unwrap();
        check_self_adjoint(function.matrix(), seed).unwrap();
        let directions: Vec<_> =
            (0..3).map(|at| inner.hyperparameters().space().normal(seed + at)).collect();
        let cotangents: Vec<_> =
            (0..3).map(|at| inner.parameters().space().normal(seed + at)).collect();
        for (name, solver) in solvers() {
            let tangents = function.tangents(&directions, solver.as_ref()).unwrap();
            let adjoints = function.adjoints(&cotangents, solver.as_ref()).unwrap();
            for (tangent, u) in tangents.iter().zip(&directions) {
                let u = entries(u);
                let along = |h: f64| {
                    let eta: Vec<f64> = world.eta.iter().zip(&u).map(|(e, u)| e + h * u).collect();
                    world.minimizer(&eta)
                };
                let expected: Vec<f64> =
                    (0..4).map(|j| richardson(|h| along(0.3 * h)[j]) / 0.3).collect();
                let error = relative_error(&entries(&tangent.vector), &expected);
                assert!(error < 1e-9, "{name}: {error:e}");
                assert!(tangent.solve.stop.is_success());
            }
            for ((tangent, u), (adjoint, w)) in
                tangents.iter().zip(&directions).zip(adjoints.iter().zip(&cotangents))
            {
                let [a, b] = [w.dot(&tangent.vector).unwrap(), adjoint.vector.dot(u).unwrap()];
                assert!((a - b).abs() < 1e-11 * a.abs().max(1.0), "{name}: {a}, {b}");
            }
            let single = function.adjoint(&cotangents[1], solver.as_ref()).unwrap().vector;
            assert!(relative_error(&entries(&single), &entries(&adjoints[1].vector)) < 1e-12);
            let single = function.tangent(&directions[1], solver.as_ref()).unwrap().vector;
            assert!(relative_error(&entries(&single), &entries(&tangents[1].vector)) < 1e-12);
        }
    }
}

/// Two layers, one decay for each of their weights, at a point that is no minimum.
#[test]
fn a_module_of_hyperparameters_on_a_net_agrees_with_the_dense_formula() {
    let device = Device::flex().autodiff();
    device.seed(3);
    let net = || (LinearConfig::new(3, 5).init(&device), LinearConfig::new(5, 2).init(&device));
    let (model, decays) = (net(), net());
    let x = Tensor::<2>::random([10, 3], burn::tensor::Distribution::Default, &device);
    let y = Tensor::<2>::random([10, 2], burn::tensor::Distribution::Default, &device);
    type Net = (Linear, Linear);
    let forward = |net: &Net, x: Tensor<2>| net.1.forward(tanh(net.0.forward(x)));
    let inner = HyperObjective::capture(
        &model,
        &decays,
        (x.clone(), y.clone()),
        move |net, decays, (x, y)| {
            let penalty = |weight: &Param<Tensor<2>>, decay: &Param<Tensor<2>>| {
                (decay.val().exp() * weight.val().powi_scalar(2)).sum()
            };
            let loss = (forward(net, x) - y).powi_scalar(2).mean();
            loss + penalty(&net.0.weight, &decays.0.weight)
                + penalty(&net.1.weight, &decays.1.weight)
                + (net.0.bias.as_ref().unwrap().val() * decays.0.bias.as_ref().unwrap().val())
                    .sum()
                    .powi_scalar(2)
                + (net.1.bias.as_ref().unwrap().val() - decays.1.bias.as_ref().unwrap().val())
                    .powi_scalar(2)
                    .sum()
        },
    )
    .unwrap();
    let outer =
        HyperObjective::capture(&model, &decays, (x * 2.0, y), move |net, decays, (x, y)| {
            (forward(net, x) - y).powi_scalar(2).mean() + decays.0.weight.val().sum()
        })
        .unwrap();
    let (inner, outer) = (inner.in_f64().unwrap(), outer.in_f64().unwrap());
    let damping = 2.0;
    let function = ImplicitConfig::new().with_damping(damping).init(&inner).unwrap();
    let expected = dense(&inner, &outer, damping);
    for (name, solver) in solvers() {
        let found = function.hypergradient(&outer, solver.as_ref()).unwrap();
        assert!(found.report.solve.stop.is_success(), "{name}\n{}", found.report);
        let error = relative_error(&entries(&found.gradient), &expected);
        assert!(error < 1e-12, "{name}: {error:e}");
        assert_ne!(found.report.verdict, Verdict::Sound, "θ is no minimum\n{}", found.report);
        // The step applies to the module of hyperparameters.
        let moved = found.gradient.add_to(&decays, -0.5).unwrap();
        let moved =
            ParamVector::<burn_curvature::backend::DefaultBackend>::from_module(&moved).unwrap();
        let expected = inner.hyperparameters().axpy(-0.5, &found.gradient).unwrap();
        assert!(relative_error(&entries(&moved), &entries(&expected)) < 1e-6);
    }
}

/// For outputs that are linear in θ the Gauss-Newton matrix is the Hessian; a penalty passes them by.
#[test]
fn gauss_newton_and_given_matrices_are_exact_where_theory_says_so() {
    let world = World::new(6, (14, 3));
    let device = Device::flex().autodiff();
    let (model, hyper) = (world.model(&device), world.hyper(&device));
    let inner =
        HyperObjective::capture(&model, &hyper, world.training(&device), |model, hyper, (x, y)| {
            let z = x.matmul(model.w.val());
            let losses = -burn::tensor::activation::log_sigmoid(z.clone() * y).flatten::<1>(0, 1);
            let weights = burn::tensor::activation::sigmoid(hyper.weight.val());
            (z, (losses * weights).sum())
        })
        .unwrap()
        .in_f64()
        .unwrap();
    let (_, outer) = world.captured(&[0.0; 3]).unwrap();
    // Captured from other modules, so that the outer objective is another one here.
    let solver = &solvers()[0].1;
    let gauss_newton =
        ImplicitConfig::new().with_curvature(InnerCurvature::GaussNewton).with_damping(0.1);
    let exact = ImplicitConfig::new().with_damping(0.1).init(&inner).unwrap();
    let function = gauss_newton.init(&inner).unwrap();
    assert!(function.hypergradient(&outer, solver.as_ref()).is_err());
    let cotangent = inner.parameters().space().normal(1);
    let [a, b] =
        [&exact, &function].map(|f| f.adjoint(&cotangent, solver.as_ref()).unwrap().vector);
    assert!(relative_error(&entries(&a), &entries(&b)) < 1e-12);
    assert_eq!(exact.constant_in(), ["decay"]);

    let (inner, _) = world.captured(&world.minimizer(&world.eta)).unwrap();
    let exact = ImplicitConfig::new().init(&inner).unwrap();
    let dense = materialize(exact.matrix()).unwrap();
    let given =
        burn_curvature::operator::SymmetricDense::new(&dense, inner.parameters().space()).unwrap();
    let function = exact.with_matrix(given).unwrap();
    let cotangent = inner.parameters().space().normal(1);
    let [a, b] =
        [&exact, &function].map(|f| f.adjoint(&cotangent, solver.as_ref()).unwrap().vector);
    assert!(relative_error(&entries(&a), &entries(&b)) < 1e-12);
}

/// Batches of any sizes, held or streamed, are one batch.
#[test]
fn a_data_set_is_one_batch() {
    let world = World::new(7, (13, 4));
    let device = Device::flex().autodiff();
    let (model, hyper) = (world.model(&device), world.hyper(&device));
    let (x, y) = world.training(&device);
    let part = |from: usize, to: usize| {
        (x.clone().slice([from..to, 0..4]), y.clone().slice([from..to, 0..1]))
    };
    let batches = [part(0, 5), part(5, 10), part(10, 13)];
    let inner =
        HyperObjective::capture(&model, &hyper, batches[0].clone(), |model, hyper, batch| {
            let penalty = (hyper.decay.val().exp() * model.w.val().powi_scalar(2)).sum();
            super::world::losses(model, batch).mean() + penalty * 0.5
        })
        .unwrap();
    let outer = Objective::capture(&model, world.validation(&device), |model, batch| {
        super::world::losses(model, batch).mean()
    });
    let outer = outer.unwrap().in_f64().unwrap();
    let whole = inner.on((x.clone(), y.clone())).unwrap().in_f64().unwrap();
    let held = inner.over(batches.clone(), Reduction::Mean).unwrap().in_f64().unwrap();
    let stream = move |visit: &mut dyn FnMut(_) -> Result<(), _>| {
        batches.iter().cloned().try_for_each(visit)
    };
    let streamed = inner.over_stream(Reduction::Mean, stream).unwrap().in_f64().unwrap();
    let solver = &solvers()[0].1;
    // The weights of the samples play no part here.
    let refused =
        ImplicitConfig::new().init(&whole).unwrap().hypergradient(&outer, solver.as_ref());
    assert!(refused.unwrap_err().to_string().contains("weight"));
    let direct = HyperObjective::capture(
        &model,
        &hyper,
        world.validation(&device),
        |model, hyper, batch| super::world::losses(model, batch).mean() + hyper.weight.val().sum(),
    );
    let outer = direct.unwrap().in_f64().unwrap();
    let of = |inner: &HyperObjective| {
        let function = ImplicitConfig::new().init(inner).unwrap();
        let found = function.hypergradient(&outer, solver.as_ref()).unwrap();
        assert_eq!(found.report.constant_in, ["weight"]);
        entries(&found.gradient)
    };
    let expected = of(&whole);
    assert!(expected[4..].iter().all(|entry| *entry == 1.0), "{expected:?}");
    for inner in [held, streamed, whole.with_memory_budget(0)] {
        assert!(relative_error(&of(&inner), &expected) < 1e-12);
    }
}
