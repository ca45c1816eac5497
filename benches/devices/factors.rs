//! K-FAC on one device: gradient with factors, inverses on the device and on the host, products.

use burn::tensor::Device;
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Error, LinearOperator, Objective, backend::ProgramBackend, kfac::KfacInversion,
};

use crate::{
    GRADIENT,
    figures::Figures,
    finish,
    harness::Plan,
    kfac::{DAMPING, LOSS, drawn},
    products::print,
    timed::{Timed, timed},
};

/// Of inverses on the host, which take seconds for large factors.
const SLOW_ROUNDS: usize = 3;
/// The residual that is asked for on the device.
const TOLERANCE: f64 = 5e-2;

/// Factors by one drawn target for each sample.
pub fn measure<B: AutodiffBackend>(
    figures: &Figures,
    device: &Device,
    plan: Plan,
    (objective, gradient): (&Objective<B>, &dyn Fn()),
) -> Result<(), Error>
where
    B::InnerBackend: ProgramBackend,
{
    let config = drawn(1);
    let (first, found) = timed(|| {
        let found = config.init_with_gradient(objective, LOSS);
        finish(device, ());
        found
    });
    let (kfac, at) = found?;
    let inverted = |place| kfac.factored_inverse_with(DAMPING, place);
    let on_device = KfacInversion::Device { tolerance: TOLERANCE };
    let (first_inverse, made) = timed(|| inverted(KfacInversion::Automatic));
    let (inverse, report) = made?;
    let mut quick = Timed::default();
    quick.add(GRADIENT, gradient);
    quick.add_called("kfac_factors", first, || {
        finish(device, config.init_with_gradient(objective, LOSS).expect("factors"));
    });
    quick.add("kfac_apply", || finish(device, inverse.apply(&at.gradient).expect("a product")));
    print_without_gradient(figures, quick, plan);

    let mut slow = Timed::default();
    slow.add(GRADIENT, gradient);
    let automatic = || finish(device, inverted(KfacInversion::Automatic).expect("an inverse"));
    slow.add_called("kfac_inverse", first_inverse, automatic);
    for (name, place) in
        [("kfac_inverse_device", on_device), ("kfac_inverse_host", KfacInversion::Host)]
    {
        slow.add(name, move || finish(device, inverted(place).expect("an inverse")));
    }
    print_without_gradient(figures, slow, Plan { rounds: plan.rounds.min(SLOW_ROUNDS), ..plan });
    let missed = |report: &burn_curvature::kfac::InversionReport| report.fallbacks().count() as f64;
    figures.value("kfac_inverse_fallbacks", missed(&report));
    figures.value("kfac_inverse_device_fallbacks", missed(&inverted(on_device)?.1));
    Ok(())
}

/// Those of the gradient are printed with the products.
fn print_without_gradient(figures: &Figures, timed: Timed, plan: Plan) {
    let mut found = timed.measure(plan);
    found.names.remove(0);
    found.first.remove(0);
    print(figures, &found);
}
