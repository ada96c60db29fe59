//! The kernels that `--kernel` names, as a user of each would have them, and what a packet of one takes.
//!
//! Knows no config and no socket.

use std::sync::Arc;

use anyhow::Context as _;
use rand_distr::{Distribution as _, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use crate::base::Nanos;
use crate::kernel::matching::{self, Patterns};
use crate::kernel::mlp::weights::{Layer, Model};
use crate::kernel::mlp::{self, Output, Precision};
use crate::kernel::simd::Level;
use crate::kernel::spin::ServiceTime;
use crate::kernel::{KernelSpec, fir, rs};
use crate::level::Backend;
use crate::level::calibrate::Subject;
use crate::sys::clock::MonotonicClock;

/// Widths of the perceptron's layers.
const WIDTHS: [usize; 4] = [64, 256, 256, 8];
/// Patterns of the search, and the bytes of the shortest and the longest.
const PATTERNS: usize = 1_000;
const PATTERN_LEN: std::ops::Range<usize> = 6..16;
/// Shards of data and of parity.
const SHARDS: (usize, usize) = (10, 2);
/// Taps of the filter, and so large that no sum overflows.
const TAPS: usize = 64;
const TAP: std::ops::RangeInclusive<i16> = -900..=900;
/// Draws are the same in every run, so that results can be compared.
const SEED: u64 = 7;
/// Rows of the batch by which a packet's cost is guessed.
const GUESSED: u32 = 16;

/// The kernel of that kind; `service` is what `spin` takes.
pub(super) fn of_kind(kind: &str, service: Nanos) -> anyhow::Result<KernelSpec> {
    let mut draw = Xoshiro256PlusPlus::seed_from_u64(SEED);
    Ok(match kind {
        "echo" => KernelSpec::Echo,
        "crc32c" => KernelSpec::Crc32c,
        "mlp" => KernelSpec::Mlp(perceptron(&mut draw)?),
        "match" => {
            let len = Uniform::try_from(PATTERN_LEN)?;
            let pattern = |_| {
                let mut bytes = vec![0; len.sample(&mut draw)];
                draw.fill_bytes(&mut bytes);
                bytes
            };
            let patterns = Patterns::new((0..PATTERNS).map(pattern).collect());
            let patterns = patterns.map_err(anyhow::Error::msg)?;
            KernelSpec::Match(matching::Spec { patterns, file: None })
        }
        "rs" => {
            let (data, parity) = SHARDS;
            KernelSpec::Rs(rs::Spec { data, parity, task: rs::Task::Repair })
        }
        "fir" => {
            let taps = Uniform::try_from(TAP)?.sample_iter(draw).take(TAPS).collect();
            KernelSpec::Fir(fir::Spec { taps, shift: 15 })
        }
        "spin" => KernelSpec::Spin(ServiceTime::Constant(service)),
        other => anyhow::bail!("there is no kernel `{other}`"),
    })
}

fn perceptron(draw: &mut Xoshiro256PlusPlus) -> anyhow::Result<mlp::Spec> {
    let mut layer = |w: &[usize]| {
        // So large that numbers neither fade nor grow from layer to layer (He et al. 2015, uniform).
        let size = (6.0 / small(w[0])).sqrt();
        let weights = Uniform::new(-size, size)?.sample_iter(&mut *draw).take(w[0] * w[1]);
        let weights = weights.collect();
        anyhow::Ok(Layer { inputs: w[0], outputs: w[1], weights, bias: vec![0.1; w[1]] })
    };
    let layers = WIDTHS.windows(2).map(&mut layer).collect::<anyhow::Result<_>>()?;
    let model = Model::new(layers)?;
    Ok(mlp::Spec {
        weights: "drawn".to_owned(),
        model: Arc::new(model),
        precision: Precision::F32,
        output: Output::Linear,
        tag: 0,
    })
}

fn small(n: usize) -> f32 {
    u16::try_from(n).map_or(f32::INFINITY, f32::from)
}

/// Seconds that a packet takes in the kernel at `level`, in company: what saturation is looked for with.
pub(super) fn cost(spec: &KernelSpec, level: Level, wanted: usize) -> anyhow::Result<f64> {
    if let KernelSpec::Spin(time) = spec {
        return Ok(mean(*time));
    }
    let backend = Backend::of(level).context("no backend of the cores")?;
    let subject = Subject::new(spec, backend, wanted, &MonotonicClock);
    let mut subject = subject.context("no backend of the cores")?;
    let points = subject.points(&MonotonicClock, &[GUESSED]);
    let batch = points.first().map_or(Nanos::ZERO, |p| Nanos::new(p.ps / 1_000));
    Ok(batch.as_secs_f64() / f64::from(GUESSED))
}

/// What busy work takes on average, in seconds.
fn mean(time: ServiceTime) -> f64 {
    match time {
        ServiceTime::Constant(time) | ServiceTime::Exponential(time) => time.as_secs_f64(),
        ServiceTime::Uniform(a, b) => f64::midpoint(a.as_secs_f64(), b.as_secs_f64()),
        ServiceTime::Bimodal { short, long, share } => {
            short.as_secs_f64() * (1.0 - share) + long.as_secs_f64() * share
        }
        // By what bytes ask for that we draw.
        ServiceTime::Payload { max } => max.as_secs_f64() / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::sample::Sample;
    use crate::kernel::simd::SimdChoice;

    #[test]
    fn every_kind_of_the_config_can_be_asked_for_and_works_on_its_payloads() {
        for kind in KernelSpec::KINDS {
            let spec = of_kind(kind, Nanos::new(1)).expect("it is known");
            assert_eq!(spec.kind(), kind);
            let mut sample = Sample::new(&spec, SimdChoice::Scalar, 1_024, 2, &MonotonicClock);
            sample.run(2);
            assert!(sample.all_done(2), "{kind}");
            assert_eq!(spec, of_kind(kind, Nanos::new(1)).expect("known"), "the same each time");
        }
        assert!(of_kind("spinn", Nanos::new(1)).is_err());
    }

    #[test]
    fn busy_work_takes_what_it_says() {
        let takes = |time, ns: f64| (mean(time) * 1e9 - ns).abs() < 1e-6;
        let n = Nanos::new;
        assert!(takes(ServiceTime::Constant(n(70)), 70.0));
        assert!(takes(ServiceTime::Uniform(n(10), n(30)), 20.0));
        let bimodal = ServiceTime::Bimodal { short: n(100), long: n(1_100), share: 0.1 };
        assert!(takes(bimodal, 200.0));
        assert!(takes(ServiceTime::Payload { max: n(8) }, 4.0));
    }
}
