//! How K-FAC treats each parameter.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::KfacFisher;

/// How K-FAC treats one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Treatment {
    /// Weight of a layer, or bias together with its weight: A ⊗ G.
    Kronecker {
        /// Kind of layer.
        layer: String,
        /// Size of A, including the bias's constant 1.
        input: usize,
        /// Size of G.
        output: usize,
        /// Groups of a convolution, each with its own factors.
        groups: usize,
        /// How often the weight is used.
        uses: usize,
        /// How the several places of a sample are treated.
        #[serde(default)]
        sharing: WeightSharing,
    },
    /// Its exact block of the Fisher matrix.
    ExactBlock {
        /// Why it belongs to no layer.
        reason: String,
    },
    /// An estimate of the diagonal of its block by random signs; the rest of the block is left out.
    Diagonal {
        /// Why it belongs to no layer.
        reason: String,
        /// Random draws: backward passes that the estimate is a mean over.
        probes: usize,
    },
    /// Its block is zero: the outputs do not depend on it.
    Unused,
}

/// How the several places of a sample at which a weight is used are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WeightSharing {
    /// Every place is a sample of its own.
    #[default]
    Expand,
    /// Inputs are averaged and gradients summed over the places.
    Reduce,
    /// Expanded although other weights are reduced, by [`EmbeddingPolicy::Expand`](crate::kfac::EmbeddingPolicy::Expand).
    ExpandByPolicy,
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Treatment::Kronecker { layer, input, output, groups, uses, sharing } => {
                write!(f, "{layer}, {input} ⊗ {output}")?;
                if *groups > 1 {
                    write!(f, ", {groups} groups")?;
                }
                if *uses > 1 {
                    write!(f, ", {uses} uses")?;
                }
                match sharing {
                    WeightSharing::Expand => Ok(()),
                    WeightSharing::Reduce => f.write_str(", reduced"),
                    WeightSharing::ExpandByPolicy => f.write_str(
                        ", expanded by policy where others are reduced (so that its A is a diagonal)",
                    ),
                }
            }
            Treatment::ExactBlock { reason } => write!(f, "exact block ({reason})"),
            Treatment::Diagonal { reason, probes } => {
                write!(f, "diagonal, estimated by {probes} probes ({reason})")
            }
            Treatment::Unused => f.write_str("zero (the outputs do not depend on it)"),
        }
    }
}

/// One parameter in a [`KfacCoverage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageEntry {
    /// Name of the parameter.
    pub parameter: String,
    /// Its size.
    #[serde(rename = "numbers")]
    pub elements: usize,
    /// How it is treated.
    pub treatment: Treatment,
}

/// How K-FAC treats every parameter of a model. Prints as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KfacCoverage {
    /// In the order of the layout.
    pub entries: Vec<CoverageEntry>,
    /// `None` in reports of earlier versions.
    #[serde(default)]
    pub(super) fisher: Option<KfacFisher>,
}

impl KfacCoverage {
    /// The fraction of all elements of parameters that have Kronecker factors.
    pub fn kronecker_fraction(&self) -> f64 {
        let total: usize = self.entries.iter().map(|entry| entry.elements).sum();
        let factored =
            |entry: &&CoverageEntry| matches!(entry.treatment, Treatment::Kronecker { .. });
        let factored = self.entries.iter().filter(factored).map(|entry| entry.elements);
        factored.sum::<usize>() as f64 / total.max(1) as f64
    }

    /// The gradients that were actually used: [`KfacFisher::Exact`] or [`KfacFisher::MonteCarlo`] where the
    /// configuration says [`KfacFisher::ExactWhereCheap`]. The seed is that of the configuration, from which an
    /// optimizer makes one for each step. `None` in reports saved by earlier versions.
    pub fn fisher(&self) -> Option<KfacFisher> {
        self.fisher
    }

    /// Number of targets that were drawn for each sample, if any: their gradients estimate the factors of all layers and all
    /// exact blocks without bias.
    pub fn draws(&self) -> Option<usize> {
        Some(self.fisher?.drawn()?.0)
    }

    /// The parameters whose curvature is estimated from random draws: those of [`diagonals`](Self::diagonals), and all that
    /// the outputs depend on if targets were drawn ([`draws`](Self::draws)).
    pub fn estimated(&self) -> impl Iterator<Item = &CoverageEntry> {
        let drawn = self.draws().is_some();
        self.entries.iter().filter(move |entry| match entry.treatment {
            Treatment::Kronecker { .. } | Treatment::ExactBlock { .. } => drawn,
            Treatment::Diagonal { .. } => true,
            Treatment::Unused => false,
        })
    }

    /// The parameters of whose block only the diagonal is estimated; the rest of the block is left out.
    pub fn diagonals(&self) -> impl Iterator<Item = &CoverageEntry> {
        let is_diagonal =
            |entry: &&CoverageEntry| matches!(entry.treatment, Treatment::Diagonal { .. });
        self.entries.iter().filter(is_diagonal)
    }

    /// How one parameter is treated.
    pub fn of(&self, parameter: &str) -> Option<&Treatment> {
        let mut entries = self.entries.iter();
        let found = entries.find(|entry| entry.parameter == parameter);
        found.map(|entry| &entry.treatment)
    }

    /// Replaces the exact block of a parameter by an estimated diagonal.
    pub(super) fn estimate(&mut self, parameter: &str, probes: usize) {
        for entry in self.entries.iter_mut().filter(|entry| entry.parameter == parameter) {
            if let Treatment::ExactBlock { reason } = &entry.treatment {
                let reason = reason.clone();
                entry.treatment = Treatment::Diagonal { reason, probes };
            }
        }
    }

    /// Whether it lists the same parameters as another.
    pub(super) fn has_the_parameters_of(&self, other: &Self) -> bool {
        let of = |entry: &CoverageEntry| (entry.parameter.clone(), entry.elements);
        self.entries.iter().map(of).eq(other.entries.iter().map(of))
    }
}

impl fmt::Display for KfacCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.entries.iter().map(|entry| entry.parameter.len()).max();
        let width = width.unwrap_or(0);
        for entry in &self.entries {
            writeln!(f, "{:width$}  {:>9}  {}", entry.parameter, entry.elements, entry.treatment)?;
        }
        let factored = 100.0 * self.kronecker_fraction();
        write!(f, "{factored:.1} % of the elements have Kronecker factors")?;
        if let Some(draws) = self.draws() {
            write!(
                f,
                "\ngradients by {draws} drawn targets for each sample, an unbiased estimate: `KfacFisher::Exact` draws none"
            )?;
        }
        let estimated: usize = self.diagonals().map(|entry| entry.elements).sum();
        if estimated == 0 {
            return Ok(());
        }
        write!(
            f,
            "\n{estimated} elements have an estimate of their diagonal by random draws, neither exact nor complete: \
             `UncoveredPolicy::ExactBlock` computes exact blocks, `UncoveredPolicy::Refuse` refuses"
        )
    }
}
