//! The lowerings on another backend: the same values and Hessian products on NdArray as on Flex.

#![allow(deprecated)] // Burn deprecates NdArray; it is a backend of ours all the same.

use burn::backend::{Flex, NdArray};
use burn_autodiff::Autodiff;

use super::{
    super::apply,
    case::Case,
    draw::Draw,
    harness::{numbers, outputs, parameters, product_tensors, relative_error},
    table,
};

const TOLERANCE: f64 = 1e-11;

fn failures(case: &Case) -> Vec<String> {
    let draw = Draw::new(case, 5);
    let (flex, ndarray) = (Default::default(), Default::default());
    let point = parameters::<Flex>(case, &draw.point, &flex);
    let on_flex = outputs::<Flex>(case, &point, apply::<Flex>, &flex);
    let point = parameters::<NdArray>(case, &draw.point, &ndarray);
    let on_ndarray = outputs::<NdArray>(case, &point, apply::<NdArray>, &ndarray);
    let values = on_flex.into_iter().zip(on_ndarray);
    let values = values.map(|(a, b)| ("value", numbers::<Flex>(a), numbers::<NdArray>(b)));
    let products = on_both(case, &draw);
    let products = products.into_iter().map(|(a, b)| ("Hessian product", a, b));
    let complaints = values.chain(products).filter_map(|(what, flex, ndarray)| {
        let error = relative_error(&ndarray, &flex);
        let wrong = error.is_nan() || error > TOLERANCE;
        wrong.then(|| format!("{}: {what} off by {error:.1e}", case.name))
    });
    complaints.collect()
}

fn on_both(case: &Case, draw: &Draw) -> Vec<(Vec<f64>, Vec<f64>)> {
    let (flex, ndarray) = (Default::default(), Default::default());
    let on_flex = product_tensors::<Flex>(
        case,
        parameters::<Flex>(case, &draw.point, &flex),
        parameters::<Flex>(case, &draw.direction, &flex),
        &draw.weights,
        apply::<Autodiff<Autodiff<Flex>>>,
        &flex,
    );
    let on_ndarray = product_tensors::<NdArray>(
        case,
        parameters::<NdArray>(case, &draw.point, &ndarray),
        parameters::<NdArray>(case, &draw.direction, &ndarray),
        &draw.weights,
        apply::<Autodiff<Autodiff<NdArray>>>,
        &ndarray,
    );
    let pairs = on_flex.into_iter().zip(on_ndarray);
    pairs.filter_map(|(a, b)| Some((numbers::<Flex>(a?), numbers::<NdArray>(b?)))).collect()
}

#[test]
fn ndarray_gives_what_flex_gives() {
    let failures: Vec<String> = table().iter().flat_map(failures).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
