#![allow(deprecated, dead_code, unused, clippy::unwrap_used)]
#[path = "../tests/support/models/mod.rs"]
mod models;
#[path = "../tests/support/random.rs"]
mod random;
use burn::{backend::{Autodiff, Flex, NdArray}, module::Module, prelude::*};
use burn_backend::AutodiffBackend;
use burn_curvature::{backend::ProgramBackend, *};
use models::*;
use std::time::Instant;

fn time(mut f: impl FnMut(), seconds: f64) -> f64 {
    f();
    let mut best = f64::INFINITY;
    let start = Instant::now();
    let mut n = 0;
    while start.elapsed().as_secs_f64() < seconds || n < 3 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
        n += 1;
    }
    best
}

fn on<B: AutodiffBackend, M: Module + 'static, X: Batch + Send + 'static>(name: &str, case: fn(&Device) -> Case<M, X>, device: &Device)
where B::InnerBackend: ProgramBackend {
    let case = case(&device.clone().autodiff());
    let objective = Objective::<B>::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss).unwrap();
    let v: Vec<_> = (0..32).map(|s| objective.parameters().space().normal(s)).collect();
    let hessian = Hessian::new(&objective).unwrap();
    let newton = GaussNewton::new(&objective).unwrap();
    let jac = Jacobian::new(&objective).unwrap();
    let u: Vec<_> = (0..16).map(|s| objective.outputs().unwrap().space().normal(s)).collect();
    if std::env::var_os("LIST").is_some() {
        println!("{}", objective.hessian_program_for(16).unwrap());
        println!("{}", objective.hessian_programs().unwrap().1);
    }
    println!("{name} ops one {} many16 {} looped {:?}", objective.hessian_programs().unwrap().1.len(), objective.hessian_program_for(16).unwrap().len(), objective.hessian_program_for(16).unwrap().one_by_one());
    let s = 1.0;
    let one = time(|| { hessian.apply(&v[0]).unwrap(); }, s);
    print!("{name} hv {:.1} us;", one * 1e6);
    for k in [2, 4, 8, 16, 32] {
        let many = time(|| { hessian.apply_many(&v[..k]).unwrap(); }, s);
        print!(" {k}: {:.2}", many / one);
    }
    let one = time(|| { newton.apply(&v[0]).unwrap(); }, s);
    let many = time(|| { newton.apply_many(&v[..16]).unwrap(); }, s);
    print!("; ggn {:.1} us 16: {:.2}", one * 1e6, many / one);
    let one = time(|| { jac.apply(&v[0]).unwrap(); }, s);
    let many = time(|| { jac.apply_many(&v[..16]).unwrap(); }, s);
    print!("; jv {:.1} us 16: {:.2}", one * 1e6, many / one);
    let one = time(|| { jac.apply_adjoint(&u[0]).unwrap(); }, s);
    let many = time(|| { jac.apply_adjoint_many(&u[..16]).unwrap(); }, s);
    println!("; jtu {:.1} us 16: {:.2}", one * 1e6, many / one);
}

fn main() {
    let which = std::env::args().nth(1).unwrap_or("tiny".into());
    let flex = Device::flex();
    let nd = Device::ndarray();
    match which.as_str() {
        "tiny" => on::<Autodiff<Flex>, _, _>("tiny.flex", tiny::case, &flex),
        "tinynd" => on::<Autodiff<NdArray>, _, _>("tiny.ndarray", tiny::case, &nd),
        "mlp" => on::<Autodiff<Flex>, _, _>("mlp.flex", mlp::case, &flex),
        "mlpnd" => on::<Autodiff<NdArray>, _, _>("mlp.ndarray", mlp::case, &nd),
        "tr" => on::<Autodiff<Flex>, _, _>("transformer.flex", transformer::case, &flex),
        "trnd" => on::<Autodiff<NdArray>, _, _>("transformer.ndarray", transformer::case, &nd),
        "cnn" => on::<Autodiff<Flex>, _, _>("cnn.flex", cnn::case, &flex),
        _ => {}
    }
}
