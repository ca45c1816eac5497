//! The cases as one rank runs them.

use std::{process::ExitCode, sync::Arc, time::Duration};

use burn::prelude::*;
use burn_curvature::{
    Error, FiniteSum, Hessian, LinearOperator, Objective,
    communicator::{Communicator, Counted, Mpi},
    errors::{CommunicatorError, ObjectiveError, SharedError},
};

use crate::{
    applied,
    compare::relative_error,
    modes,
    shares::{self, Figures, Network},
};

/// Runs a case as one rank.
pub fn run(case: &str) -> ExitCode {
    match Mpi::run(|ranks| work(case, &ranks)) {
        Ok(()) => {
            println!("rank done");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(case: &str, ranks: &Arc<Mpi>) -> Result<(), Error> {
    match case {
        "products" => {
            compare(ranks, 1e-12, of_risk(|risk, _| shares::products(risk)))?;
            count(ranks)
        }
        "outputs" => compare(ranks, 1e-12, of_risk(|risk, _| shares::rows(risk))),
        "kfac" => compare(ranks, 1e-12, of_risk(|risk, _| shares::kfac(risk))),
        "solves" => compare(ranks, 1e-12, of_risk(|risk, _| shares::solves(risk))),
        "training" => compare(ranks, 1e-12, of_risk(shares::training)),
        "influences" => {
            compare(ranks, 1e-12, |model, ranks| applied::influences(model, ranks, &device()))
        }
        "hypergradient" => {
            compare(ranks, 1e-12, |model, ranks| applied::hypergradient(model, ranks, &device()))
        }
        "responses" => {
            compare(ranks, 1e-12, |model, ranks| applied::responses(model, ranks, &device()))
        }
        // The model is in f32. A single rank is an objective that is not shared.
        "training mode" => {
            let size = ranks.size();
            compare(ranks, 1e-6, |_, ranks| modes::figures(ranks, size, &device()))
        }
        _ => fault(case, ranks),
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn model() -> Network {
    Network::new(4, &device())
}

/// Fails the case.
fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::new(std::io::Error::other(what()))) }
}

/// The figures over all ranks are those of one process, with the same bits on all of them.
fn compare(
    ranks: &Arc<Mpi>,
    tolerance: f64,
    figures: impl Fn(&Network, Option<Arc<Mpi>>) -> Result<Figures, Error>,
) -> Result<(), Error> {
    let model = model();
    let alone = figures(&model, None)?;
    let found = figures(&model, Some(ranks.clone()))?;
    for ((name, own), (_, truth)) in found.iter().zip(&alone) {
        let error = relative_error(own, truth);
        expect(error < tolerance, || format!("{name} differs by {error:e}"))?;
        for value in own {
            same_bits(ranks, *value, name)?;
        }
    }
    Ok(())
}

/// Figures of the objective over all batches.
fn of_risk(
    figures: fn(&Objective, &Network) -> Result<Figures, Error>,
) -> impl Fn(&Network, Option<Arc<Mpi>>) -> Result<Figures, Error> {
    move |model, ranks| figures(&shares::risk(model, ranks, &device())?, model)
}

/// Each rank puts its bits in its place among zeros.
fn same_bits(ranks: &Mpi, value: f64, name: &str) -> Result<(), Error> {
    let mut halves = vec![0.0; 2 * ranks.size()];
    let bits = value.to_bits();
    halves[2 * ranks.rank()] = (bits >> 32) as f64;
    halves[2 * ranks.rank() + 1] = (bits & 0xffff_ffff) as f64;
    ranks.sum_f64(&mut halves)?;
    let same = halves.chunks(2).all(|pair| pair == &halves[..2]);
    expect(same, || format!("{name} has other bits on another rank"))
}

/// Messages and bytes of a product, beside the formula: n elements and nine in front.
fn count(ranks: &Arc<Mpi>) -> Result<(), Error> {
    let counted = Arc::new(Counted::new(ranks.clone()));
    let risk = shares::risk(&model(), Some(counted.clone()), &device())?;
    let (hessian, n) = (Hessian::new(&risk)?, risk.parameters().len());
    let v = hessian.domain().normal(1);
    let before = counted.traffic();
    for _ in 0..10 {
        hessian.apply(&v)?;
    }
    let traffic = counted.traffic() - before;
    let expected = if ranks.size() == 1 { (0, 0) } else { (10, 10 * 8 * (9 + n as u64)) };
    if ranks.rank() == 0 {
        println!(
            "  10 products of {n} elements: {} messages, {} bytes; by the formula {} bytes, {:.0} sent by a rank",
            traffic.sums,
            traffic.bytes,
            expected.1,
            traffic.sent(ranks.size())
        );
    }
    expect((traffic.sums, traffic.bytes) == expected, || format!("{traffic:?}"))
}

fn fault(case: &str, ranks: &Arc<Mpi>) -> Result<(), Error> {
    let risk = shares::risk(&model(), Some(ranks.clone()), &device())?;
    let last = ranks.rank() + 1 == ranks.size();
    let v = risk.parameters().space().normal(1);
    risk.gradient()?;
    match case {
        "loss not finite" => {
            let nan = risk.parameters().space().full(f64::NAN);
            let lost = risk.at(&nan)?.value();
            let kind = lost.as_ref().err().and_then(Error::downcast_ref);
            let holds = matches!(kind, Some(ObjectiveError::NotFiniteLoss { .. }));
            expect(holds, || format!("{lost:?}"))?;
        }
        "other parameters" => {
            let at = risk.at(&risk.parameters().space().normal(u64::from(last)))?;
            let differs = at.gradient();
            let kind = differs.as_ref().err().and_then(Error::downcast_ref);
            let holds = matches!(kind, Some(SharedError::Differs { what: "θ", .. }));
            expect(holds, || format!("{differs:?}"))?;
        }
        "error in a call" => {
            let other = v.clone().cast(burn_curvature::Precision::F32)?;
            let failed = risk.hessian_vector_product(if last { &other } else { &v });
            expect(failed.is_err(), || "a vector in another precision was taken".into())?;
        }
        "error" if last => return Err(Error::new(std::io::Error::other("no space left"))),
        "panic" if last => panic!("out of range"),
        "early return" if last => return Ok(()),
        "exit" if last => std::process::exit(3),
        "abort" if last => std::process::abort(),
        "kill" if last => {
            let own = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-KILL", &own]).status();
            std::thread::sleep(Duration::from_secs(60));
        }
        "other lengths" => {
            // After a gradient, both are of another length than before.
            let parted = if last {
                risk.value().map(drop)
            } else {
                risk.hessian_vector_product(&v).map(drop)
            };
            let kind = parted.as_ref().err().and_then(Error::downcast_ref);
            let holds = matches!(
                kind,
                Some(CommunicatorError::OtherCall { rank, .. }) if rank + 1 == ranks.size()
            );
            expect(holds, || format!("{parted:?}"))?;
        }
        "another length" => {
            // The others' length is that of before: they wait for their sum.
            risk.hessian_vector_product(&v)?;
            if last {
                risk.value()?;
            }
        }
        "other calls" => {
            let hessian = Hessian::new(&risk)?;
            if last {
                hessian.apply_term(0, &v)?
            } else {
                hessian.apply(&v)?
            };
        }
        _ => {}
    }
    // Work goes on, together or not at all.
    let calls = if case == "fewer calls" && last { 1 } else { 3 };
    for _ in 0..calls {
        risk.hessian_vector_product(&v)?;
    }
    Ok(())
}
