//! A number that stands for a kernel with its parameters: kept figures are taken up only where it is the same.
//!
//! FNV-1a, 64 bits (Fowler, Noll, Vo): short, the same everywhere, and no defence against somebody who wants two to be equal.

use super::spin::ServiceTime;
use super::{KernelSpec, fir, matching, mlp, rs};

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    fn number(&mut self, n: u64) {
        self.bytes(&n.to_le_bytes());
    }

    fn count(&mut self, n: usize) {
        self.number(n as u64);
    }

    /// With its length, so that two texts side by side are not two others.
    fn text(&mut self, text: &[u8]) {
        self.count(text.len());
        self.bytes(text);
    }

    fn floats(&mut self, all: &[f32]) {
        self.count(all.len());
        all.iter().for_each(|x| self.bytes(&x.to_bits().to_le_bytes()));
    }
}

impl KernelSpec {
    /// A number that changes with the kind, its parameters and its weights, and with nothing else: not with file names.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv(BASIS);
        hash.text(self.kind().as_bytes());
        match self {
            Self::Echo | Self::Crc32c => {}
            Self::Spin(time) => spin(&mut hash, time),
            Self::Mlp(spec) => mlp(&mut hash, spec),
            Self::Match(spec) => patterns(&mut hash, spec),
            Self::Rs(spec) => code(&mut hash, *spec),
            Self::Fir(spec) => filter(&mut hash, spec),
        }
        hash.0
    }
}

fn spin(hash: &mut Fnv, time: &ServiceTime) {
    match *time {
        ServiceTime::Constant(t) => [0, t.get(), 0, 0].map(|n| hash.number(n)),
        ServiceTime::Uniform(a, b) => [1, a.get(), b.get(), 0].map(|n| hash.number(n)),
        ServiceTime::Exponential(mean) => [2, mean.get(), 0, 0].map(|n| hash.number(n)),
        ServiceTime::Bimodal { short, long, share } => {
            [3, short.get(), long.get(), share.to_bits()].map(|n| hash.number(n))
        }
        ServiceTime::Payload { max } => [4, max.get(), 0, 0].map(|n| hash.number(n)),
    };
}

fn mlp(hash: &mut Fnv, spec: &mlp::Spec) {
    hash.text(spec.precision.word().as_bytes());
    hash.text(spec.output.word().as_bytes());
    hash.count(spec.tag);
    for layer in spec.model.layers() {
        hash.count(layer.inputs);
        hash.count(layer.outputs);
        hash.floats(&layer.weights);
        hash.floats(&layer.bias);
    }
}

fn patterns(hash: &mut Fnv, spec: &matching::Spec) {
    hash.count(spec.patterns.count());
    spec.patterns.list().iter().for_each(|p| hash.text(p));
}

fn code(hash: &mut Fnv, spec: rs::Spec) {
    hash.text(spec.task.word().as_bytes());
    hash.count(spec.data);
    hash.count(spec.parity);
}

fn filter(hash: &mut Fnv, spec: &fir::Spec) {
    hash.number(u64::from(spec.shift));
    hash.count(spec.taps.len());
    spec.taps.iter().for_each(|t| hash.bytes(&t.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::base::Nanos;
    use crate::kernel::mlp::weights::{Layer, Model};

    #[test]
    fn the_check_value_of_the_hash() {
        let mut hash = Fnv(BASIS);
        hash.bytes(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn whatever_changes_the_work_changes_the_number() {
        let net = |weight: f32, precision, tag| {
            let layer = Layer { inputs: 1, outputs: 1, weights: vec![weight], bias: vec![0.0] };
            let model = Arc::new(Model::new(vec![layer]).expect("widths fit"));
            let (weights, output) = ("w".to_owned(), mlp::Output::Linear);
            KernelSpec::Mlp(mlp::Spec { weights, model, precision, output, tag })
        };
        let set = |list: &[&str]| {
            let list = list.iter().map(|p| p.as_bytes().to_vec()).collect();
            let patterns = matching::Patterns::new(list).expect("a set");
            KernelSpec::Match(matching::Spec { patterns, file: None })
        };
        let rs = |data, parity| KernelSpec::Rs(rs::Spec { data, parity, task: rs::Task::Repair });
        let fir = |taps: &[i16], shift| KernelSpec::Fir(fir::Spec { taps: taps.to_vec(), shift });
        let spin = |us| KernelSpec::Spin(ServiceTime::Constant(Nanos::from_micros(us)));
        let all = [
            KernelSpec::Echo,
            KernelSpec::Crc32c,
            net(1.0, mlp::Precision::F32, 0),
            net(2.0, mlp::Precision::F32, 0),
            net(1.0, mlp::Precision::Int8, 0),
            net(1.0, mlp::Precision::F32, 8),
            set(&["ab", "c"]),
            set(&["a", "bc"]),
            rs(4, 2),
            rs(2, 4),
            fir(&[1, 2], 3),
            fir(&[1, 2], 4),
            spin(1),
            spin(2),
        ];
        let different: BTreeSet<u64> = all.iter().map(KernelSpec::fingerprint).collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn a_file_s_name_changes_nothing() {
        let list = vec![b"a".to_vec()];
        let patterns = matching::Patterns::new(list).expect("a set");
        let of = |file: Option<&str>| {
            let (patterns, file) = (patterns.clone(), file.map(str::to_owned));
            KernelSpec::Match(matching::Spec { patterns, file }).fingerprint()
        };
        assert_eq!(of(None), of(Some("patterns.txt")));
    }
}
