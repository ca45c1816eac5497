//! The processes of the benchmark, and what they print.

use std::{collections::BTreeMap, process::Command};

/// Says what a process is.
pub const MODE: &str = "BURN_CURVATURE_BENCH_RANKS";

/// Samples by the name of their figure.
pub type Table = BTreeMap<String, Vec<f64>>;

#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// One process with two threads.
    Threads,
    /// Ranks with one thread each.
    Ranks(usize),
    /// Two processes that send nothing.
    Independent,
    /// Sums alone, on two ranks.
    Sums,
}

impl Job {
    /// Runs the job and adds its samples.
    pub fn run(self, filter: &str, samples: &mut Table) {
        let own = std::env::current_exe().expect("a program");
        let (ranks, mode, threads) = match self {
            Job::Threads => (0, "threads", 2),
            Job::Ranks(ranks) => (ranks, "ranks", 1),
            Job::Independent => (2, "independent", 1),
            Job::Sums => (2, "sums", 1),
        };
        let mut command = if ranks == 0 { Command::new(&own) } else { Command::new("mpirun") };
        if ranks > 0 {
            let bind = if ranks > 2 { "none" } else { "core" };
            command
                .args(["--oversubscribe", "--bind-to", bind, "-n", &ranks.to_string()])
                .arg(&own);
        }
        let output = command
            .arg(filter)
            .env(MODE, mode)
            .env("RAYON_NUM_THREADS", threads.to_string())
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} failed:\n{text}{failed}");
        for line in text.lines() {
            if let Some((name, value)) = line.split_once(" = ")
                && let Ok(value) = value.parse()
            {
                samples.entry(name.to_string()).or_default().push(value);
            }
        }
    }
}
