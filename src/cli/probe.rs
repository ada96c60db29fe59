//! `punctual probe`: which vector instructions and GPUs this machine has, what each kernel of a config runs on, and what a batch
//! costs.
//!
//! Knows no kernel's inside: it runs them as a worker does, at the level in force and at the reference.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::exit;
use crate::base::{Clock as _, Nanos};
use crate::config::{self, Loaded};
use crate::kernel::sample::{PAYLOAD_LEN, Sample, payload_len};
use crate::kernel::simd::{Level, SimdChoice};
use crate::kernel::{KernelSpec, Registry};
use crate::sys::clock::MonotonicClock;

/// Batches that are timed.
const ROWS: [usize; 6] = [1, 2, 4, 8, 12, 32];
/// Each figure is the least of so many tries: whatever disturbs a try makes it longer.
const TRIES: usize = 9;
/// How long a try lasts.
const TRY: Nanos = Nanos::from_millis(1);

/// What `probe` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ProbeArgs {
    /// The config file whose kernels are probed; without one the embedded default
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What was found of one kernel.
#[derive(Debug)]
struct Probed {
    name: String,
    kind: &'static str,
    runs_as: String,
    payload: usize,
    /// By batch: nanoseconds of the whole batch at the reference, and at the level in force. None for busy work.
    times: Vec<(usize, f64, f64)>,
}

/// Probes and prints; the answer is the exit code.
#[must_use]
pub fn run(args: &ProbeArgs) -> u8 {
    let loaded = match config::load_or_default(args.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let _ = io::stderr().write_all(faults.render(false).as_bytes());
            return exit::WRONG_CONFIG;
        }
    };
    match probe(&loaded) {
        Ok((level, kernels)) => {
            let mut out = io::stdout().lock();
            // A reader that went away does not change what the machine has.
            let _ = if args.json {
                writeln!(out, "{}", to_json(level, &adapters(), &kernels))
            } else {
                print(level, &adapters(), &kernels, &mut out)
            };
            exit::DONE
        }
        Err(error) => {
            tracing::error!("{error}");
            exit::FAILED
        }
    }
}

fn probe(loaded: &Loaded) -> anyhow::Result<(Level, Vec<Probed>)> {
    let registry = &loaded.settings.kernels;
    let level = registry.level()?;
    let reference = registry.clone().with_simd(SimdChoice::Scalar);
    let kernels = registry.iter().map(|(name, spec)| Probed {
        name: name.to_owned(),
        kind: spec.kind(),
        runs_as: spec.runs_as(level),
        payload: payload_len(spec, PAYLOAD_LEN),
        times: times(spec, [&reference, registry]),
    });
    Ok((level, kernels.collect()))
}

/// Nothing for busy work: its time is what the config says.
fn times(spec: &KernelSpec, both: [&Registry; 2]) -> Vec<(usize, f64, f64)> {
    if matches!(spec, KernelSpec::Spin(_)) {
        return Vec::new();
    }
    let most = ROWS[ROWS.len() - 1];
    let sample = |r: &Registry| Sample::new(spec, r.simd(), PAYLOAD_LEN, most, &MonotonicClock);
    let mut samples = both.map(sample);
    ROWS.into_iter()
        .map(|rows| {
            let mut least = [f64::INFINITY; 2];
            // By turns, so that a change of the clock's pace meets both.
            for _ in 0..TRIES {
                for (sample, least) in samples.iter_mut().zip(&mut least) {
                    *least = least.min(time(sample, rows));
                }
            }
            (rows, least[0], least[1])
        })
        .collect()
}

/// Nanoseconds of a batch of `rows` payloads.
#[expect(clippy::cast_precision_loss, reason = "a mean of a millisecond's runs")]
fn time(sample: &mut Sample, rows: usize) -> f64 {
    let start = MonotonicClock.now();
    let mut runs = 0_u64;
    loop {
        (0..8).for_each(|_| sample.run(rows));
        runs += 8;
        let taken = MonotonicClock.now().since(start);
        if taken >= TRY {
            return taken.get() as f64 / runs as f64;
        }
    }
}

/// A GPU, or what stands in for one.
#[derive(Debug)]
struct Adapter {
    /// Name, kind, interface and driver in one line.
    line: String,
    software: bool,
    features: Vec<&'static str>,
    json: Value,
}

/// The adapters of this machine, best first; none where this program was built without the feature `gpu`.
#[cfg(feature = "gpu")]
fn adapters() -> Option<Vec<Adapter>> {
    use crate::kernel::gpu::adapter::{self, Found, Kind};

    let adapter = |found: Found| Adapter {
        line: found.to_string(),
        software: found.kind == Kind::Software,
        json: json!({
            "name": found.name,
            "kind": found.kind.word(),
            "backend": found.backend,
            "driver": found.driver,
            "features": found.features,
        }),
        features: found.features,
    };
    Some(adapter::look().into_iter().map(adapter).collect())
}

#[cfg(not(feature = "gpu"))]
const fn adapters() -> Option<Vec<Adapter>> {
    None
}

fn print_adapters(adapters: Option<&[Adapter]>, out: &mut impl Write) -> io::Result<()> {
    let Some(adapters) = adapters else { return writeln!(out, "gpu: built without gpu") };
    if adapters.is_empty() {
        return writeln!(out, "gpu: no Vulkan adapter");
    }
    for (i, adapter) in adapters.iter().enumerate() {
        let role = match (i, adapter.software) {
            (_, true) => ", not taken unless software is allowed",
            (0, false) => "",
            _ => ", not taken",
        };
        writeln!(out, "gpu: {}{role}", adapter.line)?;
        writeln!(out, "  features: {}", adapter.features.join(", "))?;
    }
    Ok(())
}

fn print(
    level: Level,
    adapters: &Option<Vec<Adapter>>,
    kernels: &[Probed],
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "simd: {level}")?;
    for (word, found) in Level::every() {
        if found.is_none() {
            writeln!(out, "  {word}: this machine does not have it, SKIPPED")?;
        }
    }
    print_adapters(adapters.as_deref(), out)?;
    for k in kernels {
        writeln!(out, "\n{} ({}): {}", k.name, k.kind, k.runs_as)?;
        if k.times.is_empty() {
            continue;
        }
        writeln!(out, "  payload {} bytes", k.payload)?;
        writeln!(out, "  {:>5} {:>12} {:>12} {:>7}", "batch", "scalar us", "us", "ratio")?;
        for (rows, scalar, ours) in &k.times {
            let (a, b, ratio) = (scalar / 1e3, ours / 1e3, scalar / ours);
            writeln!(out, "  {rows:>5} {a:>12.2} {b:>12.2} {ratio:>6.1}x")?;
        }
    }
    out.flush()
}

fn to_json(level: Level, adapters: &Option<Vec<Adapter>>, kernels: &[Probed]) -> Value {
    let levels =
        Level::every().map(|(word, found)| json!({ "level": word, "here": found.is_some() }));
    let kernels: Vec<Value> = kernels
        .iter()
        .map(|k| {
            let batch = |(rows, scalar, ours): &(usize, f64, f64)| {
                json!({ "rows": rows, "scalar_ns": scalar, "ns": ours })
            };
            json!({
                "name": k.name,
                "kind": k.kind,
                "runs_as": k.runs_as,
                "payload": k.payload,
                "batches": k.times.iter().map(batch).collect::<Vec<_>>(),
            })
        })
        .collect();
    let adapters =
        adapters.as_ref().map(|all| all.iter().map(|a| a.json.clone()).collect::<Vec<_>>());
    let gpu = json!({ "built": adapters.is_some(), "adapters": adapters.unwrap_or_default() });
    json!({ "version": 1, "simd": level.word(), "levels": levels, "gpu": gpu, "kernels": kernels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_probed_and_said_both_ways() {
        let loaded = config::parse(config::EMBEDDED_NAME, config::embedded()).expect("good");
        let (level, kernels) = probe(&loaded).expect("auto");
        let mut text = Vec::new();
        let adapters = adapters();
        print(level, &adapters, &kernels, &mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert!(text.starts_with(&format!("simd: {}\n", Level::detect())), "{text}");
        assert!(text.contains("\ncrc32c (crc32c): "), "{text}");
        assert!(text.contains("\ngpu: "), "{text}");
        let object = to_json(level, &adapters, &kernels);
        assert_eq!(object["gpu"]["built"], cfg!(feature = "gpu"));
        assert_eq!(object["kernels"][0]["batches"][5]["rows"], 32);
        assert!(object["kernels"][0]["batches"][5]["ns"].as_f64() > Some(0.0));
    }
}
