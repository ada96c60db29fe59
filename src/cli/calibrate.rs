//! `punctual calibrate`: what a batch costs by its rows, for each kernel of a config on each backend of this machine.
//!
//! Knows no model's inside: it measures, keeps, takes up again and prints.

mod print;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit;
use crate::config::{self, Loaded};
use crate::kernel::sample::{PAYLOAD_LEN, payload_len};
use crate::kernel::{KernelSpec, simd::Level};
use crate::level::calibrate::{self, Subject, forms};
use crate::level::saved::{FILE_MAX, Key, Saved};
use crate::level::{Backend, CostModel};
use crate::sys::clock::MonotonicClock;
use crate::sys::machine;

/// Sizes by which the model is judged; those that it was made of are left out.
const JUDGED: [u32; 9] = [11, 13, 15, 17, 20, 28, 40, 52, 63];

/// What `calibrate` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct CalibrateArgs {
    /// The config file whose kernels are measured; without one the embedded default
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep what was measured
    #[arg(long, value_name = "FILE", conflicts_with = "load")]
    pub save: Option<PathBuf>,
    /// Take kept times instead of measuring; refused unless processor, version and kernels are the same
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// One kernel on one backend.
#[derive(Debug)]
struct Pair {
    kernel: String,
    spec: KernelSpec,
    backend: Backend,
    runs_as: String,
    payload: usize,
}

/// What is known of a pair.
#[derive(Debug)]
struct Found {
    pair: Pair,
    model: CostModel,
    /// Worst (with its sign and its rows) and mean error at sizes that the model was not made of; none for kept times.
    error: Option<Misses>,
}

/// Shares of the measured time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Misses {
    worst: f64,
    rows: u32,
    mean: f64,
}

impl Pair {
    fn key(&self) -> Key<'_> {
        Key {
            kernel: &self.kernel,
            fingerprint: self.spec.fingerprint(),
            backend: self.backend,
            payload: self.payload,
        }
    }

    const fn found(self, model: CostModel, error: Option<Misses>) -> Found {
        Found { pair: self, model, error }
    }
}

/// Measures, or takes up what was kept, and prints; the answer is the exit code.
#[must_use]
pub fn run(args: &CalibrateArgs) -> u8 {
    let loaded = match config::load_or_default(args.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let _ = io::stderr().write_all(faults.render(false).as_bytes());
            return exit::WRONG_CONFIG;
        }
    };
    match calibrate(args, &loaded) {
        Ok(found) => {
            let mut out = io::stdout().lock();
            // A reader that went away does not change what was measured.
            let _ = print::all(&found, &loaded.settings, args.json, &machine::cpu_name(), &mut out);
            exit::DONE
        }
        Err(error) => {
            tracing::error!("{error:#}");
            exit::FAILED
        }
    }
}

fn calibrate(args: &CalibrateArgs, loaded: &Loaded) -> anyhow::Result<Vec<Found>> {
    if let Some(path) = &args.load {
        let not_taken = || format!("{}: not taken up, `--save` measures anew", path.display());
        let kept = Saved::parse(&read(path)?).with_context(not_taken)?;
        return take_up(loaded, &kept, &machine::cpu_name()).with_context(not_taken);
    }
    let found = measure(loaded)?;
    if let Some(path) = &args.save {
        let mut saved = Saved::new(&machine::cpu_name(), env!("CARGO_PKG_VERSION"));
        found.iter().for_each(|f| saved.add(&f.pair.key(), &f.model));
        let text = saved.to_text()?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| path.display().to_string())?;
    anyhow::ensure!(
        text.len() as u64 <= FILE_MAX,
        "{}: is larger than {FILE_MAX} bytes: these are no kept times",
        path.display()
    );
    Ok(text)
}

/// Each kernel but busy work, whose time is what the config says, on each backend; without its model.
fn pairs(loaded: &Loaded) -> Vec<Pair> {
    let mut all = Vec::new();
    let kernels = loaded.settings.kernels.iter();
    for (name, spec) in kernels.filter(|(_, spec)| !matches!(spec, KernelSpec::Spin(_))) {
        for (backend, runs_as) in forms(spec) {
            let (kernel, spec) = (name.to_owned(), spec.clone());
            let payload = payload_len(&spec, PAYLOAD_LEN);
            all.push(Pair { kernel, spec, backend, runs_as, payload });
        }
    }
    all
}

/// All in turns: a stretch in which the machine is slow meets every pair.
fn measure(loaded: &Loaded) -> anyhow::Result<Vec<Found>> {
    let (pairs, clock) = (pairs(loaded), &MonotonicClock);
    let subject = |p: &Pair| Subject::new(&p.spec, p.backend, p.payload, clock);
    let subjects: Option<Vec<Subject>> = pairs.iter().map(subject).collect();
    let mut subjects = subjects.context("no backend of the cores")?;
    let models = calibrate::models(clock, &mut subjects);
    let mut all = Vec::new();
    for ((pair, subject), model) in pairs.into_iter().zip(&mut subjects).zip(models) {
        let model = model.context("the clock does not move")?;
        let error = misses(subject, &model);
        all.push(pair.found(model, error));
    }
    Ok(all)
}

fn take_up(loaded: &Loaded, kept: &Saved, cpu: &str) -> anyhow::Result<Vec<Found>> {
    kept.hold_to(cpu, env!("CARGO_PKG_VERSION"))?;
    let mut all = Vec::new();
    for pair in pairs(loaded) {
        let model = kept.model(&pair.key())?;
        all.push(pair.found(model, None));
    }
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "a share, of times far below 2^53 picoseconds")]
fn misses(subject: &mut Subject, model: &CostModel) -> Option<Misses> {
    let made_of = |rows: &u32| model.points().iter().any(|p| p.rows == *rows);
    let sizes: Vec<u32> = JUDGED.into_iter().filter(|rows| !made_of(rows)).collect();
    let points = subject.points(&MonotonicClock, &sizes);
    let error = |ps: u64, rows| model.measured_ps(rows) as f64 / ps as f64 - 1.0;
    let errors: Vec<(f64, u32)> = points.iter().map(|p| (error(p.ps, p.rows), p.rows)).collect();
    let (worst, rows) = errors.iter().copied().max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()))?;
    let mean = errors.iter().map(|(e, _)| e.abs()).sum::<f64>() / errors.len() as f64;
    Some(Misses { worst, rows, mean })
}

/// The levels that this machine lacks.
fn lacking() -> impl Iterator<Item = &'static str> {
    Level::every().into_iter().filter(|(_, found)| found.is_none()).map(|(word, _)| word)
}

#[cfg(test)]
mod tests;
