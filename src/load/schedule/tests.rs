//! What plans come to, packet by packet.

use super::*;
use crate::load::arrivals::{Arrivals, Bursts, Stretch};
use crate::load::plan::{Class, FlowOrder, Sizes};

fn plan() -> Plan {
    let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
    p.rate = 50_000.0;
    p.duration = Nanos::from_secs(4);
    p
}

fn all(plan: &Plan) -> Vec<Due> {
    let mut s = Schedule::new(plan);
    std::iter::from_fn(|| s.take(Nanos::MAX, 1).map(|(due, _)| due)).collect()
}

#[test]
fn uniform_times_are_exact() {
    let mut p = plan();
    p.arrivals = Arrivals::Uniform;
    p.rate = 30_000.0;
    let due = all(&p);
    assert_eq!(due.len(), 120_000);
    for (k, d) in (0_u64..).zip(&due) {
        let exact = (k * 1_000_000_000 + 15_000) / 30_000;
        assert!(d.at.get().abs_diff(exact) <= 1, "{k}: {} {exact}", d.at);
    }
}

#[test]
fn poisson_has_its_number_exactly_and_spreads_like_a_poisson_process() {
    for seed in 1..6 {
        let mut p = plan();
        p.seed = seed;
        let due = all(&p);
        assert_eq!(due.len(), 200_000);
        assert!(due.is_sorted_by_key(|d| d.at));
        let gaps = || due.windows(2).map(|w| w[1].at.saturating_sub(w[0].at).get());
        // An exponential gap is shorter than its mean with probability 1 - 1/e, and longer than three means with e^-3.
        let share = |n: usize| n * 10_000 / due.len();
        let short = share(gaps().filter(|gap| *gap < 20_000).count());
        assert!((6_250..6_400).contains(&short), "seed {seed}: {short}");
        let long = share(gaps().filter(|gap| *gap > 60_000).count());
        assert!((470..526).contains(&long), "seed {seed}: {long}");
        // Counts of 10 ms, 500 expected: variance over mean is 1 for a Poisson process, 0 for equal gaps.
        let mut counts = [0_f64; 400];
        for d in &due {
            counts[(d.at.get() / 10_000_000) as usize] += 1.0;
        }
        let variance = counts.iter().map(|n| (n - 500.0) * (n - 500.0)).sum::<f64>() / 400.0;
        assert!((0.75..1.3).contains(&(variance / 500.0)), "seed {seed}: {variance}");
    }
}

#[test]
fn bursts_crowd_the_same_number_of_packets() {
    let mut p = plan();
    p.arrivals = Arrivals::Bursts(Bursts::default());
    let due = all(&p);
    assert_eq!(due.len(), 200_000);
    assert!(due.is_sorted_by_key(|d| d.at));
    let mut counts = vec![0_f64; 4_000];
    for d in &due {
        counts[(d.at.get() / 1_000_000) as usize] += 1.0;
    }
    // A quiet millisecond has 18 packets, one in a burst 179: a Poisson process of 50 would have neither.
    let quiet = counts.iter().filter(|n| **n < 30.0).count();
    let busy = counts.iter().filter(|n| **n > 120.0).count();
    assert!((2_400..3_700).contains(&quiet), "{quiet}");
    assert!((300..1_400).contains(&busy), "{busy}");
}

#[test]
fn a_changing_rate_is_followed_and_each_packet_knows_its_stretch() {
    let mut p = plan();
    let length = Nanos::from_secs(1);
    let stretch = |from, to| Stretch { from, to, length };
    p.follow(vec![stretch(1e4, 1e4), stretch(0.0, 0.0), stretch(1e4, 3e4), stretch(2e4, 2e4)]);
    for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
        p.arrivals = arrivals;
        let due = all(&p);
        assert_eq!(due.len(), 50_000);
        for (n, want) in [10_000_usize, 0, 20_000, 20_000].into_iter().enumerate() {
            let of = |d: &&Due| usize::from(d.stretch) == n;
            let found = due.iter().filter(of).count();
            assert!(found.abs_diff(want) < 700, "{n}: {found}");
            let second = |d: &Due| (d.at.get() / 1_000_000_000) as usize == n;
            assert!(due.iter().filter(of).all(second), "stretch {n}");
        }
    }
}

#[test]
fn the_same_seed_draws_the_same_and_another_does_not() {
    let mut p = plan();
    p.classes[0].size = Sizes { min: 64, max: 1_400 };
    let first = all(&p);
    assert_eq!(first, all(&p));
    p.seed = 2;
    assert_ne!(first, all(&p));
    assert!(first.iter().all(|d| (64..=1_400).contains(&d.size)));
    assert!(first.iter().any(|d| d.size == 64) && first.iter().any(|d| d.size == 1_400));
}

#[test]
fn shares_are_by_packets() {
    let mut p = plan();
    let class = |name: &str, share| Class { name: name.into(), share, ..p.classes[0].clone() };
    p.classes = vec![class("a", 1.0), class("b", 2.0), class("c", 5.0)];
    let due = all(&p);
    let count = |c| due.iter().filter(|d| d.class == c).count() * 8_000 / due.len();
    for (class, want) in [(0, 1_000_usize), (1, 2_000), (2, 5_000)] {
        assert!(count(class).abs_diff(want) < 40, "class {class}: {}", count(class));
    }
}

#[test]
fn flows_take_turns_and_bursts_stay_together() {
    let mut p = plan();
    p.flows = 3;
    let sockets: Vec<u16> = all(&p).iter().take(5).map(|d| d.socket.0).collect();
    assert_eq!(sockets, [0, 1, 2, 0, 1]);
    p.burst = 4;
    let due = all(&p);
    assert_eq!(due.len(), 200_000);
    for burst in due.chunks(4) {
        assert!(burst.iter().all(|d| *d == burst[0]));
    }
    p.flow_order = FlowOrder::Random;
    let mut seen = [0_usize; 3];
    for d in all(&p) {
        seen[d.socket.index()] += 1;
    }
    assert!(seen.iter().all(|n| n.abs_diff(66_666) < 3_000), "{seen:?}");
}

#[test]
fn nothing_is_taken_before_its_time_and_no_more_than_there_is_room_for() {
    let mut p = plan();
    p.arrivals = Arrivals::Uniform;
    let mut s = Schedule::new(&p);
    let at = |taken: Option<(Due, u32)>| taken.map(|(d, n)| (d.at, n));
    assert_eq!(at(s.take(Nanos::ZERO, 9)), Some((Nanos::ZERO, 1)));
    assert_eq!((s.next_at(), s.take(Nanos::new(19_999), 9)), (Some(Nanos::new(20_000)), None));
    assert_eq!(at(s.take(Nanos::new(20_000), 9)), Some((Nanos::new(20_000), 1)));
    p.burst = 10;
    let mut s = Schedule::new(&p);
    for want in [4, 4, 2, 4] {
        assert_eq!(s.take(Nanos::MAX, 4).map(|(_, n)| n), Some(want));
    }
}
