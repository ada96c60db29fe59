//! What batches of each kernel cost on this machine, measured before anything is served.
//!
//! Knows no worker: it hands out models, and what is told of them.

use crate::base::limits::KERNEL_BATCH_MAX;
use crate::base::{Clock, Nanos};
use crate::kernel::Registry;
use crate::kernel::sample::{PAYLOAD_LEN, payload_len};
use crate::level::calibrate::{self, ROWS_MAX, Subject};
use crate::level::saved::{Key, Saved};
use crate::level::{Backend, CostModel};
use crate::sched::batch::Shape;

/// A batch of one that takes no longer gains nothing from company that a packet's way would not hide.
const TRIVIAL: Nanos = Nanos::new(150);

/// One kernel.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What its batches cost.
    pub model: CostModel,
    /// Bytes of the payloads that it was measured with.
    pub payload: usize,
    /// Whether that was in an earlier calibration.
    pub kept: bool,
    /// What its other forms cost, which these workers do not run: of those that were measured too, or kept. Narrowest first.
    pub others: Vec<(Backend, CostModel)>,
}

impl Measured {
    /// What admission predicts by; none where a row costs the same in any batch.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        let times: Vec<Nanos> = (1..=ROWS_MAX).map(|rows| self.model.predict(rows)).collect();
        let worth = match self.model.run() {
            0 => KERNEL_BATCH_MAX,
            rows => rows as usize,
        };
        Shape::new(&times, worth)
    }
}

/// The forms of each kernel: by `kept` times of this machine, or else measured, all in turns, within about 50 ms each. None for busy
/// work, whose time is what the config says, and for what takes next to nothing in the form that these workers run. Where that form's
/// times are kept, others are not measured but taken up as far as they are kept too: such a start is quick.
#[must_use]
pub fn measure(
    kernels: &Registry,
    kept: Option<&Saved>,
    clock: &impl Clock,
) -> Vec<Option<Measured>> {
    let mut all: Vec<Option<Measured>> = vec![None; kernels.len()];
    let Ok(level) = kernels.level() else { return all };
    let Some(backend) = Backend::of(level) else { return all };
    let (mut places, mut subjects) = (Vec::new(), Vec::new());
    for (at, (kernel, spec)) in kernels.iter().enumerate() {
        if !spec.is_measured() {
            continue;
        }
        let payload = payload_len(spec, PAYLOAD_LEN);
        let known = |backend| {
            let key = Key { kernel, fingerprint: spec.fingerprint(), backend, payload };
            kept.and_then(|kept| kept.model(&key).ok())
        };
        let own = spec.runs_as(level);
        let others = calibrate::forms(spec).into_iter().filter(|(_, runs_as)| *runs_as != own);
        let others = others.map(|(backend, _)| backend);
        if let Some(model) = known(backend) {
            let others = others.filter_map(|b| Some((b, known(b)?))).collect();
            let worth_it = model.predict(1) > TRIVIAL;
            all[at] = worth_it.then_some(Measured { model, payload, kept: true, others });
        } else if let Some(mut subject) = Subject::new(spec, backend, payload, clock)
            && subject.alone(clock) > TRIVIAL
        {
            places.push((at, payload, None));
            subjects.push(subject);
            for other in others {
                if let Some(subject) = Subject::new(spec, other, payload, clock) {
                    places.push((at, payload, Some(other)));
                    subjects.push(subject);
                }
            }
        }
    }
    let models = calibrate::models(clock, &mut subjects);
    for ((at, payload, other), model) in places.into_iter().zip(models) {
        match (other, model, &mut all[at]) {
            (None, Some(model), slot) => {
                *slot = Some(Measured { model, payload, kept: false, others: Vec::new() });
            }
            (Some(other), Some(model), Some(measured)) => measured.others.push((other, model)),
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelSpec;
    use crate::kernel::spin::ServiceTime;
    use crate::sys::clock::MonotonicClock;

    #[test]
    fn what_works_is_measured_and_what_is_made_up_or_trivial_is_not() {
        let fir = crate::kernel::fir::Spec { taps: vec![7; 64], shift: 3 };
        let named = [
            KernelSpec::Fir(fir),
            KernelSpec::Echo,
            KernelSpec::Spin(ServiceTime::Constant(Nanos::from_micros(50))),
        ];
        let kernels = Registry::new(named.map(|k| (k.kind().to_owned(), k)).into());
        let measured = measure(&kernels, None, &MonotonicClock);
        let found: Vec<bool> = measured.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, false, false]);
        let fir = measured[0].as_ref().expect("measured");
        assert!(fir.model.predict(64) > fir.model.predict(1));
        // Every form of this machine, each once: the one in force stands for itself.
        let spec = kernels.spec(crate::base::KernelId(0)).expect("a kernel");
        let forms: Vec<Backend> = calibrate::forms(spec).into_iter().map(|(b, _)| b).collect();
        let mut found: Vec<Backend> = fir.others.iter().map(|(b, _)| *b).collect();
        found.extend(kernels.level().ok().and_then(Backend::of));
        assert_eq!(found, forms, "the widest is in force, and the others come narrowest first");
    }

    #[test]
    fn a_shape_has_the_model_s_batches_up_to_what_a_run_is_worth() {
        let points = [(1, 2_000_000), (8, 4_000_000), (16, 8_000_000)]
            .map(|(rows, ps)| crate::level::Point { rows, ps });
        let model = CostModel::new(points.to_vec()).expect("a model").in_runs_of(8);
        let shape = Measured { model, payload: 64, kept: false, others: Vec::new() }
            .shape()
            .expect("the first row costs most");
        assert_eq!(shape.worth(), 8);
        let flat = CostModel::linear(Nanos::ZERO, 1_000_000, 64);
        assert_eq!(
            Measured { model: flat, payload: 64, kept: false, others: Vec::new() }.shape(),
            None
        );
    }
}
