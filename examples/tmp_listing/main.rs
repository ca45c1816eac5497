#[path = "../support/mod.rs"]
mod support;
use burn::tensor::Device;
use burn_curvature::*;
use support::models::*;
fn main() {
    let device = Device::flex().autodiff();
    let name = std::env::args().nth(1).unwrap();
    macro_rules! go {
        ($m:ident) => {{
            let c = $m::case(&device);
            Objective::trace(&c.model, c.batch, c.loss).unwrap()
        }};
    }
    let o = match name.as_str() {
        "mlp" => go!(mlp),
        "cnn" => go!(cnn),
        "tiny" => go!(tiny),
        _ => go!(transformer),
    };
    println!("{}", o.loss_program().unwrap());
    return;
    #[allow(unreachable_code)]
    let (p, f) = o.gauss_newton_programs().unwrap();
    println!("PREPARE {}\n{p}\nFINISH {}\n{f}", p.len(), f.len());
}
