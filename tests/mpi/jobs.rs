//! Jobs under `mpirun`, what they must print and how they must end.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Names the case to a rank.
pub const CASE: &str = "BURN_CURVATURE_MPI_CASE";

/// How a job must end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With code 0, each rank having printed a line.
    Success,
    /// With another code within twenty seconds, having printed this.
    Failure(&'static str),
}

/// A case on a number of ranks.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    case: &'static str,
    ranks: usize,
    end: End,
}

/// What must be the same as in one process.
const FIGURES: [&str; 9] = [
    "products",
    "outputs",
    "kfac",
    "solves",
    "training",
    "training mode",
    "influences",
    "responses",
    "hypergradient",
];

/// The time a fault may take until the job has ended.
const SOON: Duration = Duration::from_secs(20);

/// The time that figures may take beside other work on the machine.
const LONG: Duration = Duration::from_secs(400);

impl Job {
    /// All jobs in order.
    pub fn all() -> Vec<Self> {
        let mut jobs = Vec::new();
        for ranks in 1..=4 {
            for case in FIGURES {
                jobs.push(Self { case, ranks, end: End::Success });
            }
        }
        for ranks in [2, 4] {
            for case in ["loss not finite", "other parameters", "error in a call", "other lengths"]
            {
                jobs.push(Self { case, ranks, end: End::Success });
            }
            for (case, message) in [
                ("error", "failed: no space left"),
                ("panic", "out of range"),
                ("early return", "takes no part, because it has returned"),
                ("fewer calls", "takes no part, because it has returned"),
                ("another length", "all ranks make the same calls in the same order"),
                (
                    "other calls",
                    "computes the product of one batch where rank 0 computes a product",
                ),
                ("exit", ""),
                ("abort", ""),
                ("kill", ""),
            ] {
                jobs.push(Self { case, ranks, end: End::Failure(message) });
            }
        }
        jobs
    }

    pub fn name(&self) -> String {
        format!("{}, {} ranks", self.case, self.ranks)
    }

    /// Runs the job and checks its end.
    pub fn run(self) -> Result<(), String> {
        let start = Instant::now();
        let limit = match self.end {
            End::Success => LONG,
            End::Failure(_) => SOON + Duration::from_secs(20),
        };
        let mut child = self.start()?;
        let output = Output::of(&mut child);
        let status = wait(&mut child, start + limit);
        let took = start.elapsed();
        let printed = output.text();
        let fail = |why: String| Err(format!("{why}\nthe job printed:\n{printed}"));
        let Some(status) = status else {
            return fail(format!("it was ended after {} s", limit.as_secs()));
        };
        match self.end {
            End::Success if !status.success() => fail(format!("it ended with {status}")),
            End::Success => {
                let done = printed.matches("rank done").count();
                if done == self.ranks {
                    printed
                        .lines()
                        .filter(|line| line.starts_with("  "))
                        .for_each(|line| println!("{line}"));
                    return Ok(());
                }
                fail(format!("{done} of {} ranks were done", self.ranks))
            }
            End::Failure(_) if status.success() => fail("it ended with code 0".into()),
            End::Failure(message) if !printed.contains(message) => {
                fail(format!("it did not print `{message}`"))
            }
            End::Failure(_) if printed.contains("rank done") => fail("a rank was done".into()),
            // The figures of the fault itself take a moment, too.
            End::Failure(_) if took > SOON => fail(format!("it took {} s", took.as_secs())),
            End::Failure(_) => Ok(()),
        }
    }

    fn start(self) -> Result<Child, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new("mpirun");
        command
            .args(["--oversubscribe", "--bind-to", "none", "-n", &self.ranks.to_string()])
            .arg(own)
            .env(CASE, self.case)
            .env("RAYON_NUM_THREADS", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        command.spawn().map_err(|error| format!("mpirun cannot be started: {error}"))
    }
}

/// Waits until a deadline; ends the job if it is reached.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// What a job prints.
struct Output(Vec<thread::JoinHandle<String>>);

impl Output {
    fn of(child: &mut Child) -> Self {
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(thread::spawn(move || text(pipe)));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(thread::spawn(move || text(pipe)));
        }
        Self(readers)
    }

    /// All of it. Ranks that outlive `mpirun` may hold the pipes for a moment.
    fn text(self) -> String {
        let deadline = Instant::now() + Duration::from_secs(5);
        let texts = self.0.into_iter().map(|reader| {
            while !reader.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            if reader.is_finished() { reader.join().unwrap_or_default() } else { String::new() }
        });
        texts.collect()
    }
}

fn text(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
