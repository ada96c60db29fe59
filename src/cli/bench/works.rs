//! The kernels that `--kernel` names, as a user of each would have them, and what a packet of one takes.
//!
//! Knows no config and no socket.

use anyhow::Context as _;

use crate::base::Nanos;
use crate::kernel::drawn::{self, PATTERNS, SHARDS, WIDE};
use crate::kernel::mlp::Precision;
use crate::kernel::simd::Level;
use crate::kernel::spin::ServiceTime;
use crate::kernel::{KernelSpec, fir, matching, rs};
use crate::level::Backend;
use crate::level::calibrate::Subject;
use crate::sys::clock::MonotonicClock;

/// Rows of the batch by which a packet's cost is guessed.
const GUESSED: u32 = 16;

/// The kernel of that kind; `service` is what `spin` takes.
pub(super) fn of_kind(kind: &str, service: Nanos) -> anyhow::Result<KernelSpec> {
    Ok(match kind {
        "echo" => KernelSpec::Echo,
        "crc32c" => KernelSpec::Crc32c,
        "mlp" => KernelSpec::Mlp(drawn::perceptron(&WIDE, Precision::F32)?),
        "match" => {
            let patterns = drawn::patterns(PATTERNS).map_err(anyhow::Error::msg)?;
            KernelSpec::Match(matching::Spec { patterns, file: None })
        }
        "rs" => {
            let (data, parity) = SHARDS;
            KernelSpec::Rs(rs::Spec { data, parity, task: rs::Task::Repair })
        }
        "fir" => KernelSpec::Fir(fir::Spec { taps: drawn::taps(), shift: 15 }),
        "spin" => KernelSpec::Spin(ServiceTime::Constant(service)),
        other => anyhow::bail!("there is no kernel `{other}`"),
    })
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
