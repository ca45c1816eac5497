//! A report as a table.

use std::fmt;

use super::{CheckLine, CurvatureCost, CurvatureReport, LayerError, Outcome, ProductCost};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Passed => "✓",
            Outcome::Failed => "✗",
            Outcome::Skipped => "–",
        })
    }
}

impl fmt::Display for CheckLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:36}", self.outcome, self.check.to_string())?;
        if let (Some(found), Some(allowed)) = (self.found, self.allowed) {
            let relation = if self.outcome == Outcome::Failed { ">" } else { "≤" };
            write!(f, " {found:.1e} {relation} {allowed:.0e}")?;
        }
        if !self.note.is_empty() {
            write!(f, "  {}", self.note)?;
        }
        if self.outcome == Outcome::Failed {
            write!(f, "\n    {}", self.check.advice())?;
        }
        Ok(())
    }
}

impl fmt::Display for CurvatureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elements, backend, precision, differences, .. } = self;
        writeln!(
            f,
            "{elements} elements on {backend} in {precision}, differences in {differences}"
        )?;
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        if !self.layers.is_empty() {
            writeln!(f, "K-FAC and EKFAC, relative error of each layer's block:")?;
        }
        for LayerError { layer, elements, kfac, ekfac } in &self.layers {
            let ekfac = ekfac.map_or("–".into(), |error| format!("{error:.2}"));
            writeln!(f, "  {layer} ({elements} elements): {kfac:.2}, {ekfac}")?;
        }
        if let Some(cost) = &self.cost {
            writeln!(f, "{cost}")?;
        }
        let failed = self.failures().count();
        let (passed, skipped) = (self.passed().count(), self.skipped().count());
        write!(f, "{passed} passed, {failed} failed, {skipped} do not apply")
    }
}

impl fmt::Display for CurvatureCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in gradients of {:.2e} s: H v {}", self.gradient_seconds, self.hessian)?;
        if let Some(product) = &self.gauss_newton {
            write!(f, "; G v {product}")?;
        }
        write!(f, "; one vector is {}; this check {:.0}", bytes(self.vector_bytes), self.check)
    }
}

impl fmt::Display for ProductCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, prepare, kept_bytes } = self;
        write!(f, "{product:.2} (once {prepare:.2}, keeps {})", bytes(*kept_bytes))
    }
}

fn bytes(count: usize) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{} kB", count / 1000),
        _ => format!("{} MB", count / 1_000_000),
    }
}
