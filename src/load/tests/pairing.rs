//! Which request an answer belongs to, and what becomes of those without one.

use std::sync::Arc;

use super::memory::Service;
use super::*;
use crate::base::DropReason;
use crate::kernel::crc32c;

#[test]
fn every_kind_of_service_is_paired_by_every_rule_that_fits_it() {
    type Rules = &'static [(Framing, Matching)];
    let services: [(fn() -> Service, Rules); 3] = [
        (
            || Box::new(echo()),
            &[
                (Framing::Raw, Matching::Echo),
                (Framing::Raw, Matching::Auto),
                (Framing::Framed, Matching::Auto),
            ],
        ),
        (
            || Box::new(|_, b| vec![(FAST, crc32c::checksum(b).to_be_bytes().to_vec())]),
            &[
                (Framing::Raw, Matching::Crc32c),
                (Framing::Raw, Matching::Auto),
                (Framing::Framed, Matching::Auto),
            ],
        ),
        (
            || Box::new(|_, b| vec![(FAST, turned(b, Kind::Answer, 0))]),
            &[(Framing::Framed, Matching::Header), (Framing::Framed, Matching::Auto)],
        ),
    ];
    for (service, rules) in services {
        for (framing, matching) in rules {
            let mut p = plan();
            (p.framing, p.matching, p.flows) = (*framing, *matching, 3);
            p.classes[0].size = Sizes { min: 40, max: 100 };
            let (driver, clock) = Memory::new(service());
            let class = &run(p, driver, clock).classes[0];
            assert!(class.sent > 9_500, "{framing:?} {matching:?}: {class:?}");
            assert_eq!((class.answered, class.on_time), (class.sent, class.sent));
            assert_eq!((class.unknown, class.duplicates, class.lost()), (0, 0, 0));
        }
    }
}

#[test]
fn answers_refusals_duplicates_strangers_and_losses_are_told_apart() {
    let mut p = plan();
    p.matching = Matching::Header;
    let (driver, clock) = Memory::new(|n, b| match n % 8 {
        0 => vec![(FAST, turned(b, Kind::Refusal, DropReason::PredictedMiss as u8))],
        1 => vec![(FAST, turned(b, Kind::Refusal, DropReason::QuotaTotal as u8))],
        2 => vec![(FAST, turned(b, Kind::Answer, 0)), (FAST, turned(b, Kind::Answer, 0))],
        3 => vec![(FAST, b"stranger".to_vec())],
        4 => vec![],
        5 => vec![(Nanos::from_millis(5), turned(b, Kind::Answer, 1))],
        6 => vec![(FAST, turned(b, Kind::Refusal, 99))],
        _ => vec![(FAST, turned(b, Kind::Answer, 0))],
    });
    let report = run(p, driver, clock);
    let c = &report.classes[0];
    let eighth = c.sent / 8;
    let near = |n: u64, eighths: u64| assert!(n.abs_diff(eighths * eighth) <= 8, "{n} {eighths}");
    near(c.refused[DropReason::PredictedMiss.index()], 1);
    near(c.refused[DropReason::QuotaTotal.index()], 1);
    near(c.duplicates, 1);
    near(c.unknown, 2);
    near(c.marked_late, 1);
    near(c.late(), 1);
    near(c.on_time, 2);
    near(c.lost(), 3);
    assert_eq!(c.sent, c.on_time + c.late() + c.refused_total() + c.lost());
}

#[test]
fn ids_are_paired_wherever_they_stand_and_however_narrow() {
    for (offset, width) in [(0, 8), (20, 8), (6, 2), (60, 4), (3, 1)] {
        let mut p = plan();
        (p.framing, p.matching) = (Framing::Raw, Matching::Id { offset, width });
        (p.flows, p.burst) = (3, 2);
        // Every tenth request is lost, and the answer has nothing else in common with its request.
        let (driver, clock) = Memory::new(move |n, b| {
            let (from, to) = (usize::from(offset), usize::from(offset) + usize::from(width));
            let mut answer = vec![0xee; to];
            answer[from..].copy_from_slice(&b[from..to]);
            if n % 10 == 3 { vec![] } else { vec![(FAST, answer)] }
        });
        let c = &run(p, driver, clock).classes[0];
        assert_eq!((c.sent, c.answered, c.lost()), (10_000, 9_000, 1_000), "id@{offset}:{width}");
        assert!(c.corrected.max() < Nanos::from_millis(1), "{}", c.corrected.max());
    }
}

#[test]
fn queries_are_paired_by_question_and_their_codes_counted() {
    for questions in [
        Questions::generated("test", QueryType::A).unwrap(),
        Questions::read("a.test\nb.test AAAA\na.rather.longer.name.test TXT\n").unwrap(),
    ] {
        let mut p = plan();
        (p.framing, p.matching) = (Framing::Raw, Matching::Dns);
        p.questions = Some(Arc::new(questions));
        let (driver, clock) = Memory::new(|n, b| {
            let mut answer = b.to_vec();
            answer[2] |= 0x80;
            answer[3] = 0x80 | if n % 4 == 0 { 3 } else { 0 };
            answer.extend_from_slice(b"\xc0\x0c and so on");
            vec![(FAST, answer)]
        });
        let report = run(p, driver, clock);
        let c = &report.classes[0];
        assert_eq!((c.answered, c.unknown, c.ambiguous), (10_000, 0, 0));
        assert_eq!(c.rcode_counts(), [("NOERROR", 7_500), ("NXDOMAIN", 2_500)].into());
    }
}

#[test]
fn where_no_answers_come_none_are_missed() {
    let mut p = plan();
    p.matching = Matching::Nothing;
    let (driver, clock) = Memory::new(|_, _| vec![]);
    let report = run(p, driver, clock);
    let c = &report.classes[0];
    assert_eq!((c.sent, c.answered, c.lost(), c.lost_to_window), (10_000, 0, 0, 0));
    assert!(report.seconds < 1.01 && !c.is_silent());
}

#[test]
fn drops_are_counted_where_they_were_due() {
    let mut p = plan();
    (p.matching, p.arrivals) = (Matching::Header, Arrivals::Uniform);
    // The second half is refused.
    let (driver, clock) = Memory::new(|n, b| {
        let refused = (Kind::Refusal, DropReason::PredictedMiss as u8);
        let (kind, status) = if n < 5_000 { (Kind::Answer, 0) } else { refused };
        vec![(FAST, turned(b, kind, status))]
    });
    let report = run(p, driver, clock);
    let intervals = report.timeline.of_class(0);
    let (first, second) = intervals.split_at(intervals.len() / 2);
    assert_eq!(intervals.len(), 100);
    assert!(first.iter().all(|i| (i.due, i.answered, i.on_time) == (100, 100, 100)));
    let refused = |i: &Interval| i.refused[DropReason::PredictedMiss.index()];
    assert!(second.iter().all(|i| (i.due, i.answered, refused(i)) == (100, 0, 100)));
}
